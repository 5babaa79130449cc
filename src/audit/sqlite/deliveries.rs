//! Deliveries to webhooks on SQLite.

use sqlx::{SqliteConnection, types::Json};

use super::BEGIN;
use crate::audit::delivery::delivery_functions;

delivery_functions!(SqliteConnection, begin: BEGIN, claim: CLAIM, drop: DROP, webhooks: Json);

const CLAIM: &str = "
    UPDATE webhook_deliveries SET due_at = $3, tries = tries + 1
    WHERE webhook = $1 AND kill_id IN (
        SELECT d.kill_id FROM webhook_deliveries d WHERE d.webhook = $1 AND d.due_at <= $2
            AND NOT EXISTS (SELECT 1 FROM kill_leases l WHERE l.kill_id = d.kill_id AND NOT l.ended)
        ORDER BY d.due_at LIMIT $4
    )
    RETURNING kill_id, tries";

const DROP: &str = "
    DELETE FROM webhook_deliveries
    WHERE webhook NOT IN (SELECT value FROM json_each($1)) AND due_at <= $2 OR due_at <= $3
    RETURNING webhook, kill_id";

//! Deliveries to webhooks on Postgres.

use sqlx::PgConnection;

use super::BEGIN;
use crate::audit::delivery::delivery_functions;

delivery_functions!(PgConnection, begin: BEGIN, claim: CLAIM, drop: DROP, webhooks: Vec::as_slice);

const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT d.kill_id FROM webhook_deliveries d WHERE d.webhook = $1 AND d.due_at <= $2
            AND NOT EXISTS (SELECT FROM kill_leases l WHERE l.kill_id = d.kill_id AND NOT l.ended)
        ORDER BY d.due_at LIMIT $4 FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE webhook_deliveries d SET due_at = $3, tries = d.tries + 1 FROM due
    WHERE d.webhook = $1 AND d.kill_id = due.kill_id
    RETURNING d.kill_id, d.tries";

/// What somebody is just about to take is left for another time.
const DROP: &str = "
    DELETE FROM webhook_deliveries WHERE (webhook, kill_id) IN (
        SELECT webhook, kill_id FROM webhook_deliveries
        WHERE webhook <> ALL($1) AND due_at <= $2 OR due_at <= $3 FOR UPDATE SKIP LOCKED
    ) RETURNING webhook, kill_id";

//! Watches over kills on SQLite.

use sqlx::SqliteConnection;

use super::BEGIN;
use crate::audit::watch::watch_functions;

watch_functions!(SqliteConnection, begin: BEGIN, claim: CLAIM);

const CLAIM: &str = "
    UPDATE kill_watches SET gateway = $1, due_at = $3
    WHERE kill_id IN (SELECT kill_id FROM kill_watches WHERE due_at <= $2 ORDER BY due_at LIMIT $4)
    RETURNING kill_id, gateway, due_at, looks, sightings";

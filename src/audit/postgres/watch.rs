//! Watches over kills on Postgres.

use sqlx::PgConnection;

use super::BEGIN;
use crate::audit::watch::watch_functions;

watch_functions!(PgConnection, begin: BEGIN, claim: CLAIM);

const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT kill_id FROM kill_watches WHERE due_at <= $2 ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
    )
    UPDATE kill_watches w SET gateway = $1, due_at = $3 FROM due WHERE w.kill_id = due.kill_id
    RETURNING w.kill_id, w.gateway, w.due_at, w.looks, w.sightings";

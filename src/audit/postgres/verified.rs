//! What checks have found, on Postgres.

use sqlx::PgConnection;

use crate::audit::verified::verified_functions;

verified_functions!(PgConnection);

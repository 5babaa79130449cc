//! What checks have found, on SQLite.

use sqlx::SqliteConnection;

use crate::audit::verified::verified_functions;

verified_functions!(SqliteConnection);

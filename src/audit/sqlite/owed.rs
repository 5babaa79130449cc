//! What is open and owed, on SQLite.

crate::audit::owed::owed_function!(sqlx::SqliteConnection);

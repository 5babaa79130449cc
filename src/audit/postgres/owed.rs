//! What is open and owed, on Postgres.

crate::audit::owed::owed_function!(sqlx::PgConnection);

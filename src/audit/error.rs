//! Why the record could not be written or read.
//!
//! Messages name the operation, the table and the constraint. They never carry a value that was to be stored, nor
//! anything of the database URL.

use std::time::Duration;

use sqlx::{error::DatabaseError, migrate::MigrateError};
use thiserror::Error;

/// Why the record could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuditError {
    /// The database cannot be reached, is too slow or takes no writes just now; later it may.
    ///
    /// Whether a write that ended so was committed is not known.
    #[error("the audit database is not available ({operation}: {why})")]
    Unavailable { operation: &'static str, why: String },
    /// The database said no, and would again.
    #[error("the audit database refused ({operation}: {why})")]
    Failed { operation: &'static str, why: String },
    /// A row does not read as what was once written.
    #[error("the audit record is damaged ({operation}: {why})")]
    Corrupt { operation: &'static str, why: String },
}

impl AuditError {
    /// Whether the same may be taken another time; false where the database would refuse it again.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(super) fn unavailable(operation: &'static str, why: impl Into<String>) -> Self {
        Self::Unavailable { operation, why: why.into() }
    }

    pub(super) fn failed(operation: &'static str, why: impl Into<String>) -> Self {
        Self::Failed { operation, why: why.into() }
    }

    pub(super) fn too_slow(operation: &'static str, limit: Duration) -> Self {
        Self::unavailable(operation, format!("no answer within {limit:?}"))
    }

    /// The same error as what that operation met with.
    pub(super) fn during(mut self, name: &'static str) -> Self {
        let (Self::Unavailable { operation, .. } | Self::Failed { operation, .. } | Self::Corrupt { operation, .. }) =
            &mut self;
        *operation = name;
        self
    }

    pub(super) fn from_sqlx(operation: &'static str, error: &sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Database(refusal) => Self::from_refusal(operation, refusal.as_ref()),
            E::Io(error) => Self::unavailable(operation, format!("connection: {}", error.kind())),
            E::Tls(_) => Self::unavailable(
                operation,
                "TLS could not be established; where the server has none, sslmode=disable in the URL goes without",
            ),
            E::PoolTimedOut => Self::unavailable(operation, "no connection in time"),
            E::PoolClosed => Self::unavailable(operation, "closed"),
            E::WorkerCrashed | E::BeginFailed | E::Protocol(_) => Self::unavailable(operation, "connection broken"),
            E::ColumnDecode { index, .. } => {
                Self::Corrupt { operation, why: format!("column {index} does not read as what it should hold") }
            }
            E::Decode(_) => Self::Corrupt { operation, why: "a value does not read as what it should be".into() },
            _ => Self::failed(operation, "the statement does not fit the database"),
        }
    }

    pub(super) fn from_migration(error: &MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::from_sqlx("migrate", error)
            }
            // The rest tells of versions and checksums only.
            other => Self::failed("migrate", other.to_string()),
        }
    }

    fn from_refusal(operation: &'static str, refusal: &dyn DatabaseError) -> Self {
        let code = refusal.code().unwrap_or_default();
        let mut why = format!("code {code}");
        for (word, name) in [("table", refusal.table()), ("constraint", refusal.constraint())] {
            if let Some(name) = name {
                why = format!("{why}, {word} {name}");
            }
        }
        // Classes 22 (data) and 23 (constraints) quote values in their text, unless the text is from our own triggers.
        if !code.starts_with("22") && (!code.starts_with("23") || code == "23001") {
            why = format!("{why}, {}", refusal.message());
        }
        if refusal.message().contains("unsupported startup parameter") {
            // https://www.pgbouncer.org/config.html#ignore_startup_parameters
            let why = format!(
                "a pooler such as PgBouncer is in between and does not take what sessions begin with: {why}; \
                               killgate needs sessions of its own: ignore_startup_parameters = extra_float_digits and \
                               pool_mode = session"
            );
            return Self::failed(operation, why);
        }
        if passes(&code) { Self::unavailable(operation, why) } else { Self::failed(operation, why) }
    }
}

/// True for answers that another time, or another server, may not give.
fn passes(code: &str) -> bool {
    // SQLite gives numbers, the last byte of which is the primary code: BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL,
    // CANTOPEN (https://www.sqlite.org/rescode.html). A SQLSTATE has five characters.
    if code.len() < 5
        && let Ok(number) = code.parse::<u32>()
    {
        return matches!(number & 0xff, 5 | 6 | 7 | 8 | 10 | 13 | 14);
    }
    // Connection, login, no such database, out of resources, shutting down, rolled back for another's sake,
    // cancelled for time, no lock in time, and a standby that takes no writes.
    ["08", "28", "3D", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class))
        || matches!(code, "55P03" | "25006" | "25P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_time_may_heal_is_told_from_what_it_will_not() {
        for code in ["5", "517", "13", "57P01", "57014", "53300", "25006", "28P01", "55P03"] {
            assert!(passes(code), "{code}");
        }
        for code in ["19", "1811", "1", "23505", "23001", "42P01", "42501", ""] {
            assert!(!passes(code), "{code}");
        }
    }
}

//! Which versions of killgate fit which tables.
//!
//! Tables may be newer than the program: a roll-back, and a gateway that restarts while others are replaced, find them so.
//! A migration that older versions cannot live with raises `serving.from_version` to its own number.

use std::borrow::Cow;

use sqlx::migrate::Migrator;

use super::AuditError;

pub(super) const NO_TABLES: &str = "the record's tables are not there: run killgate migrate";

/// These migrations, beside newer ones that this version does not know.
pub(super) fn beside_newer(migrator: &Migrator) -> Migrator {
    let mut migrator = Migrator { migrations: Cow::Owned(migrator.migrations.to_vec()), ..Migrator::DEFAULT };
    migrator.set_ignore_missing(true);
    migrator
}

/// The number of the newest of them.
pub(super) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Tables that are too old may become newer at any moment, so that is no reason not to start.
///
/// Whether a program whose newest migration is `newest` may serve on tables that were brought to `applied`, which serve
/// whoever knows `from`.
pub(super) fn fits(operation: &'static str, newest: i64, applied: Option<i64>, from: i64) -> Result<(), AuditError> {
    match applied {
        None => Err(AuditError::unavailable(operation, NO_TABLES)),
        Some(applied) if applied < newest => {
            let why = format!(
                "the record's tables are of version {applied}, and this killgate needs {newest}: run killgate migrate"
            );
            Err(AuditError::unavailable(operation, why))
        }
        Some(applied) if newest < from => {
            let why = format!(
                "this killgate knows the record's tables up to version {newest}, and they are of version {applied}, which serves from version {from} on: run a newer killgate"
            );
            Err(AuditError::failed(operation, why))
        }
        Some(_) => Ok(()),
    }
}

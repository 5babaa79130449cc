//! What checks of the record have found, as those who made them noted it, the same on either engine. It is a word and no
//! evidence: nothing of it is sealed.

use sqlx::FromRow;
use time::OffsetDateTime;

use super::{
    Audit, AuditError, on_engine, postgres, sqlite,
    timestamp::{Timestamp, whole_millis},
};

/// What a check of the whole record found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// When it was done, by the clock of whoever did it.
    pub at: OffsetDateTime,
    /// Its exit status, see [`crate::chain::check::Report::status`].
    pub status: u8,
    /// How many blocks there were.
    pub blocks: u64,
    /// How many kills and removals were what was sealed.
    pub verified: u64,
}

impl Audit {
    /// Notes what a check found.
    ///
    /// # Errors
    /// It is not noted; a role that only reads may not.
    pub async fn note_verification(&self, found: Verification) -> Result<(), AuditError> {
        let found = Verification { at: whole_millis(found.at), ..found };
        on_engine!(self, upkeep / writer, note_verification(found))
    }

    /// What the last check found that was noted; `None` where none was.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn last_verification(&self) -> Result<Option<Verification>, AuditError> {
        on_engine!(self, readers / readers, last_verification())
    }
}

#[derive(FromRow)]
pub(super) struct VerificationRow {
    at: Timestamp,
    status: i32,
    blocks: i64,
    verified: i64,
}

impl VerificationRow {
    pub(super) fn read(self) -> Verification {
        let Self { at, status, blocks, verified } = self;
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let status = u8::try_from(status).unwrap_or(u8::MAX);
        Verification { at: at.0, status, blocks: count(blocks), verified: count(verified) }
    }
}

macro_rules! verified_functions {
    ($Connection:ty) => {
        use crate::audit::{
            timestamp::Timestamp,
            verified::{Verification, VerificationRow},
        };

        pub(in crate::audit) async fn note_verification(
            connection: &mut $Connection,
            found: Verification,
        ) -> sqlx::Result<()> {
            let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            sqlx::query(NOTE)
                .bind(uuid::Uuid::new_v4())
                .bind(Timestamp(found.at))
                .bind(i32::from(found.status))
                .bind(count(found.blocks))
                .bind(count(found.verified))
                .execute(connection)
                .await?;
            Ok(())
        }

        pub(in crate::audit) async fn last_verification(
            connection: &mut $Connection,
        ) -> sqlx::Result<Option<Verification>> {
            let row: Option<VerificationRow> = sqlx::query_as(LAST).fetch_optional(connection).await?;
            Ok(row.map(VerificationRow::read))
        }

        const NOTE: &str = "INSERT INTO verifications (id, at, status, blocks, verified) VALUES ($1, $2, $3, $4, $5)";

        const LAST: &str = "SELECT at, status, blocks, verified FROM verifications ORDER BY at DESC LIMIT 1";
    };
}
pub(super) use verified_functions;

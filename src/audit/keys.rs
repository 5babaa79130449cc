//! Idempotency keys that stand for kills. The entries that claim them and let them go are written with those of the kills.

use time::OffsetDateTime;

use super::{Audit, AuditError, IdempotencyKey, on_engine, postgres, sqlite};
use crate::domain::Kill;

impl Audit {
    /// The kill that a caller's key stands for at that time, and whether the very same request made it.
    pub async fn keyed(
        &self,
        caller: &str,
        key: &IdempotencyKey,
        at: OffsetDateTime,
    ) -> Result<Option<(Kill, bool)>, AuditError> {
        let (caller, key) = (caller.to_owned(), key.clone());
        on_engine!(self, keyed / readers, keyed(&caller, &key, at))
    }

    /// Removes keys whose time is over; the kills they stood for stay. Answers how many.
    pub async fn forget_keys(&self, now: OffsetDateTime) -> Result<u64, AuditError> {
        on_engine!(self, upkeep / writer, forget_keys(now))
    }
}

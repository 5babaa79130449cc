//! The sealed blocks that hold exported kills, so that a file can be verified without the database.

use super::{ids::Ids, manifest::SealedRange};
use crate::{
    audit::{Audit, AuditError},
    domain::KillId,
};

/// The blocks of an export.
pub(super) struct Sealed {
    exported: Ids,
    range: Option<SealedRange>,
}

impl Sealed {
    /// The blocks that are sealed now.
    #[expect(clippy::unused_async, reason = "nothing seals blocks yet")]
    pub(super) async fn by_now(_: &Audit) -> Result<Self, AuditError> {
        Ok(Self { exported: Ids::new(), range: None })
    }

    /// Takes note of a kill in the file.
    pub(super) fn exports(&mut self, id: KillId) {
        self.exported.insert(id);
    }

    /// The lines of some more blocks that hold exported kills; `None` when there are no more.
    #[expect(clippy::unused_async, reason = "nothing seals blocks yet")]
    pub(super) async fn next(&mut self, _: &Audit) -> Result<Option<Vec<String>>, AuditError> {
        Ok(None)
    }

    /// From where to where, once there are no more.
    pub(super) fn range(&self) -> Option<SealedRange> {
        self.range.clone()
    }
}

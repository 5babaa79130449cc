//! The sealed blocks that hold exported kills, so that a file can be verified without the database.
//!
//! They are those that were sealed when the export began. A kill in the file may since have learned more than its block
//! says, and is then in no block of the file in that form; it never knows less. An export of everything carries the
//! whole chain and the removals, so that it can be seen that nothing is missing.

use std::time::Duration;

use time::OffsetDateTime;

use super::{ids::Ids, manifest::SealedRange};
use crate::{
    audit::{Audit, AuditError, Removal},
    chain::{Block, BlockLine, hex},
    clock::from_unix_millis,
    domain::KillId,
};

/// Blocks that are read at a time. One has up to thousands of entries.
const PAGE: u32 = 8;
/// How far the clocks of gateways may be apart.
const APART: Duration = Duration::from_hours(1);

/// The blocks of an export.
pub(super) struct Sealed {
    /// Whether all blocks are carried, since all kills are.
    whole: bool,
    exported: Ids,
    /// The oldest of them.
    oldest: Option<KillId>,
    /// The newest block of the file, if it holds one of them.
    end: i64,
    /// The last block that was looked at.
    after: Option<i64>,
    range: Option<SealedRange>,
    /// The months that were removed before the export began.
    removals: Vec<Removal>,
}

impl Sealed {
    /// The blocks that are sealed now, all of them for an export of everything.
    pub(super) async fn by_now(audit: &Audit, whole: bool) -> Result<Self, AuditError> {
        let end = audit.last_head().await?.map_or(0, |last| last.head.number);
        let (exported, removals) = (Ids::new(), audit.removals().await?);
        Ok(Self { whole, exported, oldest: None, end, after: whole.then_some(0), range: None, removals })
    }

    /// Takes note of a kill in the file; they come newest first.
    pub(super) fn exports(&mut self, id: KillId) {
        self.exported.insert(id);
        self.oldest = Some(id);
    }

    /// The lines of some more blocks that hold exported kills, perhaps of none; `None` when there are no more.
    pub(super) async fn next(&mut self, audit: &Audit) -> Result<Option<Vec<String>>, AuditError> {
        let after = match (self.after, self.oldest) {
            (Some(after), _) => after,
            (None, None) => return Ok(None),
            // Nothing was sealed before it was asked for.
            (None, Some(oldest)) => audit.block_before(asked_at(oldest) - APART).await?,
        };
        if after >= self.end {
            return Ok(None);
        }
        let blocks = audit.blocks(after, PAGE).await?;
        self.after = Some(blocks.last().map_or(self.end, |block| block.head.number));
        let mut lines = Vec::new();
        for block in &blocks {
            if block.head.number > self.end || !self.holds(block) {
                continue;
            }
            lines.push(BlockLine::from(block).text());
            let head = hex(&block.head.hash());
            let first = self.range.as_ref().map_or(block.head.number, |range| range.first);
            self.range = Some(SealedRange { first, last: block.head.number, head });
        }
        Ok(Some(lines))
    }

    fn holds(&self, block: &Block) -> bool {
        self.whole || block.leaves.iter().any(|leaf| self.exported.may_have(leaf.id))
    }

    /// The lines of the removals, where everything is exported.
    ///
    /// # Errors
    /// A month was removed since the export began, so it may have a part of it.
    pub(super) async fn removals(&self, audit: &Audit) -> Result<Vec<String>, AuditError> {
        if audit.removals().await? != self.removals {
            return Err(AuditError::Failed { operation: "export", why: "a month was removed meanwhile".into() });
        }
        Ok(self.removals.iter().filter(|_| self.whole).map(Removal::text).collect())
    }

    /// From where to where, once there are no more.
    pub(super) fn range(&self) -> Option<SealedRange> {
        self.range.clone()
    }
}

/// When a kill of that id was asked for: ids begin with it, in milliseconds.
fn asked_at(id: KillId) -> OffsetDateTime {
    let (high, _) = id.as_u64_pair();
    from_unix_millis(i64::try_from(high >> 16).unwrap_or(0))
}

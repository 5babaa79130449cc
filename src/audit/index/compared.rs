//! Log and index held against each other, and the index made anew where they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::{IndexRow, halves};
use crate::{
    audit::{Audit, AuditError, on_engine, postgres, sqlite},
    domain::KillId,
};

/// How many kills are looked at to take a range of them apart.
const PART: u32 = 1000;

/// Ended kills and what the index has of them, as of one moment.
#[derive(Debug, Default)]
pub(in crate::audit) struct Compared {
    /// What the log says of kills that should be indexed.
    pub(in crate::audit) expected: BTreeMap<KillId, IndexRow>,
    pub(in crate::audit) indexed: BTreeMap<KillId, IndexRow>,
    /// What cannot be read is told of elsewhere, and its row is left as it is.
    pub(in crate::audit) unreadable: BTreeSet<KillId>,
}

impl Compared {
    /// The ids of which index and log do not say the same.
    pub(in crate::audit) fn differing(&self) -> Vec<KillId> {
        let mut ids: Vec<KillId> = self.expected.keys().chain(self.indexed.keys()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !self.unreadable.contains(id));
        ids.retain(|id| match (self.expected.get(id), self.indexed.get(id)) {
            (Some(expected), Some(indexed)) => !expected.says_the_same_as(indexed),
            (Some(_), None) | (None, Some(_)) => true,
            (None, None) => false,
        });
        ids
    }
}

impl Audit {
    /// The kills above `after` and up to `upto` of which index and log do not say the same; without `upto` there is no upper
    /// bound. One that the database cannot return is none of them.
    pub async fn misindexed(&self, after: Option<KillId>, upto: Option<KillId>) -> Result<Vec<KillId>, AuditError> {
        let (mut misindexed, mut ranges) = (Vec::new(), vec![(after, upto)]);
        while let Some((after, upto)) = ranges.pop() {
            let error = match on_engine!(self, readers / readers, misindexed(after, upto)) {
                Err(error) if !error.may_pass() => error,
                told => {
                    misindexed.extend(told?);
                    continue;
                }
            };
            let mut ids = self.ids(after, PART).await?;
            ids.retain(|id| upto.is_none_or(|upto| *id <= upto));
            match ids[..] {
                [] => return Err(error),
                [alone] if self.unreturned(&ids).await?.is_empty() => misindexed.push(alone),
                [_] => {}
                _ => {
                    let middle = Some(ids[ids.len() / 2 - 1]);
                    ranges.extend([(middle, upto), (after, middle)]);
                }
            }
        }
        Ok(misindexed)
    }

    /// Makes the index of those kills anew from the log, as the owner of the tables; answers how many rows were wrong, missing
    /// or of no kill.
    pub async fn reindex(&self, after: Option<KillId>, upto: Option<KillId>) -> Result<u64, AuditError> {
        let error = match on_engine!(self, indexer / writer, reindex(after, upto)) {
            Err(error) if !error.may_pass() => error,
            done => return done,
        };
        let (differing, mut done) = (self.misindexed(after, upto).await?, 0);
        for kill_id in differing.iter().copied() {
            let before = KillId::from_u128(kill_id.as_u128().saturating_sub(1));
            match on_engine!(self, indexer / writer, reindex(Some(before), Some(kill_id))) {
                Err(error) if !error.may_pass() => tracing::error!(%kill_id, %error, "a kill cannot be indexed anew"),
                one => done += one?,
            }
        }
        if done == 0 && !differing.is_empty() { Err(error) } else { Ok(done) }
    }

    /// Those of these kills that the database cannot return: it is asked for ever fewer at once.
    ///
    /// # Errors
    /// It cannot be reached, or returns none.
    pub(in crate::audit) async fn unreturned(&self, kills: &[KillId]) -> Result<BTreeSet<KillId>, AuditError> {
        // What fails without any kill is no kill's fault.
        self.returns(Vec::new()).await?;
        let (mut unreturned, mut parts) = (BTreeSet::new(), vec![kills.to_vec()]);
        while let Some(part) = parts.pop() {
            match self.returns(part.clone()).await {
                Err(error) if error.may_pass() => return Err(error),
                Err(_) if part.len() > 1 => parts.extend(halves(part)),
                Err(error) => {
                    tracing::error!(kill_id = ?part.first(), %error, "the database cannot return a kill");
                    unreturned.extend(part);
                }
                Ok(()) => {}
            }
        }
        Ok(unreturned)
    }

    async fn returns(&self, kills: Vec<KillId>) -> Result<(), AuditError> {
        on_engine!(self, readers / readers, returns(&kills))
    }
}

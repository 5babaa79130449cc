//! What kills are found by: a row for each kill that has ended, made from the log in bulk.
//!
//! A kill has a lease from its first entry until it is in the index, and both change in one transaction: so at every moment
//! it is found by exactly one of them, whatever commits when. The invariants: a row says what the log says, and nothing
//! but that; and who reads sees a kill from the moment its first entry is committed, indexed or not.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::FromRow;
use time::OffsetDateTime;

use super::{
    Audit, AuditError, Filter,
    log::{Folded, Found},
    on_engine,
    page::first_id_from,
    postgres, sqlite,
    timestamp::Timestamp,
};
use crate::domain::KillId;

/// How much of a text a row has: a refused request may carry anything, and an index entry must stay small.
const LONGEST: usize = 200;

/// The beginning of a text, as a row has it: no engine refuses it.
pub(super) fn cut(text: &str) -> String {
    plain(text).chars().take(LONGEST).collect()
}

/// The text without what Postgres has no room for.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What one kill is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexRow {
    pub(super) id: KillId,
    pub(super) status: String,
    pub(super) caller: String,
    pub(super) on_behalf_of: Option<String>,
    pub(super) vendor: Option<String>,
    pub(super) account: Option<String>,
    pub(super) alias: Option<String>,
    pub(super) instance_id: Option<String>,
    pub(super) requested_at: OffsetDateTime,
    /// How much a page holds with it.
    pub(super) size: i32,
    pub(super) words: Vec<String>,
    pub(super) recorded_in: i64,
    /// The ids of its sessions, each once.
    pub(super) sessions: Vec<String>,
}

/// A row as either engine reads it.
#[derive(FromRow)]
pub(super) struct Indexed {
    id: KillId,
    status: String,
    caller: String,
    on_behalf_of: Option<String>,
    vendor: Option<String>,
    account: Option<String>,
    alias: Option<String>,
    instance_id: Option<String>,
    requested_at: Timestamp,
    size: i32,
    words: String,
    recorded_in: i64,
}

/// The columns of a row from `kill_index k`; `$words` are its words as one text.
macro_rules! index_columns {
    ($words:literal) => {
        concat!(
            "k.id, k.status, k.caller, k.on_behalf_of, k.vendor, k.account, k.alias, k.instance_id, k.requested_at, k.size, ",
            $words,
            " AS words, k.recorded_in"
        )
    };
}
pub(super) use index_columns;

impl Indexed {
    pub(super) fn with(self, sessions: Vec<String>) -> IndexRow {
        IndexRow {
            id: self.id,
            status: self.status,
            caller: self.caller,
            on_behalf_of: self.on_behalf_of,
            vendor: self.vendor,
            account: self.account,
            alias: self.alias,
            instance_id: self.instance_id,
            requested_at: self.requested_at.0,
            size: self.size,
            words: self.words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            recorded_in: self.recorded_in,
            sessions,
        }
    }
}

impl IndexRow {
    /// One that does not read as a row, and says nothing that a kill could.
    pub(super) fn damaged(id: KillId) -> Self {
        let (status, caller) = (String::new(), String::new());
        let (on_behalf_of, vendor, account, alias, instance_id) = <_>::default();
        let requested_at = OffsetDateTime::UNIX_EPOCH;
        let (words, sessions) = <_>::default();
        Self {
            id,
            status,
            caller,
            on_behalf_of,
            vendor,
            account,
            alias,
            instance_id,
            requested_at,
            size: -1,
            words,
            recorded_in: -1,
            sessions,
        }
    }

    /// The same but for what has no order.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let sorted = |row: &Self| {
            let mut row = row.clone();
            row.sessions.sort_unstable();
            row
        };
        sorted(self) == sorted(other)
    }
}

/// The rows of kills that have ended. One that cannot be read has a row too, which says nothing of it: it would else be tried
/// for ever.
pub(super) fn rows_of(ended: &[KillId], found: Vec<Found>) -> Vec<IndexRow> {
    let mut found: BTreeMap<KillId, sqlx::Result<Folded>> = found.into_iter().collect();
    let row = |kill_id: &KillId| match found.remove(kill_id).unwrap_or(Err(sqlx::Error::RowNotFound)) {
        Ok(folded) => folded.index(),
        Err(error) => {
            tracing::error!(%kill_id, %error, "a kill cannot be read, so it is found by its id alone");
            IndexRow::damaged(*kill_id)
        }
    };
    ended.iter().map(row).collect()
}

/// Ended kills and what the index has of them, as of one moment.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What the log says of kills that should be indexed.
    pub(super) expected: BTreeMap<KillId, IndexRow>,
    pub(super) indexed: BTreeMap<KillId, IndexRow>,
    /// What cannot be read is told of elsewhere, and its row is left as it is.
    pub(super) unreadable: BTreeSet<KillId>,
}

impl Compared {
    /// The ids of which index and log do not say the same.
    pub(super) fn differing(&self) -> Vec<KillId> {
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

/// How many kills go into the index at once.
pub const AT_ONCE: u32 = 200;

impl Audit {
    /// Puts up to [`AT_ONCE`] kills that have ended into the index; answers how many. Of several gateways each takes others.
    pub async fn index(&self) -> Result<u64, AuditError> {
        on_engine!(self, indexer / writer, index())
    }

    /// How many kills have ended and are not in the index, and for how many seconds the oldest of them has been so, at most.
    pub async fn unindexed(&self, now: OffsetDateTime) -> Result<(u64, f64), AuditError> {
        let (count, since): (i64, Option<Timestamp>) = on_engine!(self, indexer / readers, unindexed())?;
        let lag = since.map_or(0.0, |since| (now - since.0).as_seconds_f64().max(0.0));
        Ok((u64::try_from(count).unwrap_or(0), lag))
    }

    /// The kills above `after` and up to `upto` of which index and log do not say the same; without `upto` there is no upper
    /// bound.
    pub async fn misindexed(&self, after: Option<KillId>, upto: Option<KillId>) -> Result<Vec<KillId>, AuditError> {
        on_engine!(self, readers / readers, misindexed(after, upto))
    }

    /// Makes the index of those kills anew from the log, as the owner of the tables; answers how many rows were wrong, missing
    /// or of no kill.
    pub async fn reindex(&self, after: Option<KillId>, upto: Option<KillId>) -> Result<u64, AuditError> {
        on_engine!(self, indexer / writer, reindex(after, upto))
    }
}

impl Filter {
    /// Whether a kill passes that is found by this; as the engines tell it of their rows.
    pub(super) fn meets(&self, row: &IndexRow) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| wanted.as_deref().is_none_or(|it| Some(it) == given);
        is(&self.vendor, row.vendor.as_deref())
            && is(&self.account, row.account.as_deref())
            && is(&self.target, row.alias.as_deref())
            && is(&self.instance_id, row.instance_id.as_deref())
            && is(&self.caller, Some(&row.caller))
            && is(&self.only_caller, Some(&row.caller))
            && self.status.is_none_or(|status| status.as_str() == row.status)
            && self.session_id.as_ref().is_none_or(|wanted| row.sessions.contains(wanted))
            && self.reason.iter().all(|word| row.words.contains(word))
            && self.since.is_none_or(|since| row.id >= first_id_from(since))
            && self.until.is_none_or(|until| row.id < first_id_from(until))
            && self.before.as_ref().is_none_or(|cursor| row.id < cursor.after && cursor.seen.holds(row))
    }
}

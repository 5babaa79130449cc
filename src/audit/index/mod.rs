//! What kills are found by: a row for each kill that has ended, made from the log in bulk.
//!
//! A kill has a lease from its first entry until it is in the index, and both change in one transaction: so at every moment
//! it is found by exactly one of them, whatever commits when. The invariants: a row says what the log says, and nothing
//! but that; and who reads sees a kill from the moment its first entry is committed, indexed or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::FromRow;
use time::{Date, OffsetDateTime};

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
pub(super) const LONGEST: usize = 200;

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
pub(super) const AT_ONCE: u32 = 200;
/// How many bytes the entries of one batch have, as they are stored, and how many sessions: a kill may have thousands. One
/// kill is taken whatever it has.
const HEAVY: i64 = 1 << 20;
const MANY_SESSIONS: usize = 20_000;
/// How many kills are refused one by one, even without what is known of them, before it is the index that takes nothing.
const REFUSALS: u32 = 5;

/// How many kills are looked at to take a range of them apart.
const PART: u32 = 1000;

/// How often it is asked whether a month is indexed, and how long is waited in between.
const FEW: u32 = 25;
const A_MOMENT: Duration = Duration::from_millis(200);

/// Which kills go into the index together.
#[derive(Debug, Clone)]
pub(super) enum Batch {
    /// The first of those that have ended.
    First,
    /// These, as far as they wait.
    These(Vec<KillId>),
    /// One that is refused otherwise: it is found by its id alone.
    Damaged(KillId),
}

/// What came of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    pub(super) kills: u64,
    /// Whether there may be more.
    pub(super) is_full: bool,
}

impl Taken {
    /// What came of a batch where these had ended, so many of them were read, and so many indexed.
    pub(super) const fn of(ended: &[KillId], read: usize, kills: u64) -> Self {
        Self { kills, is_full: read < ended.len() || ended.len() >= AT_ONCE as usize }
    }
}

/// The first of these, as many as go into one batch; a kill that is not weighed has no entries.
pub(super) fn light(ended: &[KillId], weights: Vec<(KillId, i64)>) -> &[KillId] {
    let weights: BTreeMap<KillId, i64> = weights.into_iter().collect();
    let mut weight = 0;
    let fitting = ended.iter().take_while(|id| {
        weight += weights.get(id).copied().unwrap_or(0);
        weight <= HEAVY
    });
    let fitting = fitting.count().max(1).min(ended.len());
    &ended[..fitting]
}

/// The first of these rows, with as many sessions as go into one batch.
pub(super) fn few_sessions(mut rows: Vec<IndexRow>) -> Vec<IndexRow> {
    let mut sessions = 0;
    let fitting = rows.iter().take_while(|row| {
        sessions += row.sessions.len();
        sessions <= MANY_SESSIONS
    });
    let fitting = fitting.count().max(1);
    rows.truncate(fitting);
    rows
}

/// The first half of these last, as whoever takes the last one first wants them.
pub(super) fn halves(mut kills: Vec<KillId>) -> [Vec<KillId>; 2] {
    let rest = kills.split_off(kills.len() / 2);
    [rest, kills]
}

impl Audit {
    /// Puts some of the kills that have ended into the index; answers how many. Of several gateways each takes others.
    ///
    /// One that cannot be read, or that the index refuses, is found by its id alone, and keeps no other from the index.
    ///
    /// # Errors
    /// The database cannot be reached, or takes none of them.
    pub async fn index(&self) -> Result<u64, AuditError> {
        Ok(self.index_some().await?.kills)
    }

    /// The same for all that has ended, up to so many batches.
    ///
    /// # Errors
    /// As [`Audit::index`].
    pub async fn index_all(&self, batches: u32) -> Result<(), AuditError> {
        for _ in 0..batches {
            if !self.index_some().await?.is_full {
                break;
            }
        }
        Ok(())
    }

    async fn index_some(&self) -> Result<Taken, AuditError> {
        match self.index_batch(Batch::First).await {
            Err(error) if !error.may_pass() => self.index_by_halves(error).await,
            taken => taken,
        }
    }

    /// Puts what has ended into the index in ever smaller batches, down to those that are refused by themselves.
    async fn index_by_halves(&self, why: AuditError) -> Result<Taken, AuditError> {
        tracing::warn!(error = %why, "kills were refused by the index, so they are tried in smaller batches");
        let ended: Vec<KillId> = on_engine!(self, indexer / readers, ended(&Batch::First))?;
        let (mut taken, mut refused) = (Taken::default(), 0);
        let mut parts = vec![ended];
        while let Some(part) = parts.pop() {
            let done = match self.index_batch(Batch::These(part.clone())).await {
                Err(error) if !error.may_pass() && part.len() > 1 => {
                    parts.extend(halves(part));
                    continue;
                }
                Err(error) if !error.may_pass() => self.index_damaged(&part, &error).await,
                done => done,
            };
            match done {
                Ok(done) => {
                    taken.kills += done.kills;
                    taken.is_full |= done.is_full;
                }
                Err(error) if error.may_pass() || refused >= REFUSALS => return Err(error),
                Err(_) => refused += 1,
            }
        }
        if taken.kills == 0 && refused > 0 { Err(why) } else { Ok(taken) }
    }

    /// Lets a kill that is refused be found by its id alone.
    async fn index_damaged(&self, alone: &[KillId], why: &AuditError) -> Result<Taken, AuditError> {
        let Some(kill_id) = alone.first() else { return Ok(Taken::default()) };
        let indexed = self.index_batch(Batch::Damaged(*kill_id)).await;
        match &indexed {
            Ok(_) => {
                tracing::error!(%kill_id, error = %why, "a kill cannot be indexed, so it is found by its id alone");
            }
            Err(error) => tracing::error!(%kill_id, %error, "a kill cannot be indexed at all, and waits"),
        }
        indexed
    }

    /// Puts what has ended into the index, so that a month can go with its index. What is not put there keeps its month from
    /// being removed, and no other.
    pub(super) async fn index_month(&self, month: Date) {
        for _ in 0..FEW {
            if let Err(error) = self.index_all(u32::MAX).await {
                return tracing::warn!(%error, "kills could not be indexed, so their months cannot be removed");
            }
            // What a gateway has at hand is there in a moment.
            if !matches!(self.has_unindexed(month).await, Ok(true)) {
                return;
            }
            tokio::time::sleep(A_MOMENT).await;
        }
    }

    async fn has_unindexed(&self, month: Date) -> Result<bool, AuditError> {
        let Self::Postgres(engine) = self else { return Ok(false) };
        let asked = engine.indexer.run("has_unindexed", move |connection| {
            Box::pin(async move { postgres::has_unindexed(connection, month).await })
        });
        asked.await
    }

    async fn index_batch(&self, batch: Batch) -> Result<Taken, AuditError> {
        match self {
            Self::Postgres(engine) => {
                let index = engine
                    .indexer
                    .run("index", move |connection| Box::pin(async move { postgres::index(connection, &batch).await }));
                index.await
            }
            // Whoever writes waits for nobody who reads.
            Self::Sqlite(engine) => {
                let read = engine
                    .readers
                    .run("index", move |connection| Box::pin(async move { sqlite::ready(connection, &batch).await }));
                let (rows, taken) = read.await?;
                if rows.is_empty() {
                    return Ok(taken);
                }
                let write = engine
                    .writer
                    .run("index", move |connection| Box::pin(async move { sqlite::index(connection, &rows).await }));
                Ok(Taken { kills: write.await?, ..taken })
            }
        }
    }

    /// For how many seconds the oldest kill that has ended has not been in the index, as far as the first few tell; `None`
    /// where all are there.
    pub async fn unindexed(&self, now: OffsetDateTime) -> Result<Option<f64>, AuditError> {
        let since: Option<Timestamp> = on_engine!(self, indexer / readers, unindexed())?;
        Ok(since.map(|since| (now - since.0).as_seconds_f64().max(0.0)))
    }

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
    pub(super) async fn unreturned(&self, kills: &[KillId]) -> Result<BTreeSet<KillId>, AuditError> {
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

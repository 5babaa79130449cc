//! What kills are found by: a row for each kill that has ended, made from the log in bulk.
//!
//! A kill has a lease from its first entry until it is in the index, and both change in one transaction: so at every moment
//! it is found by exactly one of them, whatever commits when. The invariants: a row says what the log says, and nothing
//! but that; and who reads sees a kill from the moment its first entry is committed, indexed or not.

mod compared;
mod functions;
mod refused;
mod row;

use std::{collections::BTreeMap, time::Duration};

use time::{Date, OffsetDateTime};

use super::{
    Audit, AuditError,
    log::{Folded, Found},
    on_engine, postgres, sqlite,
    timestamp::Timestamp,
};
use crate::domain::KillId;

pub(super) use compared::Compared;
pub(super) use functions::{SessionRow, index_functions};
pub(super) use refused::Refused;
pub(super) use row::{IndexRow, Indexed, LONGEST, cut, each_once, index_columns, of_sessions, plain};

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

/// How many kills go into the index at once.
pub(super) const AT_ONCE: u32 = 200;
/// How many bytes the entries of one batch have, as they are stored, and how many sessions: a kill may have thousands. One
/// kill is taken whatever it has.
const HEAVY: i64 = 1 << 20;
const MANY_SESSIONS: usize = 20_000;
/// How many kills are refused one by one, even without what is known of them, before others are tried another time: it may be
/// the index that takes nothing.
const REFUSALS: u32 = 5;

/// How often it is asked whether a month is indexed, and how long is waited in between.
const FEW: u32 = 25;
const A_MOMENT: Duration = Duration::from_millis(200);

/// Which kills go into the index together.
#[derive(Debug, Clone)]
pub(super) enum Batch {
    /// The first of those that have ended, but for these.
    First(Vec<KillId>),
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
fn halves(mut kills: Vec<KillId>) -> [Vec<KillId>; 2] {
    let rest = kills.split_off(kills.len() / 2);
    [rest, kills]
}

impl Audit {
    /// Puts some of the kills that have ended into the index; answers how many. Of several gateways each takes others.
    ///
    /// One that cannot be read, or that the index refuses, is found by its id alone, and keeps no other from the index. One that
    /// is refused even so waits, and is left out for a while.
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
        let (others, is_any_due) = self.refused().left_out();
        match self.index_batch(Batch::First(others.clone())).await {
            Err(error) if !error.may_pass() => self.index_by_halves(error, others).await,
            taken => {
                if is_any_due && taken.is_ok() {
                    self.refused().clear();
                }
                taken
            }
        }
    }

    /// The kills that the index took in no form.
    fn refused(&self) -> &Refused {
        match self {
            Self::Postgres(engine) => &engine.refused,
            Self::Sqlite(engine) => &engine.refused,
        }
    }

    /// Puts what has ended into the index in ever smaller batches, down to those that are refused by themselves.
    async fn index_by_halves(&self, why: AuditError, others: Vec<KillId>) -> Result<Taken, AuditError> {
        tracing::warn!(error = %why, "kills were refused by the index, so they are tried in smaller batches");
        let ended: Vec<KillId> = on_engine!(self, indexer / readers, ended(&Batch::First(others)))?;
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
                Err(error) if error.may_pass() => return Err(error),
                Err(_) => refused += 1,
            }
            if refused > REFUSALS && taken.kills == 0 {
                break;
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
            Err(error) if error.may_pass() => {}
            Err(error) => {
                tracing::error!(%kill_id, %error, "a kill cannot be indexed at all, and waits");
                self.refused().add(*kill_id);
            }
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
}

//! The record for whoever seals it or checks what was sealed.

use std::{collections::BTreeSet, time::Duration};

use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Audit, AuditError, Removal, Sealing, Standing, on_engine, postgres, sqlite, timestamp::whole_millis};
use crate::{
    chain::{Block, Checkpoint, SealKey},
    domain::KillId,
};

/// How many batches are indexed at most before a block is sealed, and how long that may take: what ends meanwhile comes into
/// the next one.
const BATCHES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(3);

impl Audit {
    /// Lets everything that nobody works on wait to be sealed from now on, all that was recorded so far included; true if
    /// nothing did until now. Without it nothing waits, so that a record without a key does not gather what nobody takes.
    ///
    /// # Errors
    /// It did not begin; it may be tried again.
    pub async fn begin_sealing(&self) -> Result<bool, AuditError> {
        match self {
            Self::Postgres(engine) => {
                let begin = engine.sealer.run("begin_sealing", move |connection| {
                    Box::pin(async move { postgres::begin_sealing(connection).await })
                });
                begin.await
            }
            Self::Sqlite(engine) => {
                let begin = engine.writer.run("begin_sealing", move |connection| {
                    Box::pin(async move { sqlite::begin_sealing(connection).await })
                });
                begin.await
            }
        }
    }

    /// Closes up to `most` of what is to be sealed into the next block. Of several who try at once one succeeds.
    ///
    /// What has ended and is not indexed is indexed first, as far as that can be done. Nobody who writes waits for it.
    ///
    /// # Errors
    /// Nothing was sealed, as far as is known; all of it is still there to be sealed. [`AuditError::Corrupt`] where the
    /// last block is not signed with the key it names: nothing is sealed on top of it.
    pub async fn seal(&self, key: &SealKey, now: OffsetDateTime, most: u32) -> Result<Sealing, AuditError> {
        self.index_first().await;
        match self.seal_next(key, now, most, BTreeSet::new()).await {
            Err(error @ AuditError::Failed { .. }) => {
                let next = on_engine!(self, readers / readers, next_to_seal(most))?;
                let unreturned = self.unreturned(&next).await?;
                if unreturned.is_empty() { Err(error) } else { self.seal_next(key, now, most, unreturned).await }
            }
            sealed => sealed,
        }
    }

    /// Seals the next block; these kills cannot be returned, and are sealed as absent.
    async fn seal_next(
        &self,
        key: &SealKey,
        now: OffsetDateTime,
        most: u32,
        unreturned: BTreeSet<KillId>,
    ) -> Result<Sealing, AuditError> {
        let (key, now) = (key.clone(), whole_millis(now));
        match self {
            Self::Postgres(engine) => {
                let seal = engine.sealer.run("seal", move |connection| {
                    Box::pin(async move { postgres::seal(connection, &key, now, most, &unreturned).await })
                });
                seal.await
            }
            Self::Sqlite(engine) => {
                let due = engine.readers.run("seal", move |connection| {
                    Box::pin(async move { sqlite::due(connection, most, &unreturned).await })
                });
                let Some(mut due) = due.await? else { return Ok(Sealing::Nothing) };
                let last = due.last.as_ref().map(|last| &last.head);
                let block = Block::seal(std::mem::take(&mut due.leaves), last, now, &key);
                let block = block.map_err(|error| AuditError::failed("seal", error.to_string()))?;
                let add = engine.writer.run("seal", move |connection| {
                    Box::pin(async move { sqlite::add(connection, &due, &block).await })
                });
                add.await
            }
        }
    }

    /// Only what is indexed waits to be sealed. Where that fails or takes long, what waits already is sealed all the same.
    async fn index_first(&self) {
        match timeout(PATIENCE, self.index_all(BATCHES)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "kills could not be indexed, so they are not sealed yet"),
            Err(_) => tracing::warn!("kills are not indexed yet, so they are not sealed yet"),
        }
    }

    /// For how many whole seconds the oldest of up to `most` entries that are to be sealed next has waited; `None` if
    /// none waits.
    ///
    /// # Errors
    /// The record could not be read.
    pub async fn waits_for(&self, most: u32) -> Result<Option<i64>, AuditError> {
        match self {
            Self::Postgres(engine) => {
                let asked = engine.sealer.run("waits_for", move |connection| {
                    Box::pin(async move { postgres::waits_for(connection, most).await })
                });
                asked.await
            }
            Self::Sqlite(engine) => {
                let asked = engine.readers.run("waits_for", move |connection| {
                    Box::pin(async move { sqlite::waits_for(connection, most).await })
                });
                asked.await
            }
        }
    }

    /// Up to `limit` blocks with numbers above `after`, in their order.
    ///
    /// # Errors
    /// [`AuditError::Corrupt`] where a block does not even have the form of one.
    pub async fn blocks(&self, after: i64, limit: u32) -> Result<Vec<Block>, AuditError> {
        on_engine!(self, readers / readers, blocks(after, limit))
    }

    /// The number of the last block before the first one that was sealed at that time or later.
    pub async fn block_before(&self, at: OffsetDateTime) -> Result<i64, AuditError> {
        on_engine!(self, readers / readers, block_before(at))
    }

    /// The signed heads of such blocks.
    pub async fn heads(&self, after: i64, limit: u32) -> Result<Vec<Checkpoint>, AuditError> {
        on_engine!(self, readers / readers, heads(after, limit))
    }

    /// The signed head of the last block; `None` if there is no block.
    pub async fn last_head(&self) -> Result<Option<Checkpoint>, AuditError> {
        on_engine!(self, readers / readers, last_head())
    }

    /// Up to `limit` ids of kills above `after`, or of the lowest ones, in their order.
    pub async fn ids(&self, after: Option<KillId>, limit: u32) -> Result<Vec<KillId>, AuditError> {
        on_engine!(self, readers / readers, ids(after, limit))
    }

    /// How these kills stand; those that are not there are left out.
    pub async fn standing(&self, ids: &[KillId]) -> Result<Vec<Standing>, AuditError> {
        let error = match self.standing_of(ids.to_vec()).await {
            Err(error) if !error.may_pass() => error,
            standing => return standing,
        };
        let unreturned = self.unreturned(ids).await?;
        if unreturned.is_empty() {
            return Err(error);
        }
        let others = ids.iter().filter(|id| !unreturned.contains(*id)).copied().collect();
        let mut standing = self.standing_of(others).await?;
        standing.extend(unreturned.into_iter().map(Standing::Unreadable));
        Ok(standing)
    }

    async fn standing_of(&self, ids: Vec<KillId>) -> Result<Vec<Standing>, AuditError> {
        on_engine!(self, readers / readers, standing(&ids))
    }

    /// Those of these kills and removals that are to be sealed.
    pub async fn waiting(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, AuditError> {
        let ids = ids.to_vec();
        on_engine!(self, readers / readers, waiting(&ids))
    }

    /// The months that were removed as a whole, oldest first.
    pub async fn removals(&self) -> Result<Vec<Removal>, AuditError> {
        on_engine!(self, readers / readers, removals())
    }
}

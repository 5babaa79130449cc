//! The record for whoever seals it or checks what was sealed.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Audit, AuditError, Removal, Sealing, Standing, on_engine, postgres, sqlite, timestamp::whole_millis};
use crate::{
    chain::{Block, Checkpoint, SealKey},
    domain::KillId,
};

/// How often it is indexed at most before a block is sealed: what ends meanwhile comes into the next one.
const ROUNDS: u32 = 20;

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
    /// What has ended and is not indexed is indexed first. Nobody who writes waits for it.
    ///
    /// # Errors
    /// Nothing was sealed, as far as is known; all of it is still there to be sealed. [`AuditError::Corrupt`] where the
    /// last block is not signed with the key it names: nothing is sealed on top of it.
    pub async fn seal(&self, key: &SealKey, now: OffsetDateTime, most: u32) -> Result<Sealing, AuditError> {
        // Only what is indexed waits to be sealed.
        for _ in 0..ROUNDS {
            if self.index().await? < u64::from(super::AT_ONCE) {
                break;
            }
        }
        let (key, now) = (key.clone(), whole_millis(now));
        match self {
            Self::Postgres(engine) => {
                let seal = engine.sealer.run("seal", move |connection| {
                    Box::pin(async move { postgres::seal(connection, &key, now, most).await })
                });
                seal.await
            }
            Self::Sqlite(engine) => {
                let due = engine
                    .readers
                    .run("seal", move |connection| Box::pin(async move { sqlite::due(connection, most).await }));
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
        let ids = ids.to_vec();
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

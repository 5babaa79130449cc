//! One connection, one deadline, one runtime: how every piece of work reaches a database.
//!
//! Callers run on runtimes that end before the process does, and they hang up. So the work runs on the runtime the
//! record was opened on, and goes on to its end when nobody waits for it any more.
//!
//! A pool never gets back the place of a connection that falls silent while it is out (seen with sqlx 0.9.0): the
//! pool asks the connection for a sign of life before it frees the place, and waits for ever. So each connection
//! is given back under the deadline, and one that failed or was too slow is not given back at all.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{Database, Pool, pool::PoolConnection};
use tokio::{runtime::Handle, time::Instant};

use super::AuditError;

/// A pool together with the runtime its connections live on and the time each piece of work may take.
pub(super) struct Lane<DB: Database> {
    pool: Pool<DB>,
    pub(super) home: Handle,
    pub(super) limit: Duration,
    trouble: Trouble,
}

/// When work last failed for want of a connection. Those that were idle then may be dead too.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Instant>>>);

impl Trouble {
    fn noticed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether there was any within that time.
    pub(super) fn within(&self, time: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| last.elapsed() <= time)
    }
}

impl<DB: Database> Clone for Lane<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), home: self.home.clone(), limit: self.limit, trouble: self.trouble.clone() }
    }
}

impl<DB: Database> fmt::Debug for Lane<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("size", &self.pool.size()).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<DB: Database> Lane<DB> {
    pub(super) fn new(pool: Pool<DB>, home: Handle, limit: Duration, trouble: Trouble) -> Self {
        Self { pool, home, limit, trouble }
    }

    /// Does `work` on a connection of its own, on the home runtime, within the limit.
    pub(super) async fn run<T, W>(&self, operation: &'static str, work: W) -> Result<T, AuditError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
    {
        let (lane, deadline) = (self.clone(), Instant::now() + self.limit);
        let done = self.home.spawn(async move { lane.work(deadline, operation, work).await }).await;
        done.unwrap_or_else(|_| Err(AuditError::unavailable(operation, "the gateway is stopping")))
    }

    /// Does `work` on a connection of its own until the deadline; for those who are on the home runtime already.
    pub(super) async fn work<T, W>(&self, deadline: Instant, operation: &'static str, work: W) -> Result<T, AuditError>
    where
        W: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>,
    {
        let done = self.try_work(deadline, operation, work).await;
        if let Err(AuditError::Unavailable { .. }) = &done {
            self.trouble.noticed();
        }
        done
    }

    async fn try_work<T, W>(&self, deadline: Instant, operation: &'static str, work: W) -> Result<T, AuditError>
    where
        W: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>,
    {
        let too_slow = |_| AuditError::too_slow(operation, self.limit);
        let acquired = tokio::time::timeout_at(deadline, self.pool.acquire()).await.map_err(too_slow)?;
        let mut connection = acquired.map_err(|error| AuditError::from_sqlx(operation, &error))?;
        match tokio::time::timeout_at(deadline, work(&mut connection)).await {
            Ok(Ok(value)) => {
                self.give_back(connection);
                Ok(value)
            }
            Ok(Err(error)) => {
                drop(connection.detach());
                Err(AuditError::from_sqlx(operation, &error))
            }
            Err(elapsed) => {
                drop(connection.detach());
                Err(too_slow(elapsed))
            }
        }
    }

    fn give_back(&self, mut connection: PoolConnection<DB>) {
        drop(self.home.spawn(tokio::time::timeout(self.limit, connection.return_to_pool())));
    }

    /// Lets the connections go; work that comes later finds the record closed.
    pub(super) async fn close(&self) {
        let (pool, limit) = (self.pool.clone(), self.limit);
        let closed = self.home.spawn(async move { tokio::time::timeout(limit, pool.close()).await });
        // Whoever closes is on the way out: connections that do not say goodbye in time are dropped with the process.
        let _ = closed.await;
    }
}

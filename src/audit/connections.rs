//! Connections to a database, and how every piece of work reaches one: within one deadline, on one runtime.
//!
//! Callers run on runtimes that end before the process does, and they hang up. So the work runs on the runtime the
//! record was opened on, and goes on to its end when nobody waits for it any more.
//!
//! A connection is kept as the work before left it, without a sign of life, so that work of one statement is one round
//! trip. One on which work failed or was too slow is let go, and whoever comes next makes another: a place is never lost,
//! and no work is done twice.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{Connection, Database};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::AuditError;

use crate::{lock::lock, metrics::PoolUse};

/// How long a connection may have been idle to be used without a sign of life, if there was no trouble meanwhile.
const FRESH: Duration = Duration::from_secs(1);
/// One that was idle for longer is not used again: what is between here and the database may have forgotten it.
const STALE: Duration = Duration::from_mins(10);
/// The age of a connection after which it is not kept: a server's process gathers what it has seen.
const OLD: Duration = Duration::from_mins(30);

/// How connections to one database are made.
pub(super) trait Connect<DB: Database>: Send + Sync + 'static {
    fn connect(&self) -> BoxFuture<'_, sqlx::Result<DB::Connection>>;

    /// Whether one that was idle is still what it was when it was made.
    fn is_well<'c>(&'c self, connection: &'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<bool>>;
}

/// Up to so many connections, the runtime they live on and the time each piece of work may take. Clones are the same.
pub(super) struct Connections<DB: Database> {
    shared: Arc<Shared<DB>>,
    pub(super) home: Handle,
    pub(super) limit: Duration,
}

struct Shared<DB: Database> {
    connect: Box<dyn Connect<DB>>,
    /// One for each piece of work that has a connection; closed with the record.
    places: Semaphore,
    size: u32,
    idle: Mutex<Vec<Kept<DB>>>,
    trouble: Trouble,
    waits: AtomicU64,
    /// In microseconds.
    waited: AtomicU64,
}

/// A connection between two pieces of work.
struct Kept<DB: Database> {
    connection: DB::Connection,
    made: Instant,
    since: Instant,
}

/// When work last failed for want of a connection. Those that were idle then may be dead too.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Instant>>>);

impl Trouble {
    fn noticed(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    /// Whether there was any since that moment.
    fn since(&self, moment: Instant) -> bool {
        lock(&self.0).is_some_and(|last| last >= moment)
    }
}

impl<DB: Database> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), home: self.home.clone(), limit: self.limit }
    }
}

/// Without what makes them, which may know the password.
impl<DB: Database> fmt::Debug for Connections<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("size", &self.shared.size)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<DB: Database> Connections<DB> {
    /// Up to `size` connections, 1 at least, each made when it is first needed. They live on the runtime this is called on.
    pub(super) fn new(connect: impl Connect<DB>, size: u32, limit: Duration, trouble: Trouble) -> Self {
        let size = size.max(1);
        let places = Semaphore::new(size as usize);
        let (connect, idle) = (Box::new(connect), Mutex::default());
        let (waits, waited) = (AtomicU64::default(), AtomicU64::default());
        let shared = Shared { connect, places, size, idle, trouble, waits, waited };
        Self { shared: Arc::new(shared), home: Handle::current(), limit }
    }

    /// Does `work` on a connection of its own, on the home runtime, within the limit.
    pub(super) async fn run<T, W>(&self, operation: &'static str, work: W) -> Result<T, AuditError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
    {
        let (connections, deadline) = (self.clone(), Instant::now() + self.limit);
        let done = self.home.spawn(async move { connections.work(deadline, operation, work).await }).await;
        done.unwrap_or_else(|_| Err(AuditError::unavailable(operation, "the gateway is stopping")))
    }

    /// Does `work` on a connection of its own until the deadline; for those who are on the home runtime already.
    pub(super) async fn work<T, W>(&self, deadline: Instant, operation: &'static str, work: W) -> Result<T, AuditError>
    where
        W: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>,
    {
        let done = self.try_work(deadline, operation, work).await;
        if let Err(AuditError::Unavailable { .. }) = &done {
            self.shared.trouble.noticed();
        }
        done
    }

    async fn try_work<T, W>(&self, deadline: Instant, operation: &'static str, work: W) -> Result<T, AuditError>
    where
        W: for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>,
    {
        let _place = self.place(deadline, operation).await?;
        let (kept, value) = timeout_at(deadline, async {
            let mut kept = self.shared.take().await?;
            let value = work(&mut kept.connection).await?;
            // A transaction that was let go has only queued its end.
            if kept.connection.should_flush() {
                kept.connection.flush().await?;
            }
            sqlx::Result::Ok((kept, value))
        })
        .await
        .map_err(|_| AuditError::too_slow(operation, self.limit))?
        .map_err(|error| AuditError::from_sqlx(operation, &error))?;
        self.shared.keep(kept);
        Ok(value)
    }

    /// A place among those who have a connection.
    async fn place(&self, deadline: Instant, operation: &'static str) -> Result<SemaphorePermit<'_>, AuditError> {
        if let Ok(place) = self.shared.places.try_acquire() {
            return Ok(place);
        }
        let since = Instant::now();
        let place = timeout_at(deadline, self.shared.places.acquire()).await;
        self.shared.waits.fetch_add(1, Ordering::Relaxed);
        let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.waited.fetch_add(waited, Ordering::Relaxed);
        let place = place.map_err(|_| AuditError::unavailable(operation, "no connection in time"))?;
        place.map_err(|_| AuditError::unavailable(operation, "closed"))
    }

    /// How they are used now.
    pub(super) fn usage(&self, pool: &'static str) -> PoolUse {
        let (shared, many) = (&self.shared, |number: usize| u32::try_from(number).unwrap_or(u32::MAX));
        PoolUse {
            pool,
            in_use: shared.size.saturating_sub(many(shared.places.available_permits())),
            idle: many(lock(&shared.idle).len()),
            most: shared.size,
            waits: shared.waits.load(Ordering::Relaxed),
            waited: Duration::from_micros(shared.waited.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }

    /// Lets the connections go, once nobody works on one; work that comes later finds the record closed.
    pub(super) async fn close(&self) {
        let (shared, limit) = (Arc::clone(&self.shared), self.limit);
        let closed = self.home.spawn(async move {
            let all = timeout(limit, shared.places.acquire_many(shared.size)).await;
            shared.places.close();
            drop(all);
            let idle = std::mem::take(&mut *lock(&shared.idle));
            let goodbyes = idle.into_iter().map(|kept| kept.connection.close());
            timeout(limit, futures_util::future::join_all(goodbyes)).await
        });
        // Whoever closes is on the way out: connections that do not say goodbye in time are dropped with the process.
        let _ = closed.await;
    }
}

impl<DB: Database> Shared<DB> {
    /// The connection that was used last, if it is still good, or else another.
    async fn take(&self) -> sqlx::Result<Kept<DB>> {
        while let Some(mut kept) = self.pop() {
            let is_doubtful = kept.since.elapsed() > FRESH || self.trouble.since(kept.since);
            if !is_doubtful || matches!(self.connect.is_well(&mut kept.connection).await, Ok(true)) {
                return Ok(kept);
            }
        }
        let (connection, made) = (self.make().await?, Instant::now());
        Ok(Kept { connection, made, since: made })
    }

    /// Another connection, as soon as the database takes one: it may be starting.
    async fn make(&self) -> sqlx::Result<DB::Connection> {
        let mut pause = Duration::from_millis(10);
        loop {
            match self.connect.connect().await {
                Err(error) if is_early(&error) => sleep(pause).await,
                made => return made,
            }
            pause = (2 * pause).min(FRESH);
        }
    }

    fn pop(&self) -> Option<Kept<DB>> {
        let mut idle = lock(&self.idle);
        idle.retain(|kept| kept.since.elapsed() < STALE);
        idle.pop()
    }

    fn keep(&self, kept: Kept<DB>) {
        if kept.made.elapsed() < OLD {
            lock(&self.idle).push(Kept { since: Instant::now(), ..kept });
        }
    }
}

/// Whether a database that is starting, or has no room just now, may say so.
fn is_early(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(refusal) => matches!(refusal.code().as_deref(), Some("53300" | "57P03")),
        _ => false,
    }
}

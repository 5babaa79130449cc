//! The batch writer: writes wait together, and whoever is free to write takes all that wait at once.
//!
//! A commit costs the same for one row as for many, and a statement nearly so. So a writer that is free takes whatever
//! waits, up to a batch, and commits it as one; while it is busy the next batch gathers by itself. Nothing waits for company:
//! where nobody writes, a lone write starts at once. One writer writes at a time, and others stand by for the case that it
//! takes long.
//!
//! A database that refuses a batch refuses it for one member's sake. Then every member is written by itself, and
//! only that one fails. A database that is away fails all members: what it committed is not known.

use std::{collections::HashSet, ops::Range, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::Database;
use tokio::{
    sync::{
        Mutex, Semaphore, SemaphorePermit,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::{Instant, timeout, timeout_at},
};

use super::{
    AuditError,
    connections::Connections,
    record::{FirstEntry, NextEntry},
};
use crate::domain::KillId;

/// The most writes that share a commit.
const BATCH: usize = 64;
/// The most writes that wait.
const ROOM: usize = 10_000;
/// How long a batch may take before the next one goes beside it: the network may have swallowed it.
const LONG: Duration = Duration::from_millis(25);

/// Something to write.
#[derive(Debug)]
pub(super) enum Entry {
    /// One that claims no key: keys are waited for, and nobody else should have to wait along.
    First(Box<FirstEntry>),
    Next(Box<NextEntry>),
}

impl Entry {
    fn operation(&self) -> &'static str {
        match self {
            Self::First(_) => "begin",
            Self::Next(_) => "append",
        }
    }

    pub(super) fn kill(&self) -> KillId {
        match self {
            Self::First(first) => first.kill,
            Self::Next(next) => next.kill,
        }
    }
}

/// How an engine writes entries, all of different kills, in one transaction; for each it answers whether anything was
/// written.
pub(super) type Write<DB> =
    for<'c> fn(&'c mut <DB as Database>::Connection, &'c [Entry]) -> BoxFuture<'c, sqlx::Result<Vec<bool>>>;

/// Asks whether the database is one that may be written to; cheap once it was found so.
pub(super) type Sure = Arc<dyn Fn() -> BoxFuture<'static, Result<(), AuditError>> + Send + Sync>;

/// Where writes wait. Clones are the same; its writers end with the last one.
#[derive(Debug, Clone)]
pub(super) struct BatchWriter {
    sender: mpsc::Sender<Waiting>,
    limit: Duration,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    deadline: Instant,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<bool, AuditError>>;

impl BatchWriter {
    /// As many writers as that, on these connections and their home runtime. Nothing is written before they are `sure`.
    pub(super) fn start<DB: Database>(
        connections: &Connections<DB>,
        sure: Option<&Sure>,
        writers: usize,
        write: Write<DB>,
    ) -> Self {
        let (sender, waiting) = mpsc::channel(ROOM);
        let inbox = Arc::new(Inbox { waiting: Mutex::new(waiting), turn: Semaphore::new(1) });
        let Connections { home, limit, .. } = connections;
        for _ in 0..writers {
            let writer = Writer { connections: connections.clone(), sure: sure.cloned(), write };
            drop(home.spawn(writer.run(Arc::clone(&inbox))));
        }
        Self { sender, limit: *limit }
    }

    /// Writes the entry within the limit, the wait for a writer included; true if there was anything to write.
    ///
    /// Once it waits it is written, even if the caller goes away.
    pub(super) async fn write(&self, entry: Entry) -> Result<bool, AuditError> {
        let operation = entry.operation();
        let unavailable = |why| Err(AuditError::unavailable(operation, why));
        let deadline = Instant::now() + self.limit;
        let (answer, answered) = oneshot::channel();
        match self.sender.try_send(Waiting { entry, deadline, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return unavailable("too many writes wait already"),
            Err(TrySendError::Closed(_)) => return unavailable("the gateway is stopping"),
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(written)) => written.map_err(|error| error.during(operation)),
            Ok(Err(_)) => unavailable("the gateway is stopping"),
            Err(_) => Err(AuditError::too_slow(operation, self.limit)),
        }
    }
}

/// What waits, and whose turn it is to write.
struct Inbox {
    waiting: Mutex<mpsc::Receiver<Waiting>>,
    turn: Semaphore,
}

impl Inbox {
    /// The next batch, and the turn to write it where the one before is not taking long; `None` where no more will come.
    async fn next(&self) -> Option<(Vec<Waiting>, Option<SemaphorePermit<'_>>)> {
        let mut waiting = self.waiting.lock().await;
        let mut batch = Vec::with_capacity(BATCH);
        batch.push(waiting.recv().await?);
        let turn = timeout(LONG, self.turn.acquire()).await;
        while batch.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        Some((batch, turn.ok().and_then(Result::ok)))
    }
}

/// Writes batches, one after the other.
struct Writer<DB: Database> {
    connections: Connections<DB>,
    sure: Option<Sure>,
    write: Write<DB>,
}

impl<DB: Database> Writer<DB> {
    async fn run(self, inbox: Arc<Inbox>) {
        while let Some((batch, _turn)) = inbox.next().await {
            // Should it panic, its members are told so, and the writer goes on.
            let _ = AssertUnwindSafe(self.write(batch)).catch_unwind().await;
        }
    }

    async fn write(&self, mut batch: Vec<Waiting>) {
        let now = Instant::now();
        batch.retain(|member| member.deadline > now);
        // A second entry of the same kill builds on the first.
        let mut kills = HashSet::new();
        let (together, later): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|member| kills.insert(member.entry.kill()));
        self.write_together(together).await;
        for member in later {
            self.write_together(vec![member]).await;
        }
    }

    async fn write_together(&self, members: Vec<Waiting>) {
        let (entries, answers): (Vec<Entry>, Vec<(Instant, Answer)>) =
            members.into_iter().map(|member| (member.entry, (member.deadline, member.answer))).unzip();
        // Who must be answered earlier is told by the timer at the other end.
        let Some(deadline) = answers.iter().map(|(deadline, _)| *deadline).max() else { return };
        let entries: Arc<[Entry]> = entries.into();
        match self.commit(&entries, 0..entries.len(), deadline).await {
            Ok(written) => {
                for ((_, answer), written) in answers.into_iter().zip(written) {
                    // Whoever has hung up is not told.
                    let _ = answer.send(Ok(written));
                }
            }
            Err(error) if entries.len() == 1 || matches!(error, AuditError::Unavailable { .. }) => {
                for (_, answer) in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
            Err(_) => {
                for (at, (deadline, answer)) in answers.into_iter().enumerate() {
                    let written = self.commit(&entries, at..at + 1, deadline).await;
                    let _ = answer.send(written.map(|written| written.contains(&true)));
                }
            }
        }
    }

    async fn commit(
        &self,
        entries: &Arc<[Entry]>,
        members: Range<usize>,
        deadline: Instant,
    ) -> Result<Vec<bool>, AuditError> {
        if let Some(sure) = &self.sure {
            let sure = timeout_at(deadline, sure()).await;
            sure.map_err(|_| AuditError::too_slow("write", self.connections.limit))??;
        }
        let (entries, write) = (Arc::clone(entries), self.write);
        self.connections
            .work(deadline, "write", move |connection| {
                Box::pin(async move { write(connection, &entries[members]).await })
            })
            .await
    }
}

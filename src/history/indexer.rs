//! Keeps the index of ended kills up with the log.
//!
//! It refuses to hold anybody up: a kill is found before it is indexed, so the index may come later when there is much to do.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{audit::Audit, clock::Clock, metrics::Metrics};

/// How often it is looked for kills that have ended.
const EVERY: Duration = Duration::from_millis(200);
/// The pause after the record could not be reached.
const AGAIN: Duration = Duration::from_secs(2);
/// Of so many rounds one tells how far the index is behind.
const TOLD: u32 = 5;
/// How long stopping may take; whoever comes next goes on.
const FAREWELL: Duration = Duration::from_secs(3);

/// What indexes, in a task of its own.
#[derive(Debug)]
pub struct Indexer {
    stopping: watch::Sender<bool>,
    indexing: JoinHandle<()>,
}

impl Indexer {
    /// Begins to index what has ended.
    #[must_use]
    pub fn start(audit: Audit, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let (stopping, stopped) = watch::channel(false);
        Self { stopping, indexing: tokio::spawn(run(audit, clock, metrics, stopped)) }
    }

    /// Indexes what has ended by now, and ends.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        if timeout(FAREWELL, self.indexing).await.is_err() {
            tracing::warn!("stopping before everything is indexed; the next gateway goes on with it");
        }
    }
}

async fn run(audit: Audit, clock: Clock, metrics: Arc<Metrics>, mut stopped: watch::Receiver<bool>) {
    let (mut pause, mut rounds) = (EVERY, 0u32);
    loop {
        let is_last = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        let indexed = audit.index_all(u32::MAX).await;
        if let Err(error) = &indexed {
            tracing::warn!(%error, "ended kills could not be indexed yet");
        }
        if rounds.is_multiple_of(TOLD)
            && let Ok(seconds) = audit.unindexed(clock.now()).await
        {
            metrics.index_lag(seconds.unwrap_or(0.0));
        }
        if is_last {
            return;
        }
        rounds = rounds.wrapping_add(1);
        pause = if indexed.is_ok() { EVERY } else { AGAIN };
    }
}

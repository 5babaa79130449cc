//! The tasks of a gateway that seals: one closes blocks, one for each outlet carries checkpoints.
//!
//! Nothing that goes wrong here ends them, and nobody waits for them: what could not be sealed or delivered is tried
//! again, from the record.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::outlet::{Messenger, Outlet};
use crate::{
    audit::{Audit, Sealing},
    clock::Clock,
    config,
    metrics::Metrics,
    seal::SealKey,
    vendor::transport::Transport,
};

/// How long the last blocks and checkpoints may take once the gateway stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who goes on. Blocks end before checkpoints, so that the last one is delivered too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    All,
    Checkpoints,
    Nobody,
}

/// A gateway's sealing, under way.
#[derive(Debug)]
pub struct Sealer {
    stage: watch::Sender<Stage>,
    sealing: JoinHandle<()>,
    messengers: JoinSet<()>,
}

/// What each of the tasks needs.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
    pub(super) every: Duration,
}

impl Sealer {
    /// Starts sealing; `None` without a key.
    #[must_use]
    pub fn start(
        settings: &config::Seal,
        audit: Audit,
        clock: Clock,
        metrics: Arc<Metrics>,
        transport: &Transport,
    ) -> Option<Self> {
        let Some(key) = settings.key.clone() else {
            tracing::warn!(
                "no seal.key is set: nothing is sealed, so a later change of the record would not be noticed"
            );
            return None;
        };
        let (stage, now) = watch::channel(Stage::All);
        let desk = Desk { audit, metrics, every: settings.every };
        let file = settings.checkpoint_file.clone().map(Outlet::File);
        let url = settings.checkpoint_url.clone().map(|url| Outlet::Url(url, transport.clone()));
        let mut messengers = JoinSet::new();
        for outlet in file.into_iter().chain(url) {
            messengers.spawn(Messenger::new(desk.clone(), outlet).run(now.clone()));
        }
        let sealing = tokio::spawn(desk.seal(key, clock, settings.most, now));
        Some(Self { stage, sealing, messengers })
    }

    /// Seals what there is to seal, delivers what there is to deliver, and ends.
    pub async fn stop(self) {
        let Self { stage, sealing, mut messengers } = self;
        let end = async {
            stage.send_replace(Stage::Checkpoints);
            // A task that panicked has nothing left to do.
            let _ = sealing.await;
            stage.send_replace(Stage::Nobody);
            while messengers.join_next().await.is_some() {}
        };
        if tokio::time::timeout(FAREWELL, end).await.is_err() {
            tracing::warn!("stopping before everything is sealed; the next gateway goes on with it");
        }
    }
}

impl Desk {
    async fn seal(self, key: SealKey, clock: Clock, most: u32, mut stage: watch::Receiver<Stage>) {
        while waits(self.every, &mut stage, Stage::Checkpoints).await {
            self.round(&key, &clock, most).await;
        }
        self.round(&key, &clock, most).await;
    }

    /// Seals what there is to seal, and tells how long what is left has waited.
    async fn round(&self, key: &SealKey, clock: &Clock, most: u32) {
        self.seal_all(key, clock, most).await;
        // Where it cannot be told, sealing has failed too and said so; the last figure stands.
        if let Ok(waits) = self.audit.waits_for(most).await {
            self.metrics.unsealed(waits.unwrap_or(0));
        }
    }

    /// Seals block after block while they are full.
    async fn seal_all(&self, key: &SealKey, clock: &Clock, most: u32) {
        loop {
            match self.audit.seal(key, clock.now(), most).await {
                Ok(Sealing::Sealed { block, entries }) => {
                    self.metrics.sealed(entries);
                    tracing::debug!(block, entries, "sealed");
                    if entries < i64::from(most) {
                        return;
                    }
                }
                Ok(Sealing::Nothing | Sealing::Elsewhere) => return,
                Err(error) => {
                    self.metrics.seal_failure();
                    tracing::warn!(%error, "a block could not be sealed yet");
                    return;
                }
            }
        }
    }
}

/// Waits that long; false if that stage has come by then, or nobody is left to say so.
pub(super) async fn waits(time: Duration, stage: &mut watch::Receiver<Stage>, end: Stage) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        _ = stage.wait_for(|stage| *stage >= end) => false,
    }
}

//! The tasks of a gateway that seals: one closes blocks, one for each destination carries checkpoints.
//!
//! Nothing that goes wrong here ends them, and nobody waits for them: what could not be sealed or delivered is tried
//! again, from the record.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{
    Delivered,
    destination::{Destination, Publisher},
};
use crate::{
    audit::{Audit, Sealing},
    chain::SealKey,
    clock::Clock,
    config,
    metrics::Metrics,
    upstream::transport::Transport,
};

/// How long the last blocks and checkpoints may take once the gateway stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// For how long nobody may have sealed anything, while somebody keeps this gateway from it, before that is an alarm.
const HELD_OFF: Duration = Duration::from_secs(5);
/// How long until the next try, where sealing could not begin.
const AGAIN: Duration = Duration::from_secs(10);

/// Which tasks go on. Those of blocks end before those of checkpoints, so that the last one is delivered too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Running {
    All,
    Checkpoints,
    Nothing,
}

/// A gateway's sealing, under way.
#[derive(Debug)]
pub struct Sealer {
    running: watch::Sender<Running>,
    sealing: JoinHandle<()>,
    publishers: JoinSet<()>,
}

/// What each of the tasks needs.
#[derive(Debug, Clone)]
pub(super) struct Dependencies {
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) delivered: Delivered,
    pub(super) every: Duration,
}

/// What a gateway seals with.
#[derive(Debug)]
pub struct SealingParts {
    pub audit: Audit,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Where is told how far its checkpoints have come.
    pub delivered: Delivered,
}

impl Sealer {
    /// Starts sealing; `None` without a key.
    #[must_use]
    pub fn start(settings: &config::Seal, parts: SealingParts, transport: &Transport) -> Option<Self> {
        let Some(key) = settings.key.clone() else {
            tracing::warn!(
                "no seal.key is set: nothing is sealed, so a later change of the record would not be noticed"
            );
            return None;
        };
        let (running, now) = watch::channel(Running::All);
        let SealingParts { audit, clock, metrics, delivered } = parts;
        let dependencies = Dependencies { audit, metrics, clock, delivered, every: settings.every };
        let file = settings.checkpoint_file.clone().map(Destination::File);
        let url = settings.checkpoint_url.clone().map(|url| Destination::Url(url, transport.clone()));
        let mut publishers = JoinSet::new();
        for destination in file.into_iter().chain(url) {
            publishers.spawn(Publisher::new(dependencies.clone(), destination).run(now.clone()));
        }
        let blocks = BlockTask { dependencies, key, most: settings.most };
        let sealing = tokio::spawn(blocks.run(now));
        Some(Self { running, sealing, publishers })
    }

    /// Seals what there is to seal, delivers what there is to deliver, and ends.
    pub async fn stop(self) {
        let Self { running, sealing, mut publishers } = self;
        let end = async {
            running.send_replace(Running::Checkpoints);
            // A task that panicked has nothing left to do.
            let _ = sealing.await;
            running.send_replace(Running::Nothing);
            while publishers.join_next().await.is_some() {}
        };
        if tokio::time::timeout(FAREWELL, end).await.is_err() {
            tracing::warn!("stopping before everything is sealed; the next gateway goes on with it");
        }
    }
}

/// The task that closes blocks.
struct BlockTask {
    dependencies: Dependencies,
    key: SealKey,
    most: u32,
}

impl BlockTask {
    async fn run(self, mut running: watch::Receiver<Running>) {
        while let Err(error) = self.dependencies.audit.begin_sealing().await {
            self.dependencies.metrics.seal_failure();
            tracing::warn!(%error, "sealing could not begin yet");
            if !waits(self.dependencies.every.max(AGAIN), &mut running, Running::Checkpoints).await {
                return;
            }
        }
        let mut held_off = HeldOff::default();
        while waits(self.dependencies.every, &mut running, Running::Checkpoints).await {
            self.round(&mut held_off).await;
        }
        self.round(&mut held_off).await;
    }

    /// Seals what there is to seal, and tells how long what is left has waited.
    async fn round(&self, held_off: &mut HeldOff) {
        let is_held_off = self.seal_all().await;
        // A gateway that seals in our place adds blocks.
        let last = if is_held_off { self.dependencies.audit.last_head().await.ok().flatten() } else { None };
        if held_off.note(is_held_off, last.map(|last| last.head.number), Instant::now()) {
            self.dependencies.metrics.held_off();
            tracing::error!("somebody keeps this gateway from sealing, and nothing is sealed meanwhile");
        }
        // Where it cannot be told, sealing has failed too and said so; the last figure stands.
        if let Ok(waits) = self.dependencies.audit.waits_for(self.most).await {
            self.dependencies.metrics.unsealed(waits.unwrap_or(0));
        }
    }

    /// Seals block after block while they are full; true if somebody else was at it.
    async fn seal_all(&self) -> bool {
        loop {
            match self.dependencies.audit.seal(&self.key, self.dependencies.clock.now(), self.most).await {
                Ok(Sealing::Sealed { block, entries }) => {
                    self.dependencies.metrics.sealed(entries);
                    tracing::debug!(block, entries, "sealed");
                    if entries < i64::from(self.most) {
                        return false;
                    }
                }
                Ok(Sealing::Nothing) => return false,
                Ok(Sealing::Elsewhere) => return true,
                Err(error) => {
                    self.dependencies.metrics.seal_failure();
                    tracing::warn!(%error, "a block could not be sealed yet");
                    return false;
                }
            }
        }
    }
}

/// Since when somebody else was always at it, and the last block then.
#[derive(Debug, Default)]
struct HeldOff(Option<(Instant, Option<i64>)>);

impl HeldOff {
    /// Notes how a round went; true where that is an alarm.
    fn note(&mut self, is_held_off: bool, last: Option<i64>, now: Instant) -> bool {
        match self.0 {
            _ if !is_held_off => self.0 = None,
            Some((since, block)) if block == last => return now - since >= HELD_OFF,
            Some(_) | None => self.0 = Some((now, last)),
        }
        false
    }
}

/// Waits that long; false if no more than `end` runs by then, or nobody is left to say so.
pub(super) async fn waits(time: Duration, running: &mut watch::Receiver<Running>, end: Running) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        _ = running.wait_for(|running| *running >= end) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealer_that_is_held_off_for_five_seconds_while_no_block_comes_is_an_alarm() {
        let (begin, mut held_off) = (Instant::now(), HeldOff::default());
        let mut note =
            |seconds, is_held_off, last| held_off.note(is_held_off, Some(last), begin + Duration::from_secs(seconds));
        assert!(!note(0, true, 1) && !note(4, true, 1) && note(5, true, 1) && note(6, true, 1));
        assert!(!note(7, true, 2) && !note(11, true, 2) && note(12, true, 2), "others sealed meanwhile");
        assert!(!note(13, false, 2) && !note(14, true, 2) && !note(18, true, 2));
    }
}

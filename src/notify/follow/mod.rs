//! Following kills while they are open, whichever gateway works on them.
//!
//! What happens to a kill is known to its record alone, so the record is asked: twice a second, by one task, once for all
//! kills that are followed here, and not at all while nobody follows any. A kill that has come on is read once, for all who
//! wait for it. Whoever follows one waits for that task's word and reads the events that are new. It holds no connection
//! meanwhile, and never keeps a kill from anything.

mod follower;
mod waiter;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use crate::{
    audit::{Audit, AuditError, Progress},
    clock::Clock,
    domain::{Kill, KillId, Problem, ProblemCode},
    lock::lock,
    metrics::Metrics,
    seats::{Full, Seats},
};

pub use follower::{Follower, Told};
pub use waiter::Waiter;

/// How often the record is asked.
const EVERY: Duration = Duration::from_millis(500);
/// The longest that a kill is followed in one go: longer than kills are looked after.
const LONGEST: Duration = Duration::from_mins(20);
/// The most that one caller may wait for at a time.
const WAITING: usize = 200;

/// Lets callers follow kills. Clones are the same.
#[derive(Debug, Clone)]
pub struct Following(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    audit: Audit,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Of those who are told each change.
    streams: Seats,
    /// Of those who wait for the end.
    waiting: Seats,
    followed: Mutex<HashMap<KillId, watch::Sender<Come>>>,
    /// Wakes the task that asks.
    first: Notify,
    stop: watch::Sender<bool>,
}

/// How far a kill has come, as far as is known here.
#[derive(Debug, Clone, Default)]
struct Come {
    /// The number of its last event.
    seq: i32,
    /// Whether its status is final, or nobody looks after it any more.
    is_over: bool,
    /// Whether its record will learn nothing more.
    has_ended: bool,
    /// The kill as it was then; `None` where it was not read yet, or is not there any more.
    kill: Option<Arc<Kill>>,
}

impl Following {
    /// At most `most` kills are followed at a time, three quarters of them by one caller. Must be called on the runtime that outlives the HTTP workers.
    #[must_use]
    pub fn start(audit: Audit, clock: Clock, metrics: Arc<Metrics>, most: usize) -> Self {
        let (streams, waiting) = (Seats::new(most, most - most / 4), Seats::for_each(WAITING));
        let (followed, first, stop) = (Mutex::default(), Notify::new(), watch::Sender::new(false));
        let inner = Inner { audit, clock, metrics, streams, waiting, followed, first, stop };
        let following = Self(Arc::new(inner));
        tokio::spawn(following.clone().ask());
        following
    }

    /// Follows a kill for that caller from after that event on, until it is over, that moment comes or the gateway stops.
    ///
    /// # Errors
    /// `overloaded` where too many follow kills already, or this caller too many.
    pub fn follow(&self, caller: &str, kill: &Kill, after: i32, until: OffsetDateTime) -> Result<Follower, Problem> {
        let full = |sentence| {
            let sentence = format!("{sentence}; reading the kill is still possible");
            Problem::new(ProblemCode::Overloaded, sentence).retry_after(5)
        };
        let seat = self.0.streams.take(caller).map_err(|why| match why {
            Full::ForAll => full("too many callers follow kills already"),
            Full::ForThisOne => full("you follow too many kills already"),
        })?;
        let left = Duration::try_from(until - self.0.clock.now()).unwrap_or_default();
        let until = Instant::now() + left.min(LONGEST);
        Ok(Follower::new(self.clone(), seat, kill, after, until))
    }

    /// Lets that caller wait for a kill.
    ///
    /// # Errors
    /// It waits for too many already.
    pub fn wait(&self, caller: &str, kill: KillId) -> Result<Waiter, Full> {
        let seat = self.0.waiting.take(caller)?;
        Ok(Waiter::new(self, seat, kill))
    }

    /// Ends all following, and whatever would begin later.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    /// Asks the record how far kills have come, while any are followed.
    async fn ask(self) {
        let mut stop = self.0.stop.subscribe();
        let asking = async {
            loop {
                let followed = self.followed();
                if followed.is_empty() {
                    self.0.first.notified().await;
                } else {
                    if let Err(error) = self.ask_once(&followed).await {
                        tracing::warn!(%error, "how far kills have come could not be read");
                    }
                    sleep(EVERY).await;
                }
            }
        };
        tokio::select! {
            () = asking => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn ask_once(&self, kills: &[KillId]) -> Result<(), AuditError> {
        let progress = self.0.audit.progress(kills).await?;
        let progress: HashMap<KillId, Progress> = progress.into_iter().map(|of| (of.kill, of)).collect();
        for &kill in kills {
            // A kill that is not there any more is over too.
            let now = progress.get(&kill).copied().unwrap_or(Progress { kill, seq: 0, is_over: true, has_ended: true });
            if self.is_news(now) {
                // One that cannot be read keeps no other's news: whoever waits for it has what was known.
                let found = match self.0.audit.find(kill).await {
                    Err(error @ AuditError::Unavailable { .. }) => return Err(error),
                    Err(error) => {
                        tracing::warn!(kill_id = %kill, %error, "a kill that is followed cannot be read");
                        None
                    }
                    Ok(found) => found.map(Arc::new),
                };
                self.tell(now, found);
            }
        }
        Ok(())
    }

    /// Whether those who follow that kill do not know so much of it.
    fn is_news(&self, now: Progress) -> bool {
        let is_known = |known: &Come| (known.seq, known.is_over) == (now.seq, now.is_over);
        lock(&self.0.followed).get(&now.kill).is_some_and(|known| !is_known(&known.borrow()))
    }

    fn tell(&self, now: Progress, kill: Option<Arc<Kill>>) {
        if let Some(known) = lock(&self.0.followed).get(&now.kill) {
            let Progress { seq, is_over, has_ended, .. } = now;
            known.send_replace(Come { seq, is_over, has_ended, kill });
        }
    }

    /// The kills that anybody still follows; the others are forgotten.
    fn followed(&self) -> Vec<KillId> {
        let mut followed = lock(&self.0.followed);
        followed.retain(|_, come| come.receiver_count() > 0);
        followed.keys().copied().collect()
    }

    fn watch(&self, kill: KillId) -> watch::Receiver<Come> {
        let come = lock(&self.0.followed).entry(kill).or_default().subscribe();
        self.0.first.notify_one();
        come
    }
}

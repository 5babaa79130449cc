//! Following kills while they are open, whichever gateway works on them.
//!
//! What happens to a kill is known to its record alone, so the record is asked: twice a second, by one task, once for all
//! kills that are followed here, and not at all while nobody follows any. Whoever follows a kill waits for that task's
//! word and reads what is new. It holds no connection meanwhile, and never keeps a kill from anything.

mod follower;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep},
};

use crate::{
    audit::Audit,
    clock::Clock,
    domain::{Kill, KillId, Problem, ProblemCode},
    metrics::Metrics,
};

pub use follower::{Follower, Told};

/// How often the record is asked.
const EVERY: Duration = Duration::from_millis(500);
/// The longest that a kill is followed in one go: longer than kills are looked after.
const LONGEST: Duration = Duration::from_mins(20);

/// Lets callers follow kills. Clones are the same.
#[derive(Debug, Clone)]
pub struct Following(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    audit: Audit,
    clock: Clock,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    /// The most that one caller may follow at a time, so that others can too.
    most_of_one: usize,
    /// How many each caller follows.
    callers: Mutex<HashMap<String, usize>>,
    followed: Mutex<HashMap<KillId, watch::Sender<Come>>>,
    /// Wakes the task that asks.
    first: Notify,
    stop: watch::Sender<bool>,
}

/// How far a kill has come, as far as is known here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Come {
    /// The number of its last event.
    seq: i32,
    /// Whether nothing more is to be waited for.
    is_over: bool,
}

impl Following {
    /// At most `most` kills are followed at a time, three quarters of them by one caller. Must be called on the runtime that outlives the HTTP workers.
    #[must_use]
    pub fn start(audit: Audit, clock: Clock, metrics: Arc<Metrics>, most: usize) -> Self {
        let (places, stop) = (Arc::new(Semaphore::new(most)), watch::Sender::new(false));
        let (followed, callers, first) = (Mutex::default(), Mutex::default(), Notify::new());
        let most_of_one = most - most / 4;
        let inner = Inner { audit, clock, metrics, places, most_of_one, callers, followed, first, stop };
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
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        let place = place.map_err(|_| full("too many callers follow kills already"))?;
        let place = self.place(caller, place).ok_or_else(|| full("you follow too many kills already"))?;
        let left = Duration::try_from(until - self.0.clock.now()).unwrap_or_default();
        let until = Instant::now() + left.min(LONGEST);
        Ok(Follower::new(self.clone(), place, kill, after, until))
    }

    /// The place as that caller's, where it has not too many.
    fn place(&self, caller: &str, place: OwnedSemaphorePermit) -> Option<Place> {
        let mut callers = lock(&self.0.callers);
        let held = callers.entry(caller.to_owned()).or_default();
        if *held >= self.0.most_of_one {
            return None;
        }
        *held += 1;
        Some(Place { following: self.clone(), caller: caller.to_owned(), _permit: place })
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
                    self.ask_once(&followed).await;
                    sleep(EVERY).await;
                }
            }
        };
        tokio::select! {
            () = asking => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn ask_once(&self, kills: &[KillId]) {
        let progress = match self.0.audit.progress(kills).await {
            Ok(progress) => progress,
            Err(error) => {
                tracing::warn!(%error, "how far kills have come could not be read");
                return;
            }
        };
        let come = progress.iter().map(|of| (of.kill, Come { seq: of.seq, is_over: of.is_over }));
        let come: HashMap<KillId, Come> = come.collect();
        let followed = lock(&self.0.followed);
        for id in kills {
            // A kill that is not there any more is over too.
            let now = come.get(id).copied().unwrap_or(Come { seq: 0, is_over: true });
            if let Some(known) = followed.get(id) {
                known.send_if_modified(|known| std::mem::replace(known, now) != now);
            }
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

/// A caller's place among those who follow kills, for as long as it lives.
#[derive(Debug)]
struct Place {
    following: Following,
    caller: String,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut callers = lock(&self.following.0.callers);
        if let Some(held) = callers.get_mut(&self.caller) {
            *held -= 1;
            if *held == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

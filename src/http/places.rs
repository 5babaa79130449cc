//! Places for those who read the record: so many in all, and so many for each caller, so that no caller keeps the others
//! from reading and no number of them takes all memory.
//!
//! Whoever finds no place waits a while for one and is then turned away. Kills need none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::domain::{Problem, ProblemCode};

use crate::lock::lock;

/// How long to wait for a place.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many of one caller's may wait.
const WAITING: usize = 64;
/// When to come again, in seconds.
const LATER: u64 = 1;

/// The places of all gateway threads.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    most_of_one: usize,
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
    /// Places and room to wait, by caller.
    crowds: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A caller's place, for as long as it lives.
#[derive(Debug)]
pub(super) struct Place {
    _permits: [OwnedSemaphorePermit; 3],
}

impl Places {
    pub(super) fn new(all: usize, most_of_one: usize) -> Self {
        let (callers, crowds) = (Mutex::default(), Mutex::default());
        Self { all: Arc::new(Semaphore::new(all)), most_of_one, callers, crowds }
    }

    /// A place for that caller, as soon as there is one.
    ///
    /// # Errors
    /// `rate_limited` where this caller has all that it may have, `overloaded` where all callers together have.
    pub(super) async fn take(&self, caller: &str) -> Result<Place, Problem> {
        let own = || {
            let sentence = format!("you read much at once already: at most {} answers at a time", self.most_of_one);
            Problem::new(ProblemCode::RateLimited, sentence).retry_after(LATER)
        };
        let crowd = of(&self.crowds, caller, self.most_of_one + WAITING);
        let crowd = crowd.try_acquire_owned().map_err(|_| own())?;
        let caller = of(&self.callers, caller, self.most_of_one);
        let caller = timeout(PATIENCE, caller.acquire_owned()).await.ok().and_then(Result::ok).ok_or_else(own)?;
        let all = timeout(PATIENCE, Arc::clone(&self.all).acquire_owned()).await.ok().and_then(Result::ok);
        let all = all
            .ok_or_else(|| Problem::new(ProblemCode::Overloaded, "too many callers read at once").retry_after(LATER))?;
        Ok(Place { _permits: [all, caller, crowd] })
    }
}

/// What that caller shares with itself; forgotten when nobody has any of it.
fn of(callers: &Mutex<HashMap<String, Weak<Semaphore>>>, caller: &str, most: usize) -> Arc<Semaphore> {
    let mut callers = lock(callers);
    if let Some(own) = callers.get(caller).and_then(Weak::upgrade) {
        return own;
    }
    callers.retain(|_, own| own.strong_count() > 0);
    let own = Arc::new(Semaphore::new(most));
    callers.insert(caller.to_owned(), Arc::downgrade(&own));
    own
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_for_its_own_places_and_all_together_for_all() {
        let places = Places::new(3, 2);
        let code = async |caller: &str| places.take(caller).await.map_err(|problem| problem.code).err();
        let mut held = vec![places.take("a").await.unwrap(), places.take("a").await.unwrap()];
        assert_eq!(code("a").await, Some(ProblemCode::RateLimited));
        held.push(places.take("b").await.unwrap());
        assert_eq!(code("b").await, Some(ProblemCode::Overloaded));
        let (waited, ()) = tokio::join!(places.take("c"), async { drop(held.pop()) });
        assert!(waited.is_ok());
        drop((waited, held));
        places.take("d").await.unwrap();
        assert_eq!(places.callers.lock().unwrap().len(), 1, "whoever is gone is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_crowd_only_so_many_wait() {
        let places = Places::new(10, 2);
        let _held = [places.take("a").await.unwrap(), places.take("a").await.unwrap()];
        let started = tokio::time::Instant::now();
        let turned_away = join_all((0..100).map(async |_| {
            assert_eq!(places.take("a").await.unwrap_err().code, ProblemCode::RateLimited);
            usize::from(started.elapsed() < PATIENCE)
        }));
        assert_eq!(turned_away.await.into_iter().sum::<usize>(), 100 - WAITING);
    }
}

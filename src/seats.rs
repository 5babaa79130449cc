//! Seats: so many at a time in all, and so many for each key, so that no key keeps the others from theirs.
//!
//! A key is whatever seats are shared out by: a caller, or an account.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout,
};

use crate::lock::lock;

/// Clones are the same seats.
#[derive(Debug, Clone)]
pub struct Seats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Arc<Semaphore>,
    /// The most of one key.
    of_one: usize,
    /// Those of each key; a key that nobody uses is not in it.
    by: Mutex<HashMap<String, Own>>,
}

/// The seats of one key, and how many have or want one of them.
#[derive(Debug)]
struct Own {
    seats: Arc<Semaphore>,
    users: usize,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    ForAll,
    /// This key has as many as it can.
    ForThisOne,
}

impl Seats {
    #[must_use]
    pub fn new(all: usize, of_one: usize) -> Self {
        let [all, of_one] = [all, of_one].map(|most| most.min(Semaphore::MAX_PERMITS));
        Self(Arc::new(Inner { all: Arc::new(Semaphore::new(all)), of_one, by: Mutex::default() }))
    }

    /// The same for each key, however many keys there are.
    #[must_use]
    pub fn for_each(of_one: usize) -> Self {
        Self::new(usize::MAX, of_one)
    }

    /// A seat of that key's, if there is one now.
    ///
    /// # Errors
    /// [`Full`] where there is none.
    pub fn take(&self, key: &str) -> Result<Seat, Full> {
        let user = User::new(self, key);
        let own = user.own.clone().try_acquire_owned().map_err(|_: TryAcquireError| Full::ForThisOne)?;
        let all = self.0.all.clone().try_acquire_owned().map_err(|_: TryAcquireError| Full::ForAll)?;
        Ok(Seat { _permits: [own, all], _user: user })
    }

    /// A seat of that key's, as soon as there is one; waits so long for one of its own, and as long again for one of all.
    ///
    /// # Errors
    /// [`Full`] where there was none in time.
    pub async fn wait(&self, key: &str, patience: Duration) -> Result<Seat, Full> {
        let user = User::new(self, key);
        let own = within(patience, &user.own).await.ok_or(Full::ForThisOne)?;
        let all = within(patience, &self.0.all).await.ok_or(Full::ForAll)?;
        Ok(Seat { _permits: [own, all], _user: user })
    }
}

/// One of the seats, if there is one in time.
async fn within(patience: Duration, seats: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    timeout(patience, Arc::clone(seats).acquire_owned()).await.ok()?.ok()
}

/// One seat, taken for as long as it lives.
#[derive(Debug)]
pub struct Seat {
    _permits: [OwnedSemaphorePermit; 2],
    _user: User,
}

/// Somebody who has or wants a seat of a key's; with the last one the key is forgotten.
#[derive(Debug)]
struct User {
    seats: Seats,
    key: String,
    own: Arc<Semaphore>,
}

impl User {
    fn new(seats: &Seats, key: &str) -> Self {
        let mut by = lock(&seats.0.by);
        let own = by.entry(key.to_owned());
        let own = own.or_insert_with(|| Own { seats: Arc::new(Semaphore::new(seats.0.of_one)), users: 0 });
        own.users += 1;
        Self { seats: seats.clone(), key: key.to_owned(), own: Arc::clone(&own.seats) }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut by = lock(&self.seats.0.by);
        if let Entry::Occupied(mut own) = by.entry(std::mem::take(&mut self.key)) {
            own.get_mut().users -= 1;
            if own.get().users == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn one_key_leaves_seats_to_others() {
        let seats = Seats::new(3, 2);
        let own = [seats.take("bot").unwrap(), seats.take("bot").unwrap()];
        assert_eq!(seats.take("bot").unwrap_err(), Full::ForThisOne);
        let _others = seats.take("dba").unwrap();
        assert_eq!(seats.take("ops").unwrap_err(), Full::ForAll);
        drop(own);
        assert!(seats.take("bot").is_ok() && seats.take("ops").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_for_its_own_seats_and_all_together_for_all() {
        let seats = Seats::new(3, 2);
        let full = async |key: &str| seats.wait(key, PATIENCE).await.err();
        let mut taken = vec![seats.take("a").unwrap(), seats.take("a").unwrap()];
        assert_eq!(full("a").await, Some(Full::ForThisOne));
        taken.push(seats.take("b").unwrap());
        assert_eq!(full("b").await, Some(Full::ForAll));
        let (waited, ()) = tokio::join!(seats.wait("c", PATIENCE), async { drop(taken.pop()) });
        assert!(waited.is_ok());
        drop((waited, taken));
        assert!(lock(&seats.0.by).is_empty(), "whoever is gone is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_whose_seats_are_taken_keeps_no_other_one_waiting() {
        let seats = Seats::for_each(2);
        let taken = [seats.take("hung").unwrap(), seats.take("hung").unwrap()];
        assert!(seats.wait("hung", PATIENCE).now_or_never().is_none());
        assert!(seats.wait("well", PATIENCE).now_or_never().unwrap().is_ok());
        drop(taken);
        assert!(seats.wait("hung", PATIENCE).now_or_never().unwrap().is_ok());
    }
}

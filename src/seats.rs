//! Seats: so many at a time, of which one caller can have only some.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::lock::lock;

/// Clones are the same seats.
#[derive(Debug, Clone)]
pub struct Seats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: usize,
    /// The most of one caller.
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// How many each caller has; who has none is not in it.
    by: HashMap<String, usize>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    ForAll,
    /// This caller has as many as it can.
    ForThisOne,
}

impl Seats {
    #[must_use]
    pub fn new(all: usize, of_one: usize) -> Self {
        Self(Arc::new(Inner { all, of_one, taken: Mutex::default() }))
    }

    /// A seat of that caller's.
    ///
    /// # Errors
    /// [`Full`] where there is none.
    pub fn take(&self, caller: &str) -> Result<Seat, Full> {
        let mut taken = self.0.taken();
        let own = taken.by.get(caller).copied().unwrap_or_default();
        if own >= self.0.of_one {
            return Err(Full::ForThisOne);
        }
        if taken.all >= self.0.all {
            return Err(Full::ForAll);
        }
        taken.all += 1;
        taken.by.insert(caller.to_owned(), own + 1);
        Ok(Seat { seats: self.clone(), caller: caller.to_owned() })
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        lock(&self.taken)
    }
}

/// One seat, taken for as long as it lives.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    caller: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.taken();
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_leaves_seats_to_others() {
        let seats = Seats::new(3, 2);
        let own = [seats.take("bot").unwrap(), seats.take("bot").unwrap()];
        assert_eq!(seats.take("bot").unwrap_err(), Full::ForThisOne);
        let _others = seats.take("dba").unwrap();
        assert_eq!(seats.take("ops").unwrap_err(), Full::ForAll);
        drop(own);
        assert!(seats.take("bot").is_ok() && seats.take("ops").is_ok());
    }
}

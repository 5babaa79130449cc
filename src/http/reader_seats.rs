//! Seats for those who read the record: so many in all, and so many for each caller, so that no caller keeps the others
//! from reading and no number of them takes all memory.
//!
//! Whoever finds no seat waits a while for one and is then turned away. Kills need none.

use std::time::Duration;

use crate::{
    domain::{Problem, ProblemCode},
    seats::{Full, Seat, Seats},
};

/// How long to wait for a seat.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many of one caller's may wait.
const WAITING: usize = 64;
/// When to come again, in seconds.
const LATER: u64 = 1;

/// The seats of all gateway threads.
#[derive(Debug)]
pub(super) struct ReaderSeats {
    most_of_one: usize,
    seats: Seats,
    /// Seats and room to wait for one.
    crowds: Seats,
}

/// A caller's seat, for as long as it lives.
#[derive(Debug)]
pub(super) struct ReaderSeat {
    _seat: Seat,
    _in_crowd: Seat,
}

impl ReaderSeats {
    pub(super) fn new(all: usize, most_of_one: usize) -> Self {
        let (seats, crowds) = (Seats::new(all, most_of_one), Seats::for_each(most_of_one + WAITING));
        Self { most_of_one, seats, crowds }
    }

    /// A seat for that caller, as soon as there is one.
    ///
    /// # Errors
    /// `rate_limited` where this caller has all that it may have, `overloaded` where all callers together have.
    pub(super) async fn take(&self, caller: &str) -> Result<ReaderSeat, Problem> {
        let in_crowd = self.crowds.take(caller).map_err(|full| self.turned_away(full))?;
        let seat = self.seats.wait(caller, PATIENCE).await.map_err(|full| self.turned_away(full))?;
        Ok(ReaderSeat { _seat: seat, _in_crowd: in_crowd })
    }

    fn turned_away(&self, full: Full) -> Problem {
        let problem = match full {
            Full::ForThisOne => {
                let sentence = format!("you read much at once already: at most {} answers at a time", self.most_of_one);
                Problem::new(ProblemCode::RateLimited, sentence)
            }
            Full::ForAll => Problem::new(ProblemCode::Overloaded, "too many callers read at once"),
        };
        problem.retry_after(LATER)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_told_whether_it_or_all_together_read_too_much() {
        let seats = ReaderSeats::new(3, 2);
        let code = async |caller: &str| seats.take(caller).await.map_err(|problem| problem.code).err();
        let mut taken = vec![seats.take("a").await.unwrap(), seats.take("a").await.unwrap()];
        assert_eq!(code("a").await, Some(ProblemCode::RateLimited));
        taken.push(seats.take("b").await.unwrap());
        assert_eq!(code("b").await, Some(ProblemCode::Overloaded));
        let (waited, ()) = tokio::join!(seats.take("c"), async { drop(taken.pop()) });
        assert!(waited.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_crowd_only_so_many_wait() {
        let seats = ReaderSeats::new(10, 2);
        let _taken = [seats.take("a").await.unwrap(), seats.take("a").await.unwrap()];
        let started = tokio::time::Instant::now();
        let turned_away = join_all((0..100).map(async |_| {
            assert_eq!(seats.take("a").await.unwrap_err().code, ProblemCode::RateLimited);
            usize::from(started.elapsed() < PATIENCE)
        }));
        assert_eq!(turned_away.await.into_iter().sum::<usize>(), 100 - WAITING);
    }
}

//! Log lines that anybody can cause: one a second, which says how many were not told.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::lock::lock;

/// Told no more often than this.
const EVERY: Duration = Duration::from_secs(1);

/// When there was a line last, and what came since.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    /// How many were not told since.
    untold: u64,
}

impl Seldom {
    /// How many were not told since the last one that was, where this one may be.
    pub(super) fn untold(&self, now: Instant) -> Option<u64> {
        let mut told = lock(&self.0);
        if told.at.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            told.untold += 1;
            return None;
        }
        let untold = std::mem::replace(&mut *told, Told { at: Some(now), untold: 0 }).untold;
        Some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_told_and_how_many_were_not() {
        let seldom = Seldom::default();
        let start = Instant::now();
        let untold = [0, 1, 999, 1000, 1500, 2000].map(|ms| seldom.untold(start + Duration::from_millis(ms)));
        assert_eq!(untold, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}

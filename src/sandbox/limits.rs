//! Rate limits over a sliding second, counted by arrival.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(1);

/// What calls count together, and how many of them there may be in a second; `None` is no limit.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) with: String,
    pub(super) limit: Option<usize>,
}

/// Calls seen lately. A refused call counts like any other.
#[derive(Debug)]
pub(super) struct Limits {
    /// For each of Tencent's actions by itself.
    pub(super) dcdb: usize,
    /// For all calls to one Huawei product together; `None` is no limit.
    pub(super) huawei: Option<usize>,
    /// For each of Alibaba's actions by itself; `None` is no limit.
    arrivals: BTreeMap<String, VecDeque<Instant>>,
    violations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { dcdb: 20, huawei: None, arrivals: BTreeMap::new(), violations: 0 }
    }
}

impl Limits {
    /// Counts a call; an error tells how many came in the second that ends with it, and how many may.
    pub(super) fn count(&mut self, call: Count, arrived: Instant) -> Result<(), (usize, usize)> {
        let Count { with, limit } = call;
        let seen = self.arrivals.entry(with).or_default();
        while seen.front().is_some_and(|first| arrived.saturating_duration_since(*first) >= WINDOW) {
            seen.pop_front();
        }
        seen.push_back(arrived);
        match limit {
            Some(limit) if seen.len() > limit => {
                self.violations += 1;
                Err((seen.len(), limit))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn violations(&self) -> usize {
        self.violations
    }

    /// Forgets what was seen; the limits stay.
    pub(super) fn forget(&mut self) {
        self.arrivals.clear();
        self.violations = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_a_second_holds_more_than_the_limit() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let mut at = |with: &str, millis| {
            let call = Count { with: with.to_owned(), limit: Some(2) };
            limits.count(call, start + Duration::from_millis(millis)).is_ok()
        };
        let kills = [0, 500, 999, 1499, 2600].map(|millis| at("kill", millis));
        assert_eq!(kills, [true, true, false, false, true]);
        assert!(at("flow", 2600));
        assert_eq!(limits.violations(), 2);
    }
}

//! Rate limits over a sliding second, counted by arrival.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::Action;
use crate::upstream::Cloud;

const WINDOW: Duration = Duration::from_secs(1);

/// Calls seen lately. A refused call counts like any other.
#[derive(Debug)]
pub(super) struct Limits {
    /// For each DCDB action by itself.
    pub(super) dcdb: usize,
    /// For all calls to one Huawei product together; `None` is no limit.
    pub(super) huawei: Option<usize>,
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
    pub(super) fn count(&mut self, action: Action, arrived: Instant) -> Result<(), (usize, usize)> {
        let (key, limit) = match action.cloud() {
            Cloud::Tencent => (format!("{action:?}"), Some(self.dcdb)),
            Cloud::Huawei => (action.vendor().to_owned(), self.huawei),
        };
        let seen = self.arrivals.entry(key).or_default();
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
        let mut limits = Limits { dcdb: 2, ..Limits::default() };
        let start = Instant::now();
        let mut at = |millis| limits.count(Action::DcdbKill, start + Duration::from_millis(millis)).is_ok();
        assert_eq!([at(0), at(500), at(999), at(1499), at(2600)], [true, true, false, false, true]);
        assert!(limits.count(Action::DcdbFlow, start + Duration::from_millis(2600)).is_ok());
        assert_eq!(limits.violations(), 2);
    }
}

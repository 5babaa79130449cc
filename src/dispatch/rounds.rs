//! Who is next: callers go by rounds, and the targets of one caller do within its calls.
//!
//! The invariant: of callers whose kills wait all the time and may go, each has one call in a round, however many kills it
//! has and of how many sessions they are; who comes is in the round that is going on, and who does not come saves nothing
//! up.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use crate::domain::Target;

/// Who asks, by name.
pub(crate) type Caller = Arc<str>;

/// The rounds of a queue.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    callers: Cycle<Caller>,
    /// Of callers whose rounds are known.
    targets: HashMap<Caller, Cycle<Target>>,
}

impl Rounds {
    /// In which round a caller may have its next call.
    pub(super) fn of(&self, caller: &Caller) -> u64 {
        self.callers.round_of(caller)
    }

    /// In which round of that caller's calls the target may have its next one.
    pub(super) fn of_target(&self, caller: &Caller, target: &Target) -> u64 {
        self.targets.get(caller).map_or(0, |targets| targets.round_of(target))
    }

    /// A call at the target went by the right of that caller.
    pub(super) fn went(&mut self, caller: &Caller, target: &Target) {
        self.callers.went(caller.clone());
        self.targets.retain(|caller, _| self.callers.next.contains_key(caller));
        self.targets.entry(caller.clone()).or_default().went(target.clone());
    }
}

/// Most keys of which the round is remembered; with more of them all begin a round together.
const REMEMBERED: usize = 10_000;

/// Rounds in which each key comes once.
#[derive(Debug)]
struct Cycle<K> {
    /// The one that is going on.
    round: u64,
    /// The next round of those who have been in this one or the one before; all others may be in this one.
    next: HashMap<K, u64>,
}

impl<K> Default for Cycle<K> {
    fn default() -> Self {
        Self { round: 0, next: HashMap::new() }
    }
}

impl<K: Eq + Hash> Cycle<K> {
    fn round_of(&self, key: &K) -> u64 {
        self.next.get(key).copied().unwrap_or_default().max(self.round)
    }

    fn went(&mut self, key: K) {
        self.round = self.round_of(&key);
        self.next.retain(|_, next| *next >= self.round);
        if self.next.len() >= REMEMBERED {
            self.next.clear();
        }
        self.next.insert(key, self.round + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_comes_once_in_a_round_and_who_comes_late_is_in_the_one_that_is_going_on() {
        let mut cycle = Cycle::default();
        for _ in 0..9 {
            cycle.went("busy");
        }
        assert_eq!((cycle.round_of(&"busy"), cycle.round_of(&"late")), (9, 8));
        cycle.went("late");
        assert_eq!(cycle.round_of(&"late"), 9, "and both are in the next one");
        cycle.went("busy");
        cycle.went("busy");
        cycle.went("busy");
        assert!(cycle.next.len() == 1 && cycle.round_of(&"late") == 11, "who does not come is forgotten");
    }
}

//! Where the last kills stand in their traces, for the looks and deliveries that come after their requests.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use super::Trace;
use crate::{domain::KillId, lock::lock};

/// Of how many kills that is remembered, some 200 bytes each.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    traces: HashMap<KillId, Trace>,
    /// Oldest first.
    order: VecDeque<KillId>,
}

impl Kept {
    pub(super) fn keep(&self, kill: KillId, trace: Trace) {
        let mut newest = lock(&self.0);
        if newest.traces.insert(kill, trace).is_none() {
            newest.order.push_back(kill);
        }
        if newest.order.len() > MOST
            && let Some(oldest) = newest.order.pop_front()
        {
            newest.traces.remove(&oldest);
        }
    }

    pub(super) fn of(&self, kill: KillId) -> Option<Trace> {
        lock(&self.0).traces.get(&kill).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let kept = Kept::default();
        for kill in 0..=MOST {
            kept.keep(KillId::from_u128(kill as u128), Trace::NONE);
        }
        assert!(kept.of(KillId::from_u128(0)).is_none());
        assert!(kept.of(KillId::from_u128(1)).is_some() && kept.of(KillId::from_u128(MOST as u128)).is_some());
    }
}

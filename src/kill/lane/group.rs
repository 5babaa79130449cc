//! Kills that share a call.

use std::collections::HashSet;

use tokio::{sync::oneshot, time::Instant};

use crate::{
    domain::{Order, Selector, SessionId, Target},
    kill::{
        driven::{Driven, Stop},
        turns::Class,
    },
    vendor::Fault,
};

/// A kill that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: u64,
    pub(super) order: Order,
    pub(super) class: Class,
    /// How long it waits for a turn.
    pub(super) until: Instant,
    /// How often no connection could be made for it.
    pub(super) reconnects: u32,
    /// Why it waits again.
    pub(super) fault: Option<Fault>,
    answer: oneshot::Sender<Driven>,
}

impl Waiting {
    pub(super) fn new(order: Order, class: Class, until: Instant, answer: oneshot::Sender<Driven>) -> Self {
        Self { ticket: 0, order, class, until, reconnects: 0, fault: None, answer }
    }

    fn answer(self, driven: Driven) {
        // Whoever waited may have gone; the kill's own task never does.
        let _ = self.answer.send(driven);
    }

    /// What a stop means for it. Where no turn came after the vendor had refused it, what the vendor said counts.
    pub(super) fn fail(self, stop: &Stop) {
        let driven = match (stop, &self.fault) {
            (Stop::NoTurn(_), Some(fault)) => Driven::stopped(&self.order, &Stop::Fault(fault.clone())),
            _ => Driven::stopped(&self.order, stop),
        };
        self.answer(driven);
    }
}

/// Kills that go in one call.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) target: Target,
    pub(super) waiting: Vec<Waiting>,
    /// It does not go before.
    pub(super) rests_until: Option<Instant>,
    /// False for what must go alone, or was refused and is being divided.
    open: bool,
    ids: HashSet<SessionId>,
}

impl Group {
    fn new(target: Target, open: bool, waiting: Vec<Waiting>) -> Self {
        Self { target, open, ids: ids(&waiting), waiting, rests_until: None }
    }

    /// A kill on its own, to be joined by others where it names ids.
    pub(super) fn of(kill: Waiting) -> Self {
        let target = Target { alias: None, ..kill.order.target.clone() };
        let open = matches!(kill.order.selector, Selector::Ids(_));
        Self::new(target, open, vec![kill])
    }

    /// Urgent where one of its kills is: the others save a call by going with it.
    pub(super) fn class(&self) -> Class {
        let is_urgent = self.waiting.iter().any(|kill| kill.class == Class::Urgent);
        if is_urgent { Class::Urgent } else { Class::Kill }
    }

    /// Whether others may join it.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn has_room_for(&self, order: &Order, most: usize) -> bool {
        let Selector::Ids(ids) = &order.selector else { return false };
        let new = || ids.iter().filter(|id| !self.ids.contains(*id)).count();
        self.open && self.target.is_named_like(&order.target) && self.ids.len() + new() <= most
    }

    pub(super) fn add(&mut self, kill: Waiting) {
        self.ids.extend(kill.order.selector.ids().iter().cloned());
        self.waiting.push(kill);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.waiting.len() > 1
    }

    /// One order for all of them, each id once and in the order in which they came.
    pub(super) fn order(&self) -> Option<Order> {
        let first = self.waiting.first()?;
        if !self.is_shared() {
            return Some(first.order.clone());
        }
        let mut seen = HashSet::with_capacity(self.ids.len());
        let all = self.waiting.iter().flat_map(|kill| kill.order.selector.ids());
        let ids = all.filter(|id| seen.insert(*id)).cloned().collect();
        Some(Order { target: first.order.target.clone(), selector: Selector::Ids(ids) })
    }

    pub(super) fn take_out(&mut self, which: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let taken: Vec<_> = self.waiting.extract_if(.., |kill| which(kill)).collect();
        if !taken.is_empty() {
            self.ids = ids(&self.waiting);
        }
        taken
    }

    /// Those of its kills, and the others; either may be empty.
    pub(super) fn partition(self, mut first: impl FnMut(&mut Waiting) -> bool) -> (Self, Self) {
        let Self { target, open, mut waiting, .. } = self;
        let chosen = waiting.extract_if(.., |kill| first(kill)).collect();
        (Self::new(target.clone(), open, chosen), Self::new(target, open, waiting))
    }

    /// Two groups that nobody joins, so that dividing comes to an end.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.waiting.split_off(self.waiting.len() / 2);
        [Self::new(self.target.clone(), false, self.waiting), Self::new(self.target, false, second)]
    }

    pub(super) fn resting_until(self, at: Instant) -> Self {
        Self { rests_until: Some(at), ..self }
    }

    /// Tells each kill what became of its own sessions.
    pub(super) fn answer(self, driven: &Driven) {
        for kill in self.waiting {
            let own = driven.for_order(&kill.order);
            kill.answer(own);
        }
    }

    pub(super) fn fail(self, stop: &Stop) {
        for kill in self.waiting {
            kill.fail(stop);
        }
    }
}

fn ids(waiting: &[Waiting]) -> HashSet<SessionId> {
    waiting.iter().flat_map(|kill| kill.order.selector.ids()).cloned().collect()
}

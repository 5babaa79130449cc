//! Kills that share a call.

use std::collections::HashSet;

use time::OffsetDateTime;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    dispatch::{
        Entry,
        rate::limiter::Class,
        report::{Report, Stop},
        rounds::Caller,
    },
    domain::{Order, Selector, SessionId, Target},
    spans::{Span, Trace},
    upstream::Fault,
};

/// A kill that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: u64,
    pub(super) caller: Caller,
    pub(super) order: Order,
    pub(super) class: Class,
    /// How long it waits for a permit.
    pub(super) until: Instant,
    /// When its leave to be sent runs out.
    pub(super) leave: OffsetDateTime,
    /// Whether others come with it.
    pub(super) in_company: bool,
    /// How often no connection could be made for it.
    pub(super) reconnects: u32,
    /// Whether credentials were renewed for it.
    pub(super) renewed: bool,
    /// Where its wait stands in a trace.
    pub(super) trace: Trace,
    /// Why it waits again.
    pub(super) fault: Option<Fault>,
    answer: oneshot::Sender<Option<Report>>,
}

impl Waiting {
    pub(super) fn new(entry: Entry, answer: oneshot::Sender<Option<Report>>) -> Self {
        let Entry { caller, order, class, until, leave, in_company, trace, .. } = entry;
        Self {
            ticket: 0,
            caller,
            order,
            class,
            until,
            leave,
            in_company,
            reconnects: 0,
            renewed: false,
            trace,
            fault: None,
            answer,
        }
    }

    fn answer(self, report: Report) {
        // Whoever waited may have gone; the kill's own task never does.
        let _ = self.answer.send(Some(report));
    }

    /// It was not sent, since its leave has run out.
    pub(super) fn send_back(self) {
        let _ = self.answer.send(None);
    }

    /// What a stop means for it. Where no permit came after the vendor had refused it, what the vendor said counts.
    pub(super) fn fail(self, stop: &Stop) {
        let report = match (stop, &self.fault) {
            (Stop::NoPermit(_), Some(fault)) => Report::stopped(&self.order, &Stop::Fault(fault.clone())),
            _ => Report::stopped(&self.order, stop),
        };
        self.answer(report);
    }
}

/// Kills that go in one call.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) target: Target,
    pub(super) waiting: Vec<Waiting>,
    /// When it was made.
    pub(super) since: Instant,
    /// It does not go before.
    pub(super) rests_until: Option<Instant>,
    /// It has waited before, and goes before all others of its caller.
    pub(super) goes_first: bool,
    /// None where it must go alone.
    ids: HashSet<SessionId>,
}

impl Batch {
    fn new(target: Target, waiting: Vec<Waiting>) -> Self {
        Self { target, ids: ids(&waiting), waiting, since: Instant::now(), rests_until: None, goes_first: false }
    }

    /// A kill on its own, to be joined by others where it names ids.
    pub(super) fn of(kill: Waiting) -> Self {
        let target = Target { alias: None, ..kill.order.target.clone() };
        Self::new(target, vec![kill])
    }

    /// Urgent where one of its kills is: the others save a call by going with it.
    pub(super) fn class(&self) -> Class {
        let is_urgent = self.waiting.iter().any(|kill| kill.class == Class::Urgent);
        if is_urgent { Class::Urgent } else { Class::Kill }
    }

    /// Whether it waits for others who come, as long as there is room for them among so many ids.
    pub(super) fn gathers(&self, most: usize) -> bool {
        self.ids.len() < most && self.waiting.iter().any(|kill| kill.in_company)
    }

    /// Whether others may join it.
    pub(super) fn is_open(&self) -> bool {
        !self.ids.is_empty()
    }

    pub(super) fn has_room_for(&self, order: &Order, most: usize) -> bool {
        let Selector::Ids(ids) = &order.selector else { return false };
        let new = || ids.iter().filter(|id| !self.ids.contains(*id)).count();
        let is_like = |other: &Waiting| other.order.end == order.end && !contradict(&other.order, order);
        self.is_open()
            && self.target.is_named_like(&order.target)
            && self.ids.len() + new() <= most
            && self.waiting.iter().all(is_like)
    }

    pub(super) fn add(&mut self, kill: Waiting) {
        self.ids.extend(kill.order.selector.ids().iter().cloned());
        self.waiting.push(kill);
    }

    fn is_shared(&self) -> bool {
        self.waiting.len() > 1
    }

    /// What is told of their call, where it is made for several of them; that of one is a part of its wait.
    pub(super) fn span(&self) -> Option<Span> {
        self.is_shared().then(|| {
            let mut span = Trace::of_several("batch", &self.waiting.iter().map(|kill| &kill.trace));
            span.number("killgate.kills", self.waiting.len());
            span
        })
    }

    /// Where the first of them stands.
    pub(super) fn trace(&self) -> &Trace {
        self.waiting.first().map_or(&Trace::NONE, |kill| &kill.trace)
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
        let likeness = self.waiting.iter().flat_map(|kill| kill.order.likeness.clone()).collect();
        Some(Order { selector: Selector::Ids(ids), likeness, ..first.order.clone() })
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
        let Self { target, mut waiting, .. } = self;
        let chosen = waiting.extract_if(.., |kill| first(kill)).collect();
        (Self::new(target.clone(), chosen), Self::new(target, waiting))
    }

    pub(super) fn going_first(self) -> Self {
        Self { goes_first: true, ..self }
    }

    pub(super) fn resting_until(self, at: Instant) -> Self {
        Self { rests_until: Some(at), ..self }
    }

    /// Tells each kill what became of its own sessions.
    pub(super) fn answer(self, report: &Report) {
        let is_shared = self.is_shared();
        for kill in self.waiting {
            let own = report.for_order(&kill.order, is_shared);
            kill.answer(own);
        }
    }

    pub(super) fn fail(self, stop: &Stop) {
        for kill in self.waiting {
            kill.fail(stop);
        }
    }
}

/// Whether they were looked at at different times, and mean different sessions by the same id.
fn contradict(one: &Order, other: &Order) -> bool {
    let both = one.likeness.iter().filter_map(|(id, like)| Some((like, other.likeness.get(id)?)));
    let has_bare = |known: &Order, bare: &Order| {
        !known.likeness.is_empty() && bare.selector.ids().iter().any(|id| known.likeness.contains_key(id))
    };
    match (one.likeness.is_empty(), other.likeness.is_empty()) {
        (true, true) => false,
        // One of them was not looked at, and asks for less than the other.
        (false, true) => has_bare(one, other),
        (true, false) => has_bare(other, one),
        (false, false) => both.into_iter().any(|(like, other)| like != other),
    }
}

fn ids(waiting: &[Waiting]) -> HashSet<SessionId> {
    waiting.iter().flat_map(|kill| kill.order.selector.ids()).cloned().collect()
}

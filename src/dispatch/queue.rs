//! What waits in a lane, and which of it goes next. It reads no clock and wakes nobody.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    dispatch::{
        batch::{Batch, Waiting},
        rate::limiter::{Class, Limit, Permit, SPAN},
    },
    domain::Target,
};

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order in which they came; no group is empty.
    groups: VecDeque<Batch>,
    /// Calls under way, by target.
    under_way: HashMap<Target, u32>,
    /// The last turn taken.
    last: Option<Permit>,
    /// Nothing is sent before.
    hold: Option<Instant>,
    tickets: u64,
}

impl Queue {
    /// Lets a kill wait, with others for the same target where there is room for it; `None` where too many wait.
    /// Urgent kills do not mind how many others wait. One that comes `again` goes before all others.
    pub(super) fn enter(&mut self, mut kill: Waiting, again: bool, limit: &Limit) -> Option<u64> {
        let before = self.groups.iter().flat_map(|group| &group.waiting);
        let before = before.filter(|other| other.class == Class::Urgent || kill.class != Class::Urgent);
        if !again && before.count() >= limit.max_waiting {
            return None;
        }
        self.tickets += 1;
        kill.ticket = self.tickets;
        let with = self.groups.iter_mut().find(|group| group.has_room_for(&kill.order, limit.max_ids_per_call));
        match with.filter(|_| !again) {
            Some(group) => group.add(kill),
            None if again => self.groups.push_front(Batch::of(kill)),
            None => self.groups.push_back(Batch::of(kill)),
        }
        Some(self.tickets)
    }

    /// Whether any kill waits.
    pub(super) fn any_waits(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Takes a kill out again, unless it has gone already.
    pub(super) fn withdraw(&mut self, ticket: u64) -> Option<Waiting> {
        self.take_out(|_, kill| kill.ticket == ticket).pop()
    }

    /// Takes out the kills of a class whose time is over before `turn`.
    pub(super) fn too_late(&mut self, class: Class, turn: Instant, now: Instant) -> Vec<Waiting> {
        self.take_out(|of_group, kill| of_group == class && kill.until.max(now) < turn)
    }

    fn take_out(&mut self, which: impl Fn(Class, &Waiting) -> bool) -> Vec<Waiting> {
        let mut taken = vec![];
        for group in &mut self.groups {
            let class = group.class();
            taken.append(&mut group.take_out(|kill| which(class, kill)));
        }
        self.groups.retain(|group| !group.waiting.is_empty());
        taken
    }

    pub(super) fn take_all(&mut self, class: Class) -> Vec<Batch> {
        let (taken, left) = std::mem::take(&mut self.groups).into_iter().partition(|group| group.class() == class);
        self.groups = left;
        Vec::from(taken)
    }

    /// A group that surely did nothing waits again, before all others.
    pub(super) fn put_back(&mut self, group: Batch) {
        if !group.waiting.is_empty() {
            self.groups.push_front(group);
        }
    }

    /// The group that goes with a turn, whatever class it was taken for: an urgent one may use any, and a turn that
    /// nobody urgent needs any more is of use to others.
    pub(super) fn next(&mut self, now: Instant) -> Option<Batch> {
        let may_go = |group: &Batch| self.may_go_at(group, now) <= now;
        let urgent = self.groups.iter().position(|group| group.class() == Class::Urgent && may_go(group));
        let place = urgent.or_else(|| self.groups.iter().position(may_go))?;
        let group = self.groups.remove(place)?;
        *self.under_way.entry(group.target.clone()).or_default() += 1;
        Some(group)
    }

    /// A call is no longer under way.
    pub(super) fn is_back(&mut self, target: &Target) {
        if let Some(calls) = self.under_way.get_mut(target) {
            *calls -= 1;
        }
        self.under_way.retain(|_, calls| *calls > 0);
    }

    /// From when on the first group of a class may go; `None` where none waits.
    pub(super) fn ready_at(&self, class: Class, now: Instant) -> Option<Instant> {
        self.groups.iter().filter(|group| group.class() == class).map(|group| self.may_go_at(group, now)).min()
    }

    /// While the budget has room, every group may go at once. When it gets short, kills for a target that has a
    /// call under way wait for its answer, and share the call after it.
    fn may_go_at(&self, group: &Batch, now: Instant) -> Instant {
        let gathers = group.is_open() && self.under_way.contains_key(&group.target);
        let short = self.last.filter(|turn| gathers && turn.is_short());
        self.hold.max(group.rests_until).max(short.map(|turn| turn.at + SPAN)).unwrap_or(now)
    }

    /// How many calls of a class could go now, one for each target, and how long the most patient of them would wait
    /// for a turn.
    pub(super) fn wants(&self, class: Class, now: Instant) -> (u32, Duration) {
        let groups = || self.groups.iter().filter(|group| group.class() == class);
        let ready = groups().filter(|group| self.may_go_at(group, now) <= now);
        // A second one for a target may have to gather behind the first.
        let targets: HashSet<&Target> = ready.map(|group| &group.target).collect();
        let waiting = groups().flat_map(|group| &group.waiting);
        let patience = waiting.map(|kill| kill.until.saturating_duration_since(now)).max().unwrap_or_default();
        (u32::try_from(targets.len()).unwrap_or(u32::MAX), patience)
    }

    pub(super) fn turn_taken(&mut self, turn: Permit) {
        self.last = Some(turn);
    }

    /// Nothing is sent before that time.
    pub(super) fn hold_until(&mut self, at: Instant) {
        self.hold = self.hold.max(Some(at));
    }

    /// The time before which nothing is sent, where it is still to come.
    pub(super) fn hold(&self, now: Instant) -> Option<Instant> {
        self.hold.filter(|hold| *hold > now)
    }
}

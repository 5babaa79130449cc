//! What waits for a permit, and which of it goes next. It reads no clock and wakes nobody.
//!
//! Urgent batches go before others. Inside a class callers go by [rounds](super::rounds), and what has waited before goes
//! first among its caller's. A batch that several callers share goes by the earliest round that any of them is in: the
//! others save a call by going with it. The invariant: no caller's kills are more than half of those that may wait.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    dispatch::{
        batch::{Batch, Waiting},
        rate::limiter::{Class, Limit, Permit, SPAN},
        rounds::{Caller, Rounds},
    },
    domain::Target,
};

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order in which they came; none is empty.
    batches: VecDeque<Batch>,
    /// For each class: the calls of one do not move on the rounds of the other.
    rounds: [Rounds; 2],
    /// Calls under way, by target.
    under_way: HashMap<Target, u32>,
    /// The last permit taken.
    last: Option<Permit>,
    /// Nothing is sent before.
    hold: Option<Instant>,
    tickets: u64,
    /// Targets for which a kill will enter in a moment, in which class, and whether a permit was asked for it.
    expected: HashMap<Target, (Class, bool)>,
    /// Permits that came before their kills.
    ahead: Vec<Permit>,
    /// When one of them was last of no use in time.
    wasted: Option<Instant>,
    /// Most ids of a call.
    most_ids: usize,
}

/// How many calls to a target make a crowd of it, and how long a kill waits for the answer of one of them then.
const CROWD: (u32, Duration) = (2, Duration::from_millis(100));

/// How long no permit is taken ahead of its kill after one came too soon: the record is slow, and each spends another.
const AFTER_WASTE: Duration = Duration::from_secs(10);

/// What goes: the batch, and kills that should have gone and may not, since their leave has run out.
#[derive(Debug)]
pub(super) struct Going {
    pub(super) batch: Option<Batch>,
    pub(super) overdue: Vec<Waiting>,
}

impl Queue {
    /// Lets a kill wait, with others for the same target where there is room for it; `None` where too many wait.
    /// One that comes `again` goes before all others of its caller.
    pub(super) fn enter(&mut self, mut kill: Waiting, again: bool, limit: &Limit) -> Option<u64> {
        if !again && !self.has_room_for(&kill, limit.max_waiting) {
            return None;
        }
        self.tickets += 1;
        self.most_ids = limit.max_ids_per_call;
        kill.ticket = self.tickets;
        let with = self.batches.iter_mut().find(|batch| batch.has_room_for(&kill.order, limit.max_ids_per_call));
        match with {
            Some(batch) => {
                batch.add(kill);
                // Whoever is in it already saves a call by going with it.
                batch.goes_first |= again;
            }
            None if again => self.batches.push_front(Batch::of(kill).going_first()),
            None => self.batches.push_back(Batch::of(kill)),
        }
        Some(self.tickets)
    }

    /// Urgent kills do not mind how many others wait.
    fn has_room_for(&self, kill: &Waiting, most: usize) -> bool {
        let before = self.batches.iter().flat_map(|batch| &batch.waiting);
        let before = before.filter(|other| other.class == Class::Urgent || kill.class != Class::Urgent);
        let (all, own) =
            before.fold((0, 0), |(all, own), other| (all + 1, own + usize::from(other.caller == kill.caller)));
        all < most && own < most.div_ceil(2)
    }

    /// Whether any kill waits.
    pub(super) fn any_waits(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Takes a kill out again, unless it has gone already.
    pub(super) fn withdraw(&mut self, ticket: u64) -> Option<Waiting> {
        self.take_out(|_, kill| kill.ticket == ticket).pop()
    }

    /// Takes out the kills of a class whose time is over before the next permit comes.
    pub(super) fn too_late(&mut self, class: Class, permit: Instant, now: Instant) -> Vec<Waiting> {
        self.take_out(|of_batch, kill| of_batch == class && kill.until.max(now) < permit)
    }

    fn take_out(&mut self, which: impl Fn(Class, &Waiting) -> bool) -> Vec<Waiting> {
        let mut taken = vec![];
        for batch in &mut self.batches {
            let class = batch.class();
            taken.append(&mut batch.take_out(|kill| which(class, kill)));
        }
        self.batches.retain(|batch| !batch.waiting.is_empty());
        taken
    }

    /// Takes out all batches of a class.
    pub(super) fn take_all(&mut self, class: Class) -> Vec<Batch> {
        self.take_batches(class, |_| Some(())).into_iter().map(|(batch, ())| batch).collect()
    }

    /// Takes out the batches of a class for whose target there is a reason, each with it.
    pub(super) fn take_batches<R>(&mut self, class: Class, reason: impl Fn(&Target) -> Option<R>) -> Vec<(Batch, R)> {
        let (mut taken, mut left) = (vec![], VecDeque::new());
        for batch in std::mem::take(&mut self.batches) {
            match Some(&batch.target).filter(|_| batch.class() == class).and_then(&reason) {
                Some(reason) => taken.push((batch, reason)),
                None => left.push_back(batch),
            }
        }
        self.batches = left;
        taken
    }

    /// A batch that surely did nothing waits again, before all others of its caller.
    pub(super) fn put_back(&mut self, batch: Batch) {
        if !batch.waiting.is_empty() {
            self.batches.push_front(batch.going_first());
        }
    }

    /// The batch that goes with a permit, whatever class it was taken for: an urgent one may use any, and a permit that
    /// nobody urgent needs any more is of use to others. A kill whose leave ran out before `time` costs its caller nothing.
    pub(super) fn next(&mut self, now: Instant, time: OffsetDateTime) -> Going {
        let mut overdue = vec![];
        while let Some(mut batch) = self.first(now).and_then(|place| self.batches.remove(place)) {
            overdue.append(&mut batch.take_out(|kill| kill.leave < time));
            if !batch.waiting.is_empty() {
                self.goes(&batch);
                return Going { batch: Some(batch), overdue };
            }
        }
        Going { batch: None, overdue }
    }

    /// The place of the batch that is first of those that may go.
    fn first(&self, now: Instant) -> Option<usize> {
        let may_go = self.batches.iter().enumerate().filter(|(_, batch)| self.may_go_at(batch, now) <= now);
        may_go.min_by_key(|(_, batch)| self.rank(batch)).map(|(place, _)| place)
    }

    /// What decides between two batches, before the order in which they came. Between callers in the same round it does not
    /// matter which of them is first.
    fn rank(&self, batch: &Batch) -> (bool, u64, bool, u64) {
        let rounds = self.rounds(batch.class());
        let (round, of_target) =
            self.right(batch).map_or((0, 0), |caller| (rounds.of(caller), rounds.of_target(caller, &batch.target)));
        (batch.class() != Class::Urgent, round, !batch.goes_first, of_target)
    }

    /// The caller by whose right a batch goes.
    fn right<'b>(&self, batch: &'b Batch) -> Option<&'b Caller> {
        let class = batch.class();
        let callers = batch.waiting.iter().filter(|kill| kill.class == class).map(|kill| &kill.caller);
        callers.min_by_key(|caller| self.rounds(class).of(caller))
    }

    fn goes(&mut self, batch: &Batch) {
        *self.under_way.entry(batch.target.clone()).or_default() += 1;
        if let Some(caller) = self.right(batch).cloned() {
            self.rounds[of_class(batch.class())].went(&caller, &batch.target);
        }
        if self.batches.is_empty() {
            // Where nobody waits there is nothing to be fair about, nor to remember.
            self.rounds = <_>::default();
        }
    }

    fn rounds(&self, class: Class) -> &Rounds {
        &self.rounds[of_class(class)]
    }

    /// A call is no longer under way.
    pub(super) fn is_back(&mut self, target: &Target) {
        if let Some(calls) = self.under_way.get_mut(target) {
            *calls -= 1;
        }
        self.under_way.retain(|_, calls| *calls > 0);
    }

    /// Expects a kill of a target, so that its permit is taken before it enters; false where that would be of no use.
    pub(super) fn expect(&mut self, target: &Target, class: Class, now: Instant) -> bool {
        self.drop_past(now);
        let is_slow = self.wasted.is_some_and(|at| now.saturating_duration_since(at) < AFTER_WASTE);
        if is_slow || self.is_crowd(target) || self.expected.contains_key(target) {
            return false;
        }
        self.expected.insert(target.clone(), (class, false));
        true
    }

    /// A kill of that target has come, or comes no more.
    pub(super) fn expect_no_more(&mut self, target: &Target) {
        self.expected.remove(target);
    }

    /// For how many expected kills of a class a permit is still to be asked for.
    fn expected(&self, class: Class) -> usize {
        self.expected.values().filter(|expected| **expected == (class, false)).count()
    }

    /// The permits for the expected kills of a class are being asked for: that is done once.
    pub(super) fn asks_for_expected(&mut self, class: Class) {
        self.expected.values_mut().filter(|expected| expected.0 == class).for_each(|expected| expected.1 = true);
    }

    /// Keeps what nobody needed yet of a permit.
    pub(super) fn keep(&mut self, permit: Permit) {
        self.ahead.push(permit);
    }

    /// A permit for one call that came before its kill, and may still be used.
    pub(super) fn take_ahead(&mut self, now: Instant) -> Option<Permit> {
        self.drop_past(now);
        let first = self.ahead.first_mut()?;
        let mut permit = *first;
        permit.calls = 1;
        first.calls -= 1;
        self.ahead.retain(|permit| permit.calls > 0);
        Some(permit)
    }

    fn drop_past(&mut self, now: Instant) {
        if self.ahead.extract_if(.., |permit| permit.begin_by < now).count() > 0 {
            self.wasted = Some(now);
        }
    }

    /// From when on a permit of a class is of use; `None` where none is.
    pub(super) fn ready_at(&self, class: Class, now: Instant) -> Option<Instant> {
        let waiting = self.batches.iter().filter(|batch| batch.class() == class);
        let waiting = waiting.map(|batch| self.may_go_at(batch, now)).min();
        let expected = (self.expected(class) > 0).then(|| self.hold.unwrap_or(now));
        waiting.into_iter().chain(expected).min()
    }

    /// While the budget has room, every batch may go at once, but for those of a crowd at one target: where some calls to it
    /// are under way, or others are on their way to it, kills wait for that, though not for long, and share a call. When the budget gets
    /// short, they do behind any call.
    fn may_go_at(&self, batch: &Batch, now: Instant) -> Instant {
        let under_way = self.under_way.get(&batch.target).copied().filter(|_| batch.is_open()).unwrap_or(0);
        let short = self.last.filter(|permit| under_way > 0 && permit.is_short());
        let crowd = (under_way >= CROWD.0 || batch.gathers(self.most_ids)).then(|| batch.since + CROWD.1);
        self.hold.max(batch.rests_until).max(crowd).max(short.map(|permit| permit.at + SPAN)).unwrap_or(now)
    }

    /// Whether kills of that target wait for an answer to one of its calls.
    fn is_crowd(&self, target: &Target) -> bool {
        self.under_way.get(target).is_some_and(|calls| *calls >= CROWD.0)
    }

    /// How many calls of a class could go now or in a moment, one for each target, and how long the most patient of them
    /// would wait for a permit.
    pub(super) fn wants(&self, class: Class, now: Instant) -> (u32, Duration) {
        let batches = || self.batches.iter().filter(|batch| batch.class() == class);
        let ready = batches().filter(|batch| self.may_go_at(batch, now) <= now);
        // A second one for a target may have to gather behind the first.
        let targets: HashSet<&Target> = ready.map(|batch| &batch.target).collect();
        let waiting = batches().flat_map(|batch| &batch.waiting);
        let patience = waiting.map(|kill| kill.until.saturating_duration_since(now)).max().unwrap_or_default();
        (u32::try_from(targets.len() + self.expected(class)).unwrap_or(u32::MAX), patience)
    }

    pub(super) fn permit_taken(&mut self, permit: Permit) {
        self.last = Some(permit);
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

const fn of_class(class: Class) -> usize {
    match class {
        Class::Urgent => 0,
        Class::Kill | Class::Read => 1,
    }
}

//! Where kills wait for their turn, and share calls while they wait.
//!
//! One lane for each budget. A kill that finds its turn free goes at once. While one waits, kills for the same
//! target join it: their ids become one call, each id once, and each kill gets its own outcomes. Urgent kills go
//! first. The invariants: every kill that enters gets exactly one answer; an id is sent again only after the vendor
//! surely refused it before acting: throttled, never connected, expired token; and no kill is sent whose leave has run
//! out while it waited.

mod batch;
pub(crate) mod breaker;
mod queue;
pub mod rate;
pub(crate) mod report;
pub(crate) mod runner;
pub mod upstreams;

#[cfg(test)]
mod tests;

use std::{
    fmt::Debug,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    dispatch::{
        rate::limiter::{Class, Limit, Permit, SPAN},
        report::{Report, Stop},
        runner::LONGEST_HOLD,
    },
    domain::{Order, Target},
    upstream::{Fault, FaultKind, Replay},
};

use batch::{Batch, Waiting};
use queue::Queue;

/// How often a kill is sent again after no connection could be made.
const RECONNECTS: u32 = 2;
/// The pause before a call is sent again that surely did nothing, where the vendor names none.
const PAUSE: Duration = Duration::from_millis(250);
/// How long after its time a kill still waits to hear that there is a turn for it, or none.
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// How much longer each pause is while one turn after another comes too late, and how often it grows.
const LATE_PAUSE: (Duration, u32) = (Duration::from_millis(20), 25);

/// What a lane has its turns from, and makes its calls with.
pub(crate) trait Calls: Debug + Send + Sync + 'static {
    fn limit(&self) -> &Limit;

    /// The time by the clock that leaves are given by.
    fn now(&self) -> OffsetDateTime;

    /// How long nothing will be sent, where the endpoint is failing and left alone.
    fn rest(&self) -> Option<Duration>;

    /// Hears whether any kill waits for a turn of the budget; reads have to leave turns to it.
    fn waits(&self, budget: &str, any: bool);

    /// Sees to it that so many calls can leave when their turns come: a connection takes longer than a turn lasts.
    fn warm(&self, many: u32) -> impl Future<Output = ()> + Send;

    /// Takes the next turn that comes within `patience`, for up to `many` calls.
    ///
    /// # Errors
    /// [`Stop::NoTurn`] or [`Stop::NoRecord`].
    fn turn(
        &self,
        budget: &str,
        class: Class,
        many: u32,
        patience: Duration,
    ) -> impl Future<Output = Result<Permit, Stop>> + Send;

    /// Makes the call of a kill whose turn it is, and what its script wants after it.
    ///
    /// # Errors
    /// [`Stop`] says why surely nothing was done.
    fn kill(&self, order: &Order, class: Class, turn: Permit) -> impl Future<Output = Result<Report, Stop>> + Send;
}

/// What enters a lane.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Of at most as many ids as go in one call.
    pub(crate) order: Order,
    pub(crate) class: Class,
    /// How long it waits for a turn.
    pub(crate) until: Instant,
    /// Until when it may be sent: a time of the clock, since this machine's timers stand still while it is suspended.
    pub(crate) leave: OffsetDateTime,
    /// Its turn had come before, and by then its leave had run out: now it goes first.
    pub(crate) again: bool,
}

/// One budget's queue, and what takes from it.
#[derive(Debug)]
pub(crate) struct Dispatcher<C> {
    calls: C,
    budget: String,
    queue: Mutex<Queue>,
    changed: Notify,
}

impl<C: Calls> Dispatcher<C> {
    /// A lane and its pumps, which live as long as the runtime.
    pub(crate) fn start(calls: C, budget: String) -> Arc<Self> {
        let lane = Arc::new(Self { calls, budget, queue: Mutex::default(), changed: Notify::new() });
        for class in [Class::Urgent, Class::Kill] {
            tokio::spawn(Arc::clone(&lane).pump(class));
        }
        lane
    }

    /// Sees one order through; `None` where its leave had run out when it could have gone: nothing was sent.
    pub(crate) async fn kill(&self, entry: Entry) -> Option<Report> {
        let (answer, mut answered) = oneshot::channel();
        let (order, until, again) = (entry.order.clone(), entry.until, entry.again);
        let Some(ticket) = self.queue().enter(Waiting::new(entry, answer), again, self.calls.limit()) else {
            return Some(Report::overloaded(&order));
        };
        self.changed.notify_waiters();
        let driven = if let Ok(driven) = timeout_at(until + GRACE, &mut answered).await {
            driven
        } else {
            // The pumps know first when there is no turn in time. This is for what waits on a call under way.
            let withdrawn = self.queue().withdraw(ticket);
            if let Some(kill) = withdrawn {
                kill.fail(&Stop::NoTurn(SPAN));
            }
            answered.await
        };
        // Without an answer its task died, and nobody knows how far it got.
        driven.unwrap_or_else(|_| Some(Report::lost(&order)))
    }

    /// Takes a turn whenever something waits for one, and lets the groups that are first go with it.
    async fn pump(self: Arc<Self>, class: Class) {
        let mut late = 0;
        loop {
            self.ready(class).await;
            let (many, _) = self.queue().wants(class, Instant::now());
            self.calls.warm(many).await;
            let (many, patience) = self.queue().wants(class, Instant::now());
            let turn = match self.calls.turn(&self.budget, class, many, patience).await {
                Ok(turn) => turn,
                Err(Stop::NoTurn(wait)) => {
                    self.give_up(class, Instant::now() + wait);
                    continue;
                }
                Err(stop) => {
                    self.fail_all(class, &stop);
                    continue;
                }
            };
            self.queue().turn_taken(turn);
            self.give_up(class, turn.at);
            sleep_until(turn.at).await;
            if turn.is_past() {
                late += 1;
                self.turn_lost(late).await;
                continue;
            }
            late = 0;
            for _ in 0..turn.calls {
                let Some(group) = self.next() else { break };
                tokio::spawn(Arc::clone(&self).send(group, turn));
            }
        }
    }

    /// The group that goes now. Kills whose leave has run out stay behind.
    fn next(&self) -> Option<Batch> {
        loop {
            let next = self.queue().next(Instant::now());
            let (mut group, now) = (next?, self.calls.now());
            for kill in group.take_out(|kill| kill.leave < now) {
                kill.send_back();
            }
            if !group.waiting.is_empty() {
                return Some(group);
            }
            self.queue().is_back(&group.target);
        }
    }

    /// Waits until something of this class may go. What cannot go in time is told so meanwhile.
    async fn ready(&self, class: Class) {
        loop {
            let changed = self.changed.notified();
            if let Some(rest) = self.calls.rest() {
                self.fail_all(class, &Stop::Down(rest));
            }
            let now = Instant::now();
            let hold = self.queue().hold(now);
            if let Some(hold) = hold {
                self.give_up(class, hold);
            }
            let ready = self.queue().ready_at(class, now);
            match ready {
                Some(at) if at <= now => return,
                Some(at) => drop(timeout_at(at, changed).await),
                None => changed.await,
            }
        }
    }

    /// A turn came too late to be used. It is spent, so this must not go on without a pause.
    async fn turn_lost(&self, in_a_row: u32) {
        if in_a_row.is_power_of_two() {
            let budget = &self.budget;
            tracing::warn!(budget, in_a_row, "a turn came too late: the database is slow, or this machine is");
        }
        sleep(LATE_PAUSE.0 * in_a_row.min(LATE_PAUSE.1)).await;
    }

    /// Makes the call of a group and answers each of its kills, or lets them wait again.
    async fn send(self: Arc<Self>, group: Batch, turn: Permit) {
        let Some(order) = group.order() else { return };
        let _under_way = UnderWay { lane: &self, target: group.target.clone() };
        match self.calls.kill(&order, group.class(), turn).await {
            Ok(driven) => group.answer(&driven),
            Err(Stop::Fault(fault)) => self.refused(group, fault),
            Err(Stop::Renewed(fault)) => self.again_renewed(group, fault),
            Err(stop) => group.fail(&stop),
        }
    }

    fn refused(&self, group: Batch, fault: Fault) {
        match fault.kind.replay() {
            Replay::Never | Replay::AfterRenewal => group.fail(&Stop::Fault(fault)),
            Replay::AfterPause if fault.kind == FaultKind::TooLate => self.again_at_once(group),
            Replay::AfterPause => self.again(group, fault),
        }
    }

    /// Lets kills wait again after a pause, as far as they can and were not sent too often.
    fn again(&self, group: Batch, fault: Fault) {
        let again_at = Instant::now() + pause_after(&fault);
        let is_unconnected = fault.kind == FaultKind::NotConnected;
        let (again, over) = group.partition(|kill| {
            kill.reconnects += u32::from(is_unconnected);
            kill.fault = Some(fault.clone());
            kill.until > again_at && kill.reconnects <= RECONNECTS
        });
        {
            let mut queue = self.queue();
            if is_unconnected {
                queue.put_back(again.resting_until(again_at));
            } else {
                queue.hold_until(again_at);
                queue.put_back(again);
            }
        }
        over.fail(&Stop::Fault(fault));
    }

    /// The turn passed before the call could begin: all but those who have left wait for another one.
    fn again_at_once(&self, group: Batch) {
        let now = Instant::now();
        let (again, over) = group.partition(|kill| kill.until + GRACE > now);
        over.fail(&Stop::NoTurn(SPAN));
        self.queue().put_back(again);
    }

    /// The vendor has not taken the token and there is a new one: once, all wait for another turn.
    fn again_renewed(&self, group: Batch, fault: Fault) {
        let (again, over) = group.partition(|kill| {
            kill.fault = Some(fault.clone());
            !std::mem::replace(&mut kill.renewed, true)
        });
        over.fail(&Stop::Fault(fault));
        self.queue().put_back(again);
    }

    /// There is no turn before that time: kills that cannot wait so long are told.
    fn give_up(&self, class: Class, turn: Instant) {
        let now = Instant::now();
        let late = self.queue().too_late(class, turn, now);
        for kill in late {
            kill.fail(&Stop::NoTurn(turn - now));
        }
    }

    /// Nothing can be sent: every kill that waits is told so.
    fn fail_all(&self, class: Class, stop: &Stop) {
        let all = self.queue().take_all(class);
        for group in all {
            group.fail(stop);
        }
    }

    fn queue(&self) -> Held<'_, C> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        Held { lane: self, waited: queue.any_waits(), queue }
    }
}

/// How long nothing is sent after a fault that surely did nothing.
fn pause_after(fault: &Fault) -> Duration {
    fault.retry_after.unwrap_or(PAUSE).min(LONGEST_HOLD)
}

/// The queue while it is held. When it is let go, it is told whether that has changed what reads have to know.
struct Held<'a, C: Calls> {
    lane: &'a Dispatcher<C>,
    waited: bool,
    queue: MutexGuard<'a, Queue>,
}

impl<C: Calls> Deref for Held<'_, C> {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.queue
    }
}

impl<C: Calls> DerefMut for Held<'_, C> {
    fn deref_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

impl<C: Calls> Drop for Held<'_, C> {
    fn drop(&mut self) {
        let any = self.queue.any_waits();
        if any != self.waited {
            self.lane.calls.waits(&self.lane.budget, any);
        }
    }
}

/// A call under way for as long as it lives.
struct UnderWay<'a, C: Calls> {
    lane: &'a Dispatcher<C>,
    target: Target,
}

impl<C: Calls> Drop for UnderWay<'_, C> {
    fn drop(&mut self) {
        self.lane.queue().is_back(&self.target);
        self.lane.changed.notify_waiters();
    }
}

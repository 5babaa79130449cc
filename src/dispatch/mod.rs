//! Where kills wait for a permit, and share calls while they wait.
//!
//! One dispatcher for each budget. A kill that finds a permit free goes at once, and takes no time for it: it is expected
//! while it is being recorded, and its permit is asked for meanwhile. While one waits, kills for the same target join it:
//! their ids become one call, each id once, and each kill gets its own outcomes. Urgent kills go first, and inside a class
//! callers go by rounds. The invariants: every kill that enters gets exactly one answer; an id is sent again only after the
//! vendor surely refused it before acting: throttled, never connected, expired token; and no kill is sent whose leave has run
//! out while it waited.

mod batch;
pub(crate) mod breaker;
mod queue;
pub mod rate;
pub(crate) mod report;
mod retry;
mod rounds;
pub(crate) mod runner;
pub(crate) mod unread;
pub mod upstreams;
mod wait;

#[cfg(test)]
mod tests;

use std::{
    fmt::Debug,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tracing::Instrument as _;

use crate::{
    domain::{Order, Target},
    spans::{Span, Trace},
};

use batch::{Batch, Waiting};
use breaker::Rest;
use queue::{Going, Queue};
use rate::{
    budget::Budget,
    limiter::{Class, Limit, Permit, SPAN},
};
use report::{Report, Stop};
use retry::Retry;
use rounds::Caller;
use wait::wait_until;

use crate::lock::lock;

/// How long after its time a kill still waits to hear that there is a permit for it, or none.
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// How much longer each pause is while one permit after another comes too late, and how often it grows.
const LATE_PAUSE: (Duration, u32) = (Duration::from_millis(20), 25);

/// What a dispatcher has its permits from, and makes its calls with.
pub(crate) trait Calls: Debug + Send + Sync + 'static {
    fn limit(&self) -> &Limit;

    /// The time by the clock that leaves are given by.
    fn now(&self) -> OffsetDateTime;

    /// How long no kill will be sent there, where the endpoint or the instance is failing and left alone.
    fn rest(&self, target: &Target) -> Option<Rest>;

    /// Hears whether any kill waits for a permit of the budget; reads have to leave permits to it.
    fn waits(&self, budget: &Budget, any: bool);

    /// Sees to it that so many calls can leave when their permits come: a connection takes longer than a permit lasts.
    fn warm(&self, many: u32) -> impl Future<Output = ()> + Send;

    /// Takes the next permit that comes within `patience`, for up to `many` calls.
    ///
    /// # Errors
    /// [`Stop::NoPermit`] or [`Stop::NoRecord`].
    fn permit(
        &self,
        budget: &Budget,
        class: Class,
        many: u32,
        patience: Duration,
    ) -> impl Future<Output = Result<Permit, Stop>> + Send;

    /// Makes the call of a kill that has a permit, and what its script wants after it.
    ///
    /// # Errors
    /// [`Stop`] says why surely nothing was done.
    fn kill(
        &self,
        order: &Order,
        class: Class,
        permit: Permit,
        trace: &Trace,
    ) -> impl Future<Output = Result<Report, Stop>> + Send;
}

/// A kill, or a part of one, that is to be dispatched.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Whose kill it is: callers go by rounds.
    pub(crate) caller: Caller,
    /// Of at most as many ids as go in one call.
    pub(crate) order: Order,
    pub(crate) class: Class,
    /// How long it waits for a permit.
    pub(crate) until: Instant,
    /// Until when it may be sent: a time of the clock, since this machine's timers stand still while it is suspended.
    pub(crate) leave: OffsetDateTime,
    /// It could have gone before, and by then its leave had run out: now it goes before its caller's others.
    pub(crate) again: bool,
    /// Others for the same target come with it: it waits a moment for them, and shares their call.
    pub(crate) in_company: bool,
    /// Where its wait stands in a trace.
    pub(crate) trace: Trace,
}

/// One budget's queue, and what takes from it.
#[derive(Debug)]
pub(crate) struct Dispatcher<C> {
    calls: C,
    budget: Budget,
    queue: Mutex<Queue>,
    changed: Notify,
}

impl<C: Calls> Dispatcher<C> {
    /// A dispatcher with a task for each class, which live as long as the runtime.
    pub(crate) fn start(calls: C, budget: Budget) -> Arc<Self> {
        let dispatcher = Arc::new(Self { calls, budget, queue: Mutex::default(), changed: Notify::new() });
        for class in [Class::Urgent, Class::Kill] {
            tokio::spawn(Arc::clone(&dispatcher).serve(class));
        }
        dispatcher
    }

    /// Whether a kill of that target would have to wait for nobody, as far as is known here.
    pub(crate) fn is_free(&self, target: &Target) -> bool {
        let queue = self.queue();
        !queue.any_waits() && queue.hold(Instant::now()).is_none() && self.calls.rest(target).is_none()
    }

    /// Has the permit for a kill of that target taken before it enters; `None` where it would be of no use.
    pub(crate) fn expect(self: &Arc<Self>, target: &Target, class: Class) -> Option<Expected<C>> {
        let target = Target { alias: None, ..target.clone() };
        if !self.queue().expect(&target, class, Instant::now()) {
            return None;
        }
        self.changed.notify_waiters();
        Some(Expected { dispatcher: Arc::clone(self), target })
    }

    /// Sees one order through; `None` where its leave had run out when it could have gone: nothing was sent.
    pub(crate) async fn kill(self: &Arc<Self>, entry: Entry) -> Option<Report> {
        let (answer, mut answered) = oneshot::channel();
        let (order, until, again) = (entry.order.clone(), entry.until, entry.again);
        let Some(ticket) = self.queue().enter(Waiting::new(entry, answer), again, self.calls.limit()) else {
            return Some(Report::overloaded(&order));
        };
        let ahead = self.queue().take_ahead(Instant::now());
        if let Some(permit) = ahead {
            self.go(permit);
        }
        // What does not go with it has to wait for another one.
        self.changed.notify_waiters();
        let report = if let Ok(report) = timeout_at(until + GRACE, &mut answered).await {
            report
        } else {
            // Whoever takes permits knows first when none comes in time. This is for what waits on a call under way.
            let withdrawn = self.queue().withdraw(ticket);
            if let Some(kill) = withdrawn {
                kill.fail(&Stop::NoPermit(SPAN));
            }
            answered.await
        };
        // Without an answer its task died, and nobody knows how far it got.
        report.unwrap_or_else(|_| Some(Report::lost(&order)))
    }

    /// Takes a permit whenever something of the class waits for one, and lets the batches that are first go with it.
    async fn serve(self: Arc<Self>, class: Class) {
        let mut late = 0;
        loop {
            self.ready(class).await;
            let Some(permit) = self.take_permit(class).await else { continue };
            wait_until(permit.at).await;
            if permit.is_past() {
                late += 1;
                self.permit_lost(late).await;
                continue;
            }
            late = 0;
            self.go(permit);
        }
    }

    /// Lets those batches go that are first, and keeps what is left of the permit.
    fn go(self: &Arc<Self>, mut permit: Permit) {
        while permit.calls > 0 {
            let Some(batch) = self.next() else { return self.queue().keep(permit) };
            tokio::spawn(Arc::clone(self).send(batch, permit));
            permit.calls -= 1;
        }
    }

    /// Waits until something of this class may go. What cannot go in time is told so meanwhile.
    async fn ready(&self, class: Class) {
        loop {
            let changed = self.changed.notified();
            self.fail_resting(class);
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

    /// The next permit; `None` where there is none in time, and who waits for it is told so.
    async fn take_permit(&self, class: Class) -> Option<Permit> {
        let (many, _) = self.queue().wants(class, Instant::now());
        self.calls.warm(many).await;
        let (many, patience) = self.queue().wants(class, Instant::now());
        self.queue().asks_for_expected(class);
        match self.calls.permit(&self.budget, class, many, patience).await {
            Ok(permit) => {
                self.queue().permit_taken(permit);
                self.give_up(class, permit.at);
                Some(permit)
            }
            Err(Stop::NoPermit(wait)) => {
                self.give_up(class, Instant::now() + wait);
                None
            }
            Err(stop) => {
                self.fail_all(class, &stop);
                None
            }
        }
    }

    /// A permit came too late to be used. It is spent, so this must not go on without a pause.
    async fn permit_lost(&self, in_a_row: u32) {
        if in_a_row.is_power_of_two() {
            let budget = &self.budget;
            tracing::warn!(%budget, in_a_row, "a permit came too late: the database is slow, or this machine is");
        }
        sleep(LATE_PAUSE.0 * in_a_row.min(LATE_PAUSE.1)).await;
    }

    /// The batch that goes now. Kills whose leave has run out are sent back.
    fn next(&self) -> Option<Batch> {
        let time = self.calls.now();
        let Going { batch, overdue } = self.queue().next(Instant::now(), time);
        for kill in overdue {
            kill.send_back();
        }
        batch
    }

    /// Makes the call of a batch and answers each of its kills, or lets them wait again.
    async fn send(self: Arc<Self>, batch: Batch, permit: Permit) {
        let Some(order) = batch.order() else { return };
        let _under_way = UnderWay { dispatcher: &self, target: batch.target.clone() };
        let span = batch.span();
        let trace = span.as_ref().map_or_else(|| batch.trace(), Span::trace);
        let call = self.calls.kill(&order, batch.class(), permit, trace).instrument(trace.lines());
        let came = call.await;
        drop(span);
        match came {
            Ok(report) => batch.answer(&report),
            Err(stop) => self.retry(Retry::of(batch, stop, Instant::now())),
        }
    }

    fn retry(&self, Retry { again, over, stop, hold }: Retry) {
        {
            let mut queue = self.queue();
            if let Some(hold) = hold {
                queue.hold_until(hold);
            }
            queue.put_back(again);
        }
        over.fail(&stop);
    }

    /// There is no permit before that time: kills that cannot wait so long are told.
    fn give_up(&self, class: Class, permit: Instant) {
        let now = Instant::now();
        let late = self.queue().too_late(class, permit, now);
        for kill in late {
            kill.fail(&Stop::NoPermit(permit - now));
        }
    }

    /// Kills for what is left alone now are told so.
    fn fail_resting(&self, class: Class) {
        let resting = self.queue().take_batches(class, |target| self.calls.rest(target));
        for (batch, rest) in resting {
            batch.fail(&Stop::Down(rest));
        }
    }

    /// Nothing can be sent: every kill that waits is told so.
    fn fail_all(&self, class: Class, stop: &Stop) {
        let all = self.queue().take_all(class);
        for batch in all {
            batch.fail(stop);
        }
    }

    fn queue(&self) -> Held<'_, C> {
        let queue = lock(&self.queue);
        Held { dispatcher: self, waited: queue.any_waits(), queue }
    }
}

/// The queue while it is held. When it is let go, it is told whether that has changed what reads have to know.
struct Held<'a, C: Calls> {
    dispatcher: &'a Dispatcher<C>,
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
            self.dispatcher.calls.waits(&self.dispatcher.budget, any);
        }
    }
}

/// A kill that is expected for as long as it lives: what it goes with is taken meanwhile.
#[derive(Debug)]
pub(crate) struct Expected<C: Calls> {
    dispatcher: Arc<Dispatcher<C>>,
    target: Target,
}

impl<C: Calls> Drop for Expected<C> {
    fn drop(&mut self) {
        self.dispatcher.queue().expect_no_more(&self.target);
    }
}

/// A call under way for as long as it lives.
struct UnderWay<'a, C: Calls> {
    dispatcher: &'a Dispatcher<C>,
    target: Target,
}

impl<C: Calls> Drop for UnderWay<'_, C> {
    fn drop(&mut self) {
        self.dispatcher.queue().is_back(&self.target);
        self.dispatcher.changed.notify_waiters();
    }
}

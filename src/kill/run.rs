//! One kill from its request to its answer: vet, look, record, dispatch, learn, tell.
//!
//! The invariants: no call leaves before it is on record that it may, nor on a look that is too old, nor for a kill
//! that another gateway may have settled meanwhile; and whatever happens on the way, the kill is concluded and answered.

mod begin;
mod failed;
mod left_out;
mod told;

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt as _;
use time::OffsetDateTime;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::Instrument as _;

use crate::{
    clock::unix_millis,
    dispatch::{
        Entry, Expected, GRACE,
        rate::limiter::Class,
        report::Report,
        runner::{Purpose, Reader, Runner},
    },
    domain::{Kill, Order, Problem, Selector, Sent, SessionId, Status},
    seats::Seat,
    spans::{Span, Trace},
};

use super::{
    Gate,
    after::settle,
    handle::Ticket,
    in_flight::UnderWay,
    intake::{request::Asked, submission::Submission},
    look::{
        plan::Plan,
        preflight::{self, Cleared, Preflight},
        rounds::Coming,
    },
    record::{self, Unwritten},
    times::calls_take,
};

use begin::Begun;
pub(super) use begin::begin;
use failed::Failed;
pub(super) use told::vendor_of;
use told::{note, note_end, tell};

/// How long after a mark the next call of the same kill may leave without another one.
const CONFIRMED: Duration = Duration::from_secs(1);

/// Takes one attempt from its request to its end. As soon as it is on record, or cannot be, `opened` is told, and its seat
/// among those who wait for that is free.
pub(super) async fn run(
    gate: Arc<Gate>,
    mut submission: Box<Submission>,
    opened: oneshot::Sender<Result<Ticket, Problem>>,
    (_under_way, seat): (UnderWay, Seat),
) {
    let mut span = submission.context.trace.step("kill");
    submission.context.trace = span.trace().clone();
    span.text("enduser.id", &submission.context.caller);
    let begun = Box::pin(begin(gate, submission)).await;
    drop(seat);
    let (ticket, work) = match begun {
        Ok(Begun { ticket, work }) => (Ok(ticket), work),
        Err(problem) => {
            span.failed(problem.code.as_str());
            (Err(problem), None)
        }
    };
    if let Ok(ticket) = &ticket {
        note(&mut span, ticket, work.is_none());
    }
    // Whoever asked may have gone: what is on record is done all the same.
    let _ = opened.send(ticket);
    if let Some((run, updates)) = work {
        // In a place of its own, as the beginning is: a kill that waits for the record has no room for what comes after.
        Box::pin(run.finish(updates, span)).await;
    }
}

/// What is to be done for one kill, and with what.
#[derive(Debug)]
struct Job {
    gate: Arc<Gate>,
    runner: Runner,
    asked: Asked,
    /// The look that has to come first.
    plan: Option<Plan>,
    class: Class,
    /// Whether the caller may see the literals of statements.
    literals: bool,
    /// Where it stands in a trace.
    trace: Trace,
}

/// A kill on record, and how far it has come.
#[derive(Debug)]
struct Run {
    job: Job,
    kill: Kill,
    started: Instant,
    /// The last mark, and until when others leave the kill alone; `None` as long as surely nothing was sent.
    marked: Option<(OffsetDateTime, OffsetDateTime)>,
    /// Until when calls may rest on the last look; `None` where none is needed.
    look_good_until: Option<OffsetDateTime>,
    /// How many sessions its target's share of the minute has let through for it.
    counted: usize,
    /// The calls that left.
    calls: Vec<Sent>,
    /// Until it enters its dispatcher, where its permit is taken ahead.
    expected: Option<Expected<Runner>>,
    /// Until it looks: others wait for it with their look.
    coming: Option<Coming>,
    /// Whether other kills of the place come with it.
    in_company: bool,
}

impl Job {
    /// The look of this kill; `None` where it needs none.
    fn preflight(&self, caller: &str, trace: &Trace) -> Option<Preflight<'_>> {
        let Self { gate, runner, asked, plan, class, literals, .. } = self;
        let plan = plan.as_ref()?;
        let reader = Reader::new(Purpose::Kill(*class), caller).within(trace);
        Some(Preflight { looks: &gate.looks, runner, asked, plan, literals: *literals, reader })
    }
}

impl Run {
    fn new(job: Job, kill: Kill) -> Self {
        let started = Instant::now();
        Self {
            job,
            kill,
            started,
            marked: None,
            look_good_until: None,
            counted: 0,
            calls: vec![],
            expected: None,
            coming: None,
            in_company: false,
        }
    }

    /// Sees the kill through, records what became of it, and tells whoever waits.
    async fn finish(mut self: Box<Self>, updates: watch::Sender<Arc<Kill>>, mut span: Span) {
        let outcome = AssertUnwindSafe(self.act()).catch_unwind().await;
        let Self { job: Job { gate, runner, .. }, mut kill, started, marked, calls, .. } = *self;
        let now = gate.clock.now();
        if let Ok(outcome) = outcome {
            apply(&mut kill, outcome, now);
        } else {
            tracing::error!(kill_id = %kill.id, "the work on a kill broke off");
            settle::broken_off(&mut kill, marked.is_some(), now);
        }
        let first_look = settle::first_look(&runner, &kill, now);
        // What can be looked at already is, from here.
        let can_look = first_look.is_some_and(|at| at <= now) && !gate.is_leaving.load(Ordering::Relaxed);
        let promise = can_look.then(|| gate.reconciler.promise(runner.account.name())).flatten();
        let look_at = promise.as_ref().map(|promise| promise.over_at).or(first_look);
        let mut kill = Arc::new(kill);
        let outcome = Unwritten::new(Arc::clone(&kill), calls, now, look_at);
        let recorded = record::step(span.trace(), "answered").around(gate.record.write(&outcome)).await;
        if let (Ok(true), Some(promise)) = (&recorded, promise) {
            let (kill, calls) = (Kill::clone(&kill), outcome.calls.clone());
            let look = Arc::clone(&gate.reconciler).look_first(kill, calls, promise);
            tokio::spawn(look.instrument(span.trace().lines()));
        }
        // Somebody else may have settled the kill: what is on record is what is answered.
        let settled = if let Ok(false) = recorded { gate.record.recorded(&outcome).await } else { None };
        let is_settled = matches!(recorded, Ok(true)) || settled.is_some();
        if let Some(settled) = settled {
            kill = Arc::new(settled);
        }
        tell(&gate, &kill, started.elapsed());
        if kill.status.is_final() && kill.status != Status::Preview {
            gate.metrics.kill_over(runner.vendor.name().as_str(), settle::age(&kill, gate.clock.now()));
        }
        note_end(&mut span, &kill);
        drop(span);
        updates.send_replace(kill);
        match recorded {
            Err(error) => Box::pin(gate.record.write_later(outcome, error)).await,
            Ok(_) if is_settled => outcome.settled(),
            Ok(_) => {}
        }
    }

    /// Looks where that is needed, and then sends.
    async fn act(&mut self) -> Report {
        let Self { job, kill, .. } = self;
        let Job { gate, runner, asked, literals, .. } = &*job;
        if asked.dry_run {
            return Box::pin(gate.looks.preview(runner, asked, (*literals, &job.trace), kill)).await;
        }
        drop(self.coming.take());
        let mut looking = job.plan.as_ref().map(|_| job.trace.step("look"));
        let trace = looking.as_ref().map_or(&job.trace, Span::trace);
        let Some(preflight) = job.preflight(&kill.caller, trace) else {
            let order = asked.order.clone();
            // Nobody knows how many the database will pick.
            let many = if order.selector == Selector::Intelligent { 1 } else { order.selector.ids().len() };
            return self.send(&order, many).await;
        };
        let Cleared { order, many, in_company } = match Box::pin(preflight.first(kill)).await {
            Ok(Some(found)) => found,
            Ok(None) => return preflight::nothing_to_send(kill),
            Err(problem) => {
                if let Some(span) = &mut looking {
                    span.failed(problem.code.as_str());
                }
                return preflight::not_sent(kill, &asked.order, problem);
            }
        };
        drop(looking);
        self.looked();
        self.in_company = in_company;
        let sent = self.send(&order, many).await;
        // Looked at again, none was left to be sent.
        let has_left = !self.calls.is_empty() || sent.problem.is_some();
        if has_left {
            self.settle_left_out(preflight::with_unsent(&self.kill, sent)).await
        } else {
            preflight::nothing_to_send(&self.kill)
        }
    }

    /// Sends an order that is about so many sessions, unless its target has had its share of the minute: in as many
    /// calls as the vendor's limit of ids needs, one after another.
    ///
    /// After the first call that fails no further one is sent: what is wrong with one is wrong with the next. What is wrong at one
    /// place need not be at another.
    async fn send(&mut self, order: &Order, many: usize) -> Report {
        if let Err(problem) = self.count(many) {
            return Report::not_sent(order, problem);
        }
        let mut parts = VecDeque::from(order.parts(self.job.runner.limit.max_ids_per_call));
        let (mut whole, mut failed): (Option<Report>, _) = (None, Failed::default());
        while let Some(part) = parts.pop_front() {
            let place = part.selector.ids().first().and_then(SessionId::place).map(str::to_owned);
            let is_spared = failed.at(place.as_deref());
            let next = if is_spared { Report::unsent(&part) } else { self.send_part(part, &mut parts).await };
            failed.note(place, next.problem.as_ref());
            self.calls.extend(next.calls.iter().cloned());
            self.kill.note(&next.sessions);
            whole = Some(match whole {
                None => next,
                Some(before) => before.and(next),
            });
        }
        whole.map_or_else(|| Report::lost(order), |whole| whole.in_order_of(order.selector.ids()))
    }

    /// Lets so many sessions of the target through, as far as they were not before: a second look may find more of them.
    fn count(&mut self, many: usize) -> Result<(), Problem> {
        let Job { gate, asked, .. } = &self.job;
        let more = many.saturating_sub(self.counted);
        if more == 0 {
            return Ok(());
        }
        // Counted where it was asked for: the order may name the node that was looked at.
        gate.policy.caps.take(&asked.order.place(), more, gate.clock.now())?;
        self.counted += more;
        Ok(())
    }

    /// Sends what goes in one call, as soon as it has its turn: on a look that is not too old then, and only where the
    /// kill is still this gateway's. What a second look makes of it that goes in no one call is put before the `rest`.
    async fn send_part(&mut self, mut part: Order, rest: &mut VecDeque<Order>) -> Report {
        let (mut until, mut again) = (Instant::now() + self.job.runner.limit.max_wait, false);
        let dispatcher = self.job.gate.upstreams.dispatcher(&self.job.runner, &part.target);
        loop {
            if self.is_look_too_old() {
                let asked_at = Instant::now();
                part = match Box::pin(self.look_again(part, rest)).await {
                    Ok(left) => left,
                    Err(report) => return *report,
                };
                // It waits for its turn as long as any other, however long the list took.
                until += asked_at.elapsed();
            }
            let (plain, place) = part.plain();
            if self.expected.is_none() && !self.in_company && dispatcher.is_free(&plain.target) {
                self.expected = dispatcher.expect(&plain.target, self.job.class);
            }
            let leave = self.confirm_leave(until, rest.len()).await;
            // Now it comes.
            self.expected = None;
            let leave = match leave {
                Ok(leave) => leave,
                Err(problem) => return Report::not_sent(&part, problem),
            };
            let caller = self.kill.caller.as_str().into();
            let (class, in_company) = (self.job.class, self.in_company);
            let span = self.job.trace.step("dispatch");
            let trace = span.trace().clone();
            let entry = Entry { caller, order: plain, class, until, leave, again, in_company, trace };
            if let Some(report) = span.around(dispatcher.kill(entry)).await {
                self.note_when(report.calls.last());
                return report.at(place.as_deref());
            }
            again = true;
        }
    }

    /// Looks again at what goes in one call: what of it goes in one call now.
    ///
    /// # Errors
    /// Why nothing of it may be sent.
    async fn look_again(&mut self, part: Order, rest: &mut VecDeque<Order>) -> Result<Order, Box<Report>> {
        let Self { job, kill, .. } = self;
        let span = job.trace.step("look");
        let Some(preflight) = job.preflight(&kill.caller, span.trace()) else { return Ok(part) };
        let Cleared { order: left, many, in_company } = match preflight.again(part.clone(), rest.len(), kill).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Box::new(Report::nothing())),
            Err(problem) => return Err(Box::new(Report::not_sent(&part, problem))),
        };
        self.count(many).map_err(|problem| Box::new(Report::not_sent(&left, problem)))?;
        let mut left = left.parts(self.job.runner.limit.max_ids_per_call).into_iter();
        let part = left.next().unwrap_or(part);
        left.rev().for_each(|later| rest.push_front(later));
        self.looked();
        self.in_company = in_company;
        Ok(part)
    }

    /// Until when a call may leave that waits for its turn until then: the kill is marked as sent, and nobody else will
    /// settle it before this call, and what comes after it, must be over.
    ///
    /// # Errors
    /// It must not be sent: that could not be recorded, or another gateway has settled the kill.
    async fn confirm_leave(&mut self, until: Instant, after_it: usize) -> Result<OffsetDateTime, Problem> {
        let Job { gate, runner, .. } = &self.job;
        let (limit, looks, now) = (runner.limit, self.look_good_until.is_some(), gate.clock.now());
        let leave = now + until.saturating_duration_since(Instant::now()) + GRACE;
        // What was looked at may have to be looked at again before it goes.
        let again = if looks { limit.max_wait + limit.timeout } else { Duration::ZERO };
        let due = leave + limit.timeout + again + calls_take(limit, after_it, looks);
        // A clock that was set back tells nothing of how old a mark is.
        let is_fresh =
            |(at, until): (OffsetDateTime, OffsetDateTime)| at <= now && now - at < CONFIRMED && due <= until;
        if !self.marked.is_some_and(is_fresh) {
            record::step(&self.job.trace, "sent").around(gate.record.mark_sent(&self.kill, now, due)).await?;
            if self.marked.replace((now, due)).is_none() {
                self.note_mark(now);
            }
        }
        Ok(self.look_good_until.map_or(leave, |good_until| leave.min(good_until)))
    }

    /// The sessions were looked at, and the list has just been read to its end. How old it was when it was asked for does
    /// not count: a list that takes long to read would never be good.
    fn looked(&mut self) {
        let Job { gate, runner, .. } = &self.job;
        self.look_good_until = self.kill.look.map(|_| gate.clock.now() + runner.limit.look_max_age);
    }

    fn is_look_too_old(&self) -> bool {
        self.job.plan.is_some() && self.look_good_until.is_some_and(|good_until| good_until < self.job.gate.clock.now())
    }

    /// Notes on the kill when its last call left.
    fn note_when(&mut self, call: Option<&Sent>) {
        if let (Some(look), Some(call)) = (&mut self.kill.look, call) {
            look.to_kill_ms = Some(unix_millis(call.at) - unix_millis(look.at));
        }
    }

    /// Until it is known when a call left, one may have left from the first mark on.
    fn note_mark(&mut self, at: OffsetDateTime) {
        if let Some(look) = &mut self.kill.look {
            look.to_kill_ms = Some(unix_millis(at) - unix_millis(look.at));
        }
    }
}

fn apply(kill: &mut Kill, outcome: Report, now: OffsetDateTime) {
    kill.status = outcome.status;
    kill.sessions = outcome.sessions;
    kill.upstream = outcome.upstream;
    kill.problem = outcome.problem;
    kill.completed_at = outcome.status.is_final().then_some(now);
}

#[cfg(test)]
mod tests;

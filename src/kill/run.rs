//! Seeing a recorded kill through: look, mark, send, record the outcome, answer.
//!
//! The invariants: no call leaves before it is on record that it may, nor on a look that is too old, nor for a kill
//! that another gateway may have settled meanwhile; and whatever happens on the way, the kill is concluded and answered.

use std::{collections::VecDeque, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};

use crate::{
    audit::{Attempt, AuditError},
    clock::unix_millis,
    dispatch::{
        Entry, GRACE,
        rate::limiter::Class,
        report::{self, Report},
        runner::Runner,
    },
    domain::{Kill, Order, Problem, ProblemCode, Selector, Sent, Session},
    kill::{
        InFlight, Kills,
        after::settle,
        calls_take,
        intake::request::Asked,
        look::preflight::{self, Plan},
        record::Unwritten,
        unavailable,
    },
};

/// How long after a mark the next call of the same kill may leave without another one.
const CONFIRMED: Duration = Duration::from_secs(1);

/// What is to be done for one kill.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) driver: Runner,
    pub(super) asked: Asked,
    /// The look that has to come first.
    pub(super) plan: Option<Plan>,
    pub(super) class: Class,
    /// Whether the caller may see the literals of statements.
    pub(super) literals: bool,
}

/// How far a kill has come.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// The last mark, and until when others leave the kill alone; `None` as long as surely nothing was sent.
    marked: Option<(OffsetDateTime, OffsetDateTime)>,
    /// Until when calls may rest on the last look; `None` where none is needed.
    pub(super) look_good_until: Option<OffsetDateTime>,
    /// How many sessions its target's share of the minute has let through for it.
    counted: usize,
    /// The calls that left.
    calls: Vec<Sent>,
}

impl Kills {
    pub(super) async fn work(self, job: Job, mut attempt: Attempt, updates: watch::Sender<Kill>, _guard: InFlight) {
        let started = Instant::now();
        let (kill, mut way) = (&mut attempt.kill, Way::default());
        let outcome = AssertUnwindSafe(self.act(&job, kill, &mut way)).catch_unwind().await;
        let now = self.0.clock.now();
        if let Ok(outcome) = outcome {
            apply(kill, outcome, now);
        } else {
            tracing::error!(kill_id = %kill.id, "the work on a kill broke off");
            settle::broken_off(kill, way.marked.is_some(), now);
        }
        let outcome = Unwritten::new(kill, way.calls, now, settle::first_look(&job.driver, kill, now));
        let recorded = self.write(&outcome).await;
        // Somebody else may have settled the kill: what is on record is what is answered.
        let settled = if let Ok(false) = recorded { self.recorded(&outcome).await } else { None };
        let is_settled = matches!(recorded, Ok(true)) || settled.is_some();
        if let Some(settled) = settled {
            *kill = settled;
        }
        self.0.report(&attempt, started.elapsed());
        updates.send_replace(attempt.kill.clone());
        match recorded {
            Err(error) => self.record_later(outcome, error).await,
            Ok(_) if is_settled => outcome.settled(),
            Ok(_) => {}
        }
    }

    /// Looks where that is needed, and then sends.
    async fn act(&self, job: &Job, kill: &mut Kill, way: &mut Way) -> Report {
        let Job { driver, asked, plan, class, literals, .. } = job;
        if asked.dry_run {
            return self.preview(driver, asked, *literals, kill).await;
        }
        let Some(plan) = plan else {
            let selector = &asked.order.selector;
            // Nobody knows how many the database will pick.
            let many = if *selector == Selector::Intelligent { 1 } else { selector.ids().len() };
            return self.send(job, &asked.order, many, kill, way).await;
        };
        let (order, many) = match self.look_before(driver, plan, asked, *literals, *class, kill).await {
            Ok(Some(found)) => found,
            Ok(None) => return preflight::nothing_to_send(kill),
            Err(problem) => return preflight::not_sent(kill, &asked.order, problem),
        };
        way.looked(driver, kill, self.0.clock.now());
        let sent = self.send(job, &order, many, kill, way).await;
        // Looked at again, none was left to be sent.
        let has_left = !way.calls.is_empty() || sent.problem.is_some();
        if has_left { preflight::with_unsent(&kill.sessions, sent) } else { preflight::nothing_to_send(kill) }
    }

    /// Sends an order that is about so many sessions, unless its target has had its share of the minute: in as many
    /// calls as the vendor's limit of ids needs, one after another.
    ///
    /// After the first call that fails no further one is sent: what is wrong with one is wrong with the next.
    async fn send(&self, job: &Job, order: &Order, many: usize, kill: &mut Kill, way: &mut Way) -> Report {
        if let Err(problem) = self.count(job, many, way) {
            return Report::not_sent(order, problem);
        }
        let mut parts = VecDeque::from(report::parts(order, job.driver.limit.max_ids_per_call));
        let (mut whole, mut has_failed): (Option<Report>, _) = (None, false);
        while let Some(part) = parts.pop_front() {
            let next =
                if has_failed { Report::unsent(&part) } else { self.send_part(job, part, &mut parts, kill, way).await };
            has_failed |= next.problem.is_some();
            way.calls.extend(next.calls.iter().cloned());
            note(kill, &next.sessions);
            whole = Some(match whole {
                None => next,
                Some(before) => before.and(next),
            });
        }
        whole.unwrap_or_else(|| Report::lost(order))
    }

    /// Lets so many sessions of the target through, as far as they were not before: a second look may find more of them.
    fn count(&self, job: &Job, many: usize, way: &mut Way) -> Result<(), Problem> {
        // Counted where it was asked for: the order may name the node that was looked at.
        let more = many.saturating_sub(way.counted);
        if more == 0 {
            return Ok(());
        }
        self.0.caps.take(&job.asked.order.target, more, self.0.clock.now())?;
        way.counted += more;
        Ok(())
    }

    /// Sends what goes in one call, as soon as it has its turn: on a look that is not too old then, and only where the
    /// kill is still this gateway's. What a second look makes of it that goes in no one call is put before the `rest`.
    async fn send_part(
        &self,
        job: &Job,
        mut part: Order,
        rest: &mut VecDeque<Order>,
        kill: &mut Kill,
        way: &mut Way,
    ) -> Report {
        let Job { driver, plan, class, .. } = job;
        let (mut until, mut again) = (Instant::now() + driver.limit.max_wait, false);
        let dispatcher = self.0.upstreams.dispatcher(driver, &part);
        loop {
            if let Some(plan) = plan.as_ref().filter(|_| way.is_look_too_old(self.0.clock.now())) {
                let asked_at = Instant::now();
                let (left, many) = match self.look_again(job, plan, part.clone(), rest.len(), kill).await {
                    Ok(Some(found)) => found,
                    Ok(None) => return Report::nothing(),
                    Err(problem) => return Report::not_sent(&part, problem),
                };
                if let Err(problem) = self.count(job, many, way) {
                    return Report::not_sent(&left, problem);
                }
                let mut left = report::parts(&left, driver.limit.max_ids_per_call).into_iter();
                part = left.next().unwrap_or(part);
                left.rev().for_each(|later| rest.push_front(later));
                way.looked(driver, kill, self.0.clock.now());
                // It waits for its turn as long as any other, however long the list took.
                until += asked_at.elapsed();
            }
            let leave = match self.confirm_leave(job, until, rest.len(), kill, way).await {
                Ok(leave) => leave,
                Err(problem) => return Report::not_sent(&part, problem),
            };
            let entry = Entry { order: part.clone(), class: *class, until, leave, again };
            if let Some(driven) = dispatcher.kill(entry).await {
                note_when(kill, driven.calls.last());
                return driven;
            }
            again = true;
        }
    }

    /// Until when a call may leave that waits for its turn until then: the kill is marked as sent, and nobody else will
    /// settle it before this call, and what comes after it, must be over.
    ///
    /// # Errors
    /// It must not be sent: that could not be recorded, or another gateway has settled the kill.
    async fn confirm_leave(
        &self,
        job: &Job,
        until: Instant,
        after_it: usize,
        kill: &mut Kill,
        way: &mut Way,
    ) -> Result<OffsetDateTime, Problem> {
        let (limit, looks, now) = (job.driver.limit, way.look_good_until.is_some(), self.0.clock.now());
        let leave = now + until.saturating_duration_since(Instant::now()) + GRACE;
        // What was looked at may have to be looked at again before it goes.
        let again = if looks { limit.max_wait + limit.timeout } else { Duration::ZERO };
        let due = leave + limit.timeout + again + calls_take(limit, after_it, looks);
        // A clock that was set back tells nothing of how old a mark is.
        let is_fresh =
            |(at, until): (OffsetDateTime, OffsetDateTime)| at <= now && now - at < CONFIRMED && due <= until;
        if !way.marked.is_some_and(is_fresh) {
            self.mark_sent(kill, now, due).await?;
            if way.marked.replace((now, due)).is_none() {
                note_mark(kill, now);
            }
        }
        Ok(way.look_good_until.map_or(leave, |good_until| leave.min(good_until)))
    }

    /// Records that from now on bytes may leave; without that none does, and a kill whose row another gateway
    /// took over by now is not sent either. Nobody takes it over before `due`.
    pub(super) async fn mark_sent(&self, kill: &Kill, at: OffsetDateTime, due: OffsetDateTime) -> Result<(), Problem> {
        let recorded = self.0.audit.mark_sent(kill.id, &self.0.gateway, at, due).await;
        self.may_go_on(kill, recorded)
    }

    /// Whether a kill may go on after something of it was to be recorded before anything is sent.
    pub(super) fn may_go_on(&self, kill: &Kill, recorded: Result<bool, AuditError>) -> Result<(), Problem> {
        match recorded {
            Ok(true) => Ok(()),
            Ok(false) => {
                let sentence = "this gateway was too slow and another one has settled the kill; nothing was killed";
                Err(Problem::new(ProblemCode::Overloaded, sentence).retry_after(1))
            }
            Err(error) => {
                self.0.metrics.audit_failure();
                tracing::error!(kill_id = %kill.id, %error, "the record could not be written, so nothing was sent");
                Err(unavailable())
            }
        }
    }
}

impl Way {
    /// The sessions were looked at, and the list has just been read to its end. How old it was when it was asked for does
    /// not count: a list that takes long to read would never be good.
    fn looked(&mut self, driver: &Runner, kill: &Kill, now: OffsetDateTime) {
        self.look_good_until = kill.look.map(|_| now + driver.limit.look_max_age);
    }

    fn is_look_too_old(&self, now: OffsetDateTime) -> bool {
        self.look_good_until.is_some_and(|good_until| good_until < now)
    }
}

/// Notes on the kill what became of those sessions.
pub(super) fn note(kill: &mut Kill, sessions: &[Session]) {
    for session in sessions {
        if let Some(known) = kill.sessions.iter_mut().find(|known| known.id == session.id) {
            let identity = known.identity.take().or_else(|| session.identity.clone());
            *known = Session { identity, ..session.clone() };
        }
    }
}

/// Notes on the kill when its last call left.
fn note_when(kill: &mut Kill, call: Option<&Sent>) {
    if let (Some(look), Some(call)) = (&mut kill.look, call) {
        look.to_kill_ms = Some(unix_millis(call.at) - unix_millis(look.at));
    }
}

/// Until it is known when a call left, one may have left from the first mark on.
fn note_mark(kill: &mut Kill, at: OffsetDateTime) {
    if let Some(look) = &mut kill.look {
        look.to_kill_ms = Some(unix_millis(at) - unix_millis(look.at));
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

//! Seeing a recorded kill through: mark, send, record the outcome, answer.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    audit::{Attempt, AuditError},
    clock::unix_millis,
    domain::{Kill, Order, Problem, ProblemCode, Selector},
};

use super::{
    InFlight, Kills,
    drive::Driver,
    driven::{self, Driven},
    lane::Lane,
    lock,
    look::{self, Plan},
    request::Asked,
    settle,
    turns::{Class, Turns},
    unavailable,
};

/// What is to be done for one kill.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) driver: Driver,
    pub(super) asked: Asked,
    /// The look that has to come first.
    pub(super) plan: Option<Plan>,
    pub(super) class: Class,
    /// Whether the caller may see the literals of statements.
    pub(super) literals: bool,
}

impl Kills {
    pub(super) async fn work(self, job: Job, mut attempt: Attempt, updates: watch::Sender<Kill>, _guard: InFlight) {
        let started = Instant::now();
        let mut is_marked = false;
        let acted = AssertUnwindSafe(self.act(&job, &mut attempt.kill, &mut is_marked)).catch_unwind().await;
        let outcome = acted.unwrap_or_else(|_| broken_off(&attempt.kill, &job.asked.order, is_marked));
        let now = self.0.clock.now();
        apply(&mut attempt.kill, outcome, now);
        let look = settle::first_look(&job.driver, &attempt.kill, now);
        let recorded = self.0.audit.conclude(&attempt.kill, now, "answered", look).await;
        if let Ok(false) = recorded {
            self.adopt_record(&mut attempt.kill).await;
        }
        self.0.report(&attempt, started.elapsed());
        updates.send_replace(attempt.kill.clone());
        if let Err(error) = recorded {
            self.record_later(attempt.kill, look, error).await;
        }
    }

    /// Looks where that is needed, and then sends. `is_marked` becomes true when it is on record that bytes may leave.
    async fn act(&self, job: &Job, kill: &mut Kill, is_marked: &mut bool) -> Driven {
        let Job { driver, asked, plan, class, literals, .. } = job;
        if asked.dry_run {
            return self.preview(driver, asked, *literals, kill).await;
        }
        let Some(plan) = plan else {
            let selector = &asked.order.selector;
            // Nobody knows how many the database will pick.
            let many = if *selector == Selector::Intelligent { 1 } else { selector.ids().len() };
            return self.send(job, &asked.order, many, kill, is_marked).await;
        };
        let (order, many) = match self.look_before(driver, plan, asked, *literals, *class, kill).await {
            Ok(Some(found)) => found,
            Ok(None) => return look::nothing_to_send(kill),
            Err(problem) => return look::not_sent(kill, &asked.order, problem),
        };
        let sent = self.send(job, &order, many, kill, is_marked).await;
        look::with_unsent(&kill.sessions, sent)
    }

    /// Sends an order that is about so many sessions, unless its target has had its share of the minute.
    async fn send(&self, job: &Job, order: &Order, many: usize, kill: &mut Kill, is_marked: &mut bool) -> Driven {
        let at = self.0.clock.now();
        // Counted where it was asked for: the order may name the node that was looked at.
        if let Err(problem) = self.0.caps.take(&job.asked.order.target, many, at) {
            return Driven::not_sent(order, problem);
        }
        if let Err(problem) = self.mark_sent(kill, at).await {
            return Driven::not_sent(order, problem);
        }
        *is_marked = true;
        if let Some(look) = &mut kill.look {
            look.to_kill_ms = Some(unix_millis(at) - unix_millis(look.at));
        }
        self.kill(&job.driver, order, job.class).await
    }

    /// Somebody else has settled the kill: what is on record is what is answered.
    async fn adopt_record(&self, kill: &mut Kill) {
        match self.0.audit.find(kill.id).await {
            Ok(Some(settled)) => *kill = settled,
            Ok(None) => {}
            Err(error) => tracing::warn!(kill_id = %kill.id, %error, "a settled kill could not be read"),
        }
    }

    /// Records that from now on bytes may leave; without that none does, and a kill whose row another gateway
    /// took over by now is not sent either.
    pub(super) async fn mark_sent(&self, kill: &Kill, at: OffsetDateTime) -> Result<(), Problem> {
        let recorded = self.0.audit.mark_sent(kill.id, &self.0.gateway, at).await;
        self.may_go_on(kill, recorded)
    }

    /// Whether a kill may go on after something of it was to be recorded before anything is sent.
    pub(super) fn may_go_on(&self, kill: &Kill, recorded: Result<bool, AuditError>) -> Result<(), Problem> {
        match recorded {
            Ok(true) => Ok(()),
            Ok(false) => {
                let sentence = "this gateway was too slow and another one has settled the kill; nothing was sent";
                Err(Problem::new(ProblemCode::Overloaded, sentence).retry_after(1))
            }
            Err(error) => {
                self.0.metrics.audit_failure();
                tracing::error!(kill_id = %kill.id, %error, "the record could not be written, so nothing was sent");
                Err(unavailable())
            }
        }
    }

    /// Keeps trying to write an outcome that the caller already knows. Until it is written the row is pending,
    /// and another gateway may have called it unknown meanwhile: both may still become what is known here.
    async fn record_later(&self, kill: Kill, look: Option<OffsetDateTime>, mut error: AuditError) {
        let mut pause = Duration::from_millis(250);
        loop {
            self.0.metrics.audit_failure();
            tracing::error!(kill_id = %kill.id, %error, "an outcome could not be written yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
            match self.0.audit.conclude(&kill, self.0.clock.now(), "answered", look).await {
                Ok(_) => return,
                Err(next) => error = next,
            }
        }
    }

    /// Ends the sessions of `order`, in as many calls as the vendor's limit of ids needs, one after another.
    ///
    /// After the first call that fails no further one is sent: what is wrong with one is wrong with the next.
    async fn kill(&self, driver: &Driver, order: &Order, class: Class) -> Driven {
        let lane = self.lane(driver, order);
        let (mut whole, mut has_failed): (Option<Driven>, _) = (None, false);
        for part in driven::parts(order, driver.limit.max_ids_per_call) {
            let until = tokio::time::Instant::now() + driver.limit.max_wait;
            let next = if has_failed { Driven::unsent(&part) } else { lane.kill(part, class, until).await };
            has_failed |= next.problem.is_some();
            whole = Some(match whole {
                None => next,
                Some(before) => before.and(next),
            });
        }
        whole.unwrap_or_else(|| Driven::lost(order))
    }

    /// Where an account's kills of the same budget wait for their turn. Another account that shares the budget has a lane
    /// of its own: its calls go to other places.
    fn lane(&self, driver: &Driver, order: &Order) -> Arc<Lane<Driver>> {
        let budget = Turns::budget(&driver.account, driver.vendor, &driver.vendor.open(order));
        let mut lanes = lock(&self.0.lanes);
        let of_account = (driver.account.name().to_owned(), budget);
        Arc::clone(
            lanes.entry(of_account).or_insert_with_key(|(_, budget)| Lane::start(driver.clone(), budget.clone())),
        )
    }
}

/// What is recorded of a kill whose work was broken off by a fault of the gateway's own.
fn broken_off(kill: &Kill, order: &Order, is_marked: bool) -> Driven {
    tracing::error!(kill_id = %kill.id, is_marked, "the work on a kill was broken off: this is a fault of killgate's");
    if is_marked {
        return look::lost(kill, order);
    }
    let sentence = "the gateway failed before anything was sent; see its log";
    look::not_sent(kill, order, Problem::new(ProblemCode::Internal, sentence))
}

fn apply(kill: &mut Kill, outcome: Driven, now: OffsetDateTime) {
    kill.status = outcome.status;
    kill.sessions = outcome.sessions;
    kill.upstream = outcome.upstream;
    kill.problem = outcome.problem;
    kill.completed_at = outcome.status.is_final().then_some(now);
}

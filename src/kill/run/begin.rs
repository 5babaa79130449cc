//! The beginning of a kill: vetting an attempt and committing it.
//!
//! The invariant: nothing is sent from here, and what comes back is on record.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    audit::{self, Attempt},
    dispatch::{Dispatcher, Expected, rate::limiter::Class, runner::Runner},
    domain::{Blind, Kill, Problem, Session, Status, Target},
    kill::{
        Gate,
        handle::Ticket,
        intake::{
            keyed::Keyed,
            request::Asked,
            submission::{Context, Submission, first_record},
        },
        look::{
            plan::{self, Before, Plan},
            rounds::Coming,
        },
        record,
        times::{SLACK, calls_take, longest},
    },
    spans::Trace,
};

use super::{Job, Run, tell};

/// An attempt that is on record, and what is to be done for it, where there is anything.
pub(in crate::kill) struct Begun {
    pub(super) ticket: Ticket,
    pub(super) work: Option<(Box<Run>, watch::Sender<Arc<Kill>>)>,
}

impl Begun {
    /// There is nothing to be done for it.
    fn answered(ticket: Ticket) -> Self {
        Self { ticket, work: None }
    }
}

/// An attempt that was vetted, as it is to be recorded, and what is to be done for it then.
struct Vetted {
    attempt: Attempt,
    work: Option<(Asked, Prepared)>,
    class: Class,
    literals: bool,
    expected: Option<Expected<Runner>>,
    coming: Option<Coming>,
}

/// Vets an attempt and commits it.
pub(in crate::kill) async fn begin(gate: Arc<Gate>, submission: Box<Submission>) -> Result<Begun, Problem> {
    let (now, trace) = (gate.clock.now(), submission.context.trace.clone());
    let vetting = trace.step("vet");
    let mut submission = gate.policy.vet(submission, &gate.record, now).await?;
    let prepared = match submission.asked.as_ref().ok().map(|asked| prepare(&gate, asked)) {
        Some(Ok(prepared)) => Some(prepared),
        Some(Err(problem)) => {
            submission.asked = Err(problem);
            None
        }
        None => None,
    };
    // What is not done takes up no key; one that stands for a kill gives that kill, though its confirm has run out since.
    if submission.asked.is_err()
        && let Some(key) = submission.context.key.take()
    {
        match gate.record.keyed(&submission.context.caller, &key, now).await? {
            Some(Keyed::Repeated(answer)) => return answer.map(Begun::answered),
            Some(Keyed::Reused(problem)) => submission.asked = Err(problem),
            None => {}
        }
    }
    drop(vetting);
    // A crowd waits for the record: from here on nothing is held but what is recorded and what is done then.
    let vetted = Box::new(vetted(&gate, *submission, prepared));
    let begun = record::step(&trace, "recorded").around(gate.record.begin(&vetted.attempt)).await;
    let now = vetted.attempt.kill.requested_at;
    if let Err(unheard) = &begun
        && vetted.attempt.is_marked
        && unheard.may_be_committed
        && let Ok(seat) = gate.record.doubts.take(&vetted.attempt.kill.caller)
    {
        let (gate, kill, under_way) = (Arc::clone(&gate), vetted.attempt.kill.clone(), gate.in_flight.enter());
        tokio::spawn(async move {
            gate.record.take_back(kill, now).await;
            drop((seat, under_way));
        });
    }
    match begun.map_err(|unheard| unheard.problem)? {
        audit::Begun::New => {
            gate.tracer.keep(vetted.attempt.kill.id, &trace);
            Ok(begun_anew(gate, *vetted, trace))
        }
        audit::Begun::Existing { kill, same_request } => match Keyed::of(*kill, same_request) {
            Keyed::Repeated(answer) => answer.map(Begun::answered),
            Keyed::Reused(problem) => {
                let attempt = not_done(vetted.attempt, problem, now);
                gate.record.begin(&attempt).await.map_err(|unheard| unheard.problem)?;
                tell(&gate, &attempt.kill, Duration::ZERO);
                let (_, ticket) = Ticket::new(Arc::new(attempt.kill));
                Ok(Begun::answered(ticket))
            }
        },
    }
}

/// What is to be recorded of an attempt, and what is held for it meanwhile.
fn vetted(gate: &Gate, mut submission: Submission, prepared: Option<Prepared>) -> Vetted {
    let looks = submission.asked.as_ref().ok().zip(prepared.as_ref()).filter(|(_, prepared)| prepared.plan.is_some());
    let coming = looks.map(|(asked, _)| gate.looks.rounds.comes(&asked.order.place()));
    let now = gate.clock.now();
    let mut kill = first_record(&mut submission, now);
    kill.blind = prepared.as_ref().and_then(|prepared| prepared.blind);
    let dry_run = submission.asked.as_ref().is_ok_and(|asked| asked.dry_run);
    // A preview is nobody's news.
    let webhooks = if dry_run { vec![] } else { gate.record.concerned(&submission.context, &kill) };
    let Submission { context, request, asked } = submission;
    let Context { key, client_address, client_id, token_id, request_id, urgent, literals, .. } = context;
    let patience = prepared.as_ref().map(|prepared| prepared.patience(dry_run, &kill.sessions));
    // With a key it can be asked for again: where the record was too slow, it is to be seen that nothing was sent.
    let may_go = key.is_none() && !dry_run;
    let class = if urgent { Class::Urgent } else { Class::Kill };
    let work = asked.ok().zip(prepared);
    let goes_through = work.as_ref().filter(|_| may_go).and_then(|(asked, prepared)| prepared.free_way(gate, asked));
    // Its permit is taken while it is being recorded.
    let expected = goes_through.as_ref().and_then(|(dispatcher, target)| dispatcher.expect(target, class));
    let is_marked = goes_through.is_some();
    let attempt = Attempt {
        request: request.map(|request| request.to_string()),
        client_address,
        client_id,
        token_id,
        request_id,
        dry_run,
        key,
        gateway: gate.record.gateway.clone(),
        deadline: now + patience.unwrap_or_default() + SLACK,
        webhooks,
        is_marked,
        kill,
    };
    Vetted { attempt, work, class, literals, expected, coming }
}

/// What is to be done for an attempt that is on record.
fn begun_anew(gate: Arc<Gate>, vetted: Vetted, trace: Trace) -> Begun {
    let Vetted { attempt: Attempt { kill, deadline, is_marked, .. }, work, class, literals, expected, coming } = vetted;
    let (updates, ticket) = Ticket::new(Arc::new(kill.clone()));
    let Some((asked, Prepared { runner, plan, .. })) = work else {
        tell(&gate, &kill, Duration::ZERO);
        return Begun::answered(ticket);
    };
    let marked = is_marked.then_some((kill.requested_at, deadline));
    let run =
        Run { marked, expected, coming, ..Run::new(Job { gate, runner, asked, plan, class, literals, trace }, kill) };
    Begun { ticket, work: Some((Box::new(run), updates)) }
}

/// How a kill that may go will go.
struct Prepared {
    runner: Runner,
    /// The look that has to come first.
    plan: Option<Plan>,
    /// Why there is none; a preview ends nothing, and needs no reason.
    blind: Option<Blind>,
}

/// # Errors
/// Why it cannot go.
fn prepare(gate: &Gate, asked: &Asked) -> Result<Prepared, Problem> {
    let runner = gate.upstreams.runner(&asked.order.target)?;
    if asked.dry_run {
        return Ok(Prepared { runner, plan: None, blind: None });
    }
    match plan::before(&gate.policy, &runner, asked)? {
        Before::Look(plan) => Ok(Prepared { runner, plan: Some(plan), blind: None }),
        Before::Nothing(why) => Ok(Prepared { runner, plan: None, blind: Some(why) }),
    }
}

impl Prepared {
    /// How long it may take, as far as is known before a look: how many calls there will be is told anew after it. A
    /// preview is a look or two.
    fn patience(&self, dry_run: bool, sessions: &[Session]) -> Duration {
        let limit = self.runner.limit;
        match &self.plan {
            _ if dry_run => calls_take(limit, 1, false) * 2,
            Some(_) => calls_take(limit, 1, false),
            None => longest(limit, sessions.iter().map(|session| session.id.as_str()), false),
        }
    }

    /// Where a kill goes through and to which target, if nothing stands between the record and the call: no look, no cap,
    /// and nobody who waits there. Then the mark that it may leave goes with what is recorded first.
    fn free_way<'a>(&self, gate: &Gate, asked: &'a Asked) -> Option<(Arc<Dispatcher<Runner>>, &'a Target)> {
        let target = &asked.order.target;
        if self.plan.is_some() || gate.policy.caps.limit_targets() {
            return None;
        }
        let dispatcher = gate.upstreams.dispatcher(&self.runner, target);
        dispatcher.is_free(target).then_some((dispatcher, target))
    }
}

/// An attempt whose key stands for another request: on record without the key.
fn not_done(mut attempt: Attempt, problem: Problem, now: OffsetDateTime) -> Attempt {
    attempt.key = None;
    attempt.kill.status = Status::Failed;
    attempt.kill.sessions.clear();
    attempt.kill.problem = Some(problem);
    attempt.kill.completed_at = Some(now);
    attempt
}

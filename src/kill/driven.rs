//! What is known of an order after its script was run, or why it was not.

use std::{collections::HashMap, time::Duration};

use crate::{
    domain::{Order, Outcome, Problem, ProblemCode, Selector, Session, Status, Upstream},
    vendor::{Answer, Fault, FaultKind},
};

/// How long whom a vendor throttles is asked to wait, where the vendor does not say.
pub(super) const AFTER_THROTTLING: Duration = Duration::from_secs(2);

/// Why a script did not come to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The vendor's answer, or the lack of one.
    Fault(Fault),
    /// No turn within the time; the next one is that far away. Nothing was sent.
    NoTurn(Duration),
    /// The shared window cannot be reached. Nothing was sent.
    NoRecord,
    /// The endpoint is failing and is left alone for that long. Nothing was sent.
    Down(Duration),
    /// The script wanted to wait beyond the time: nothing new is known.
    StillRunning,
}

/// What is known of an order after its script was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Driven {
    pub(super) status: Status,
    pub(super) sessions: Vec<Session>,
    pub(super) upstream: Upstream,
    pub(super) problem: Option<Problem>,
}

impl Driven {
    pub(super) fn answered(answer: Answer, http_status: Option<u16>) -> Self {
        let Answer { status, sessions, task_id, request_id, evidence_url } = answer;
        let upstream = Upstream { http_status, request_id, task_id, evidence_url, ..Upstream::default() };
        Self { status, sessions, upstream, problem: None }
    }

    fn failed(order: &Order, fault: &Fault) -> Self {
        let kind = fault.kind;
        let detail = fault.code.as_ref().map(|code| format!("the vendor answered {code}"));
        let outcome = |id| {
            let session = Session::new(id, kind.outcome());
            if let Some(detail) = &detail { session.because(detail.clone()) } else { session }
        };
        let mut problem = Problem::new(kind.problem(), kind.sentence());
        if kind.status() == Status::RateLimited {
            let pause = fault.retry_after.unwrap_or(AFTER_THROTTLING);
            problem = problem.retry_after(seconds(pause));
        }
        let upstream = Upstream {
            http_status: fault.http_status,
            request_id: fault.request_id.clone(),
            task_id: None,
            evidence_url: None,
            error_code: fault.code.clone(),
            error_message: fault.message.clone(),
        };
        let sessions = order.selector.ids().iter().map(outcome).collect();
        Self { status: kind.status(), sessions, upstream, problem: Some(problem) }
    }

    /// Too many kills wait already.
    pub(super) fn overloaded(order: &Order) -> Self {
        let sentence = "too many kills are waiting for this vendor account; nothing was killed";
        let problem = Problem::new(ProblemCode::Overloaded, sentence).retry_after(1);
        Self { status: Status::RateLimited, ..Self::not_sent(order, problem) }
    }

    /// Nothing was sent, for a reason of the gateway's own.
    pub(super) fn not_sent(order: &Order, problem: Problem) -> Self {
        let failed = |id| Session::new(id, Outcome::Failed).because("not sent");
        let sessions = order.selector.ids().iter().map(failed).collect();
        let status = match problem.code {
            ProblemCode::RateLimited | ProblemCode::UpstreamThrottled => Status::RateLimited,
            _ => Status::Failed,
        };
        Self { status, sessions, upstream: Upstream::default(), problem: Some(problem) }
    }

    /// Why a script did not come to its end, as it is recorded.
    pub(super) fn stopped(order: &Order, stop: &Stop) -> Self {
        let unsent = |code, sentence: &str| Self::not_sent(order, Problem::new(code, sentence));
        match stop {
            Stop::Fault(fault) => Self::failed(order, fault),
            Stop::NoTurn(wait) => Self::no_turn(order, *wait),
            Stop::NoRecord => unsent(
                ProblemCode::AuditUnavailable,
                "the limit that all gateways share cannot be reached, so nothing was sent",
            ),
            Stop::Down(rest) => {
                let sentence = "the vendor's endpoint is failing and is left alone for a while; nothing was sent";
                let problem = Problem::new(ProblemCode::UpstreamFailed, sentence).retry_after(seconds(*rest));
                Self::not_sent(order, problem)
            }
            Stop::StillRunning => Self::lost(order),
        }
    }

    /// Nobody knows how far it got.
    pub(super) fn lost(order: &Order) -> Self {
        Self::failed(order, &Fault::new(FaultKind::Lost, "kill"))
    }

    /// What this says of the sessions of one of the kills that shared the call.
    pub(super) fn for_order(&self, order: &Order) -> Self {
        let ids = order.selector.ids();
        if ids.is_empty() {
            return self.clone();
        }
        let outcomes: HashMap<&str, &Session> = self.sessions.iter().map(|s| (s.id.as_str(), s)).collect();
        let sessions: Vec<_> = ids.iter().filter_map(|id| outcomes.get(id.as_str()).copied().cloned()).collect();
        Self { status: Status::of(&sessions), sessions, ..self.clone() }
    }

    fn no_turn(order: &Order, wait: Duration) -> Self {
        let sentence = "too many calls are waiting for this vendor account; nothing was killed";
        let problem = Problem::new(ProblemCode::RateLimited, sentence).retry_after(seconds(wait));
        Self { status: Status::RateLimited, ..Self::not_sent(order, problem) }
    }

    /// What is said of sessions after a call of the same kill that failed.
    pub(super) fn unsent(order: &Order) -> Self {
        Self { problem: None, ..Self::not_sent(order, Problem::new(ProblemCode::Internal, "")) }
    }

    /// This, and then what a later call of the same kill brought.
    pub(super) fn and(mut self, later: Self) -> Self {
        self.sessions.extend(later.sessions);
        self.status = Status::of(&self.sessions);
        if later.upstream != Upstream::default() {
            let tasks = [self.upstream.task_id.take(), later.upstream.task_id.clone()];
            let tasks: Vec<String> = tasks.into_iter().flatten().collect();
            let task_id = (!tasks.is_empty()).then(|| tasks.join(","));
            self.upstream = Upstream { task_id, ..later.upstream };
        }
        self.problem =
            later.problem.or(self.problem).filter(|_| matches!(self.status, Status::Unknown | Status::Failed));
        self
    }
}

/// The order in parts of at most `most` ids.
pub(super) fn parts(order: &Order, most: usize) -> Vec<Order> {
    match &order.selector {
        Selector::Ids(ids) => {
            let part = |ids: &[_]| Order { target: order.target.clone(), selector: Selector::Ids(ids.to_vec()) };
            ids.chunks(most.max(1)).map(part).collect()
        }
        Selector::Match(_) | Selector::Intelligent => vec![order.clone()],
    }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

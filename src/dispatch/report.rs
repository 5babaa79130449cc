//! What is known of an order after its script was run, or why it was not.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    dispatch::breaker::Rest,
    domain::{Order, Outcome, Problem, ProblemCode, Sent, Session, SessionId, Status, Upstream},
    upstream::{Answer, Fault, FaultKind},
};

/// How long whom a vendor throttles is asked to wait, where the vendor does not say.
pub(crate) const AFTER_THROTTLING: Duration = Duration::from_secs(2);

/// Why a script did not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The vendor's answer, or the lack of one.
    Fault(Fault),
    /// A call that was only to read, before the one that acts, failed or was lost. Nothing was done.
    Unprepared(Fault),
    /// The vendor did not take the token, and there is a new one. Nothing was done.
    Renewed(Fault),
    /// No permit within the time; the next one is that far away. Nothing was sent.
    NoPermit(Duration),
    /// The shared window cannot be reached. Nothing was sent.
    NoRecord,
    /// What is failing is left alone for a while. Nothing was sent.
    Down(Rest),
    /// The script wanted to wait beyond the time: nothing new is known.
    StillRunning,
}

/// What is known of an order after its script was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) status: Status,
    pub(crate) sessions: Vec<Session>,
    pub(crate) upstream: Upstream,
    pub(crate) problem: Option<Problem>,
    /// The calls that left, oldest first.
    pub(crate) calls: Vec<Sent>,
}

impl Report {
    pub(crate) fn answered(answer: Answer, http_status: Option<u16>) -> Self {
        let Answer { status, sessions, task_id, request_id, evidence_url } = answer;
        let upstream = Upstream { http_status, request_id, task_id, evidence_url, ..Upstream::default() };
        Self { status, sessions, upstream, problem: None, calls: vec![] }
    }

    /// Where nobody was asked, since no session was left to send.
    pub(crate) fn nothing() -> Self {
        let status = Status::of(&[]);
        Self { status, sessions: vec![], upstream: Upstream::default(), problem: None, calls: vec![] }
    }

    /// The same, of a call of that order that left then.
    pub(crate) fn sent(mut self, order: &Order, at: OffsetDateTime) -> Self {
        let refused = self.problem.is_some() && self.status != Status::Unknown;
        let is_answer = self.problem.is_none();
        let answered = is_answer || self.upstream.http_status.is_some() || self.upstream.error_code.is_some();
        // Of an answer to a part of them the rest was lost on its way, or was not sent.
        let lost = self.sessions.iter().filter(|session| is_answer && session.outcome == Outcome::Unknown);
        let lost: HashSet<&str> = lost.map(|session| session.id.as_str()).collect();
        let ids = order.selector.ids().iter().map(|id| id.0.clone());
        let (lost, told): (Vec<_>, Vec<_>) = ids.partition(|id| lost.contains(id.as_str()));
        let call = |ids, answered| Sent { at, ids, task_id: self.upstream.task_id.clone(), answered, refused };
        let mut calls = vec![];
        let told_any = !told.is_empty();
        if told_any || lost.is_empty() {
            calls.push(call(told, answered));
        }
        if !lost.is_empty() {
            calls.push(call(lost, false));
        }
        self.calls = calls;
        if is_answer && self.status == Status::Unknown {
            let kind = FaultKind::Lost;
            self.problem = Some(Problem::new(kind.problem(), if told_any { IN_PART } else { kind.sentence() }));
        }
        self
    }

    pub(crate) fn failed(order: &Order, fault: &Fault) -> Self {
        let kind = fault.kind;
        let detail = fault.code.as_ref().map(|code| format!("the vendor answered {code}"));
        let outcome = |id| {
            let session = Session::new(id, kind.outcome());
            if let Some(detail) = &detail { session.because(detail.clone()) } else { session }
        };
        // Where the vendor said something, it is in the record beside this.
        let sentence = if fault.on_the_way { fault.told(kind.sentence()) } else { kind.sentence().to_owned() };
        let mut problem = Problem::new(kind.problem(), sentence);
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
        Self { status: kind.status(), sessions, upstream, problem: Some(problem), calls: vec![] }
    }

    /// Too many kills wait already.
    pub(crate) fn overloaded(order: &Order) -> Self {
        let sentence = "too many kills are waiting for this vendor account; nothing was killed";
        let problem = Problem::new(ProblemCode::Overloaded, sentence).retry_after(1);
        Self { status: Status::RateLimited, ..Self::not_sent(order, problem) }
    }

    /// Nothing was sent, for a reason of the gateway's own.
    pub(crate) fn not_sent(order: &Order, problem: Problem) -> Self {
        let failed = |id| Session::new(id, Outcome::Failed).because("not sent");
        let sessions = order.selector.ids().iter().map(failed).collect();
        let status = match problem.code {
            ProblemCode::RateLimited | ProblemCode::UpstreamThrottled => Status::RateLimited,
            _ => Status::Failed,
        };
        Self { status, sessions, upstream: Upstream::default(), problem: Some(problem), calls: vec![] }
    }

    /// Why a script did not come to its end, as it is recorded.
    pub(crate) fn stopped(order: &Order, stop: &Stop) -> Self {
        let unsent = |code, sentence: &str| Self::not_sent(order, Problem::new(code, sentence));
        match stop {
            Stop::Fault(fault) | Stop::Renewed(fault) => Self::failed(order, fault),
            Stop::Unprepared(fault) => Self::unprepared(order, fault),
            Stop::NoPermit(wait) => Self::no_permit(order, *wait),
            Stop::NoRecord => unsent(
                ProblemCode::AuditUnavailable,
                "the limit that all gateways share cannot be reached, so nothing was sent",
            ),
            Stop::Down(rest) => {
                let sentence = format!("{}; nothing was sent", rest.clause());
                let problem = Problem::new(ProblemCode::UpstreamFailed, sentence).retry_after(seconds(rest.time()));
                Self::not_sent(order, problem)
            }
            Stop::StillRunning => Self::lost(order),
        }
    }

    /// Nobody knows how far it got.
    pub(crate) fn lost(order: &Order) -> Self {
        Self::failed(order, &Fault::new(FaultKind::Lost, "kill"))
    }

    /// What this says of the sessions of one of the kills that were in the call.
    pub(crate) fn for_order(&self, order: &Order, is_shared: bool) -> Self {
        let mut own = self.clone();
        if let Some(problem) = own.problem.as_mut().filter(|it| is_shared && it.code == ProblemCode::UpstreamRejected) {
            problem.detail = format!("{REFUSED_TOGETHER}; nothing was killed");
        }
        let ids = order.selector.ids();
        if ids.is_empty() {
            return own;
        }
        let outcomes: HashMap<&str, &Session> = self.sessions.iter().map(|s| (s.id.as_str(), s)).collect();
        own.sessions = ids.iter().filter_map(|id| outcomes.get(id.as_str()).copied().cloned()).collect();
        own.status = Status::of(&own.sessions);
        if own.status != Status::Unknown {
            own.problem.take_if(|problem| problem.code == ProblemCode::OutcomeUnknown);
        }
        for call in &mut own.calls {
            call.ids.retain(|id| ids.iter().any(|own| own.0 == *id));
        }
        own.calls.retain(|call| !call.ids.is_empty());
        own
    }

    /// The same with its sessions in the order of these.
    pub(crate) fn in_order_of(mut self, ids: &[SessionId]) -> Self {
        let places: HashMap<&str, usize> = ids.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
        self.sessions.sort_by_key(|session| places.get(session.id.as_str()).copied());
        self
    }

    /// The same of the sessions of that place, among those of others.
    pub(crate) fn at(mut self, place: Option<&str>) -> Self {
        let ids = self.calls.iter_mut().flat_map(|call| &mut call.ids);
        for id in self.sessions.iter_mut().map(|session| &mut session.id).chain(ids) {
            *id = SessionId::at(place, id).0;
        }
        self
    }

    /// What was to be known before the call that acts could not be learned.
    fn unprepared(order: &Order, fault: &Fault) -> Self {
        let sentence = format!("{}; nothing was killed", fault.kind.sentence_of_list());
        let problem = Problem::new(fault.kind.problem_of_list(), sentence);
        let failed = Self::failed(order, &Fault { kind: FaultKind::Refused, ..fault.clone() });
        Self { problem: Some(problem), ..failed }
    }

    fn no_permit(order: &Order, wait: Duration) -> Self {
        let sentence = "too many calls are waiting for this vendor account; nothing was killed";
        let problem = Problem::new(ProblemCode::RateLimited, sentence).retry_after(seconds(wait));
        Self { status: Status::RateLimited, ..Self::not_sent(order, problem) }
    }

    /// What is said of sessions after a call of the same kill that failed.
    pub(crate) fn unsent(order: &Order) -> Self {
        Self { problem: None, ..Self::not_sent(order, Problem::new(ProblemCode::Internal, "")) }
    }

    /// This, and then what a later call of the same kill brought.
    ///
    /// As long as surely nothing was done, the problem is that of the whole. From then on the whole is what its sessions
    /// add up to, and what kept the rest from being done is said of the rest alone.
    pub(crate) fn and(mut self, mut later: Self) -> Self {
        let nothing_done = !self.may_have_acted() && !later.may_have_acted();
        if !nothing_done {
            later.blame_sessions();
            if !self.may_have_acted() {
                self.blame_sessions();
            }
        }
        self.sessions.extend(later.sessions);
        self.calls.extend(later.calls);
        if later.upstream != Upstream::default() {
            let tasks = [self.upstream.task_id.take(), later.upstream.task_id.clone()];
            let tasks: Vec<String> = tasks.into_iter().flatten().collect();
            let task_id = (!tasks.is_empty()).then(|| tasks.join(","));
            self.upstream = Upstream { task_id, ..later.upstream };
        }
        if nothing_done {
            self.status = if self.problem.is_some() { self.status } else { later.status };
            self.problem = self.problem.or(later.problem);
        } else {
            self.status = Status::of(&self.sessions);
            self.problem = (self.status == Status::Unknown).then(|| Problem::new(ProblemCode::OutcomeUnknown, IN_PART));
        }
        self
    }

    /// Whether a call of it may have ended sessions.
    fn may_have_acted(&self) -> bool {
        self.status == Status::Unknown || self.calls.iter().any(|call| !call.refused)
    }

    /// Says of each session why it was not ended, instead of all together.
    fn blame_sessions(&mut self) {
        let Some(problem) = self.problem.take() else { return };
        let what = if self.upstream == Upstream::default() { "not sent" } else { "refused" };
        for session in self.sessions.iter_mut().filter(|session| session.outcome == Outcome::Failed) {
            session.detail = Some(format!("{what}: {}", problem.code.as_str()).into());
        }
    }
}

const REFUSED_TOGETHER: &str = "shared a call with other kills, one of whose ids was refused: ask again";
const IN_PART: &str = "what became of some of the sessions is not known, since the answer to a call was lost, and it is \
                       not repeated";

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::{Selector, Target, VendorName};

    fn order(ids: &[&str]) -> Order {
        let (vendor, account, coordinates) = (VendorName("gaussdb"), "huawei".to_owned(), [].into());
        let ids = ids.iter().map(|id| SessionId((*id).to_owned())).collect();
        Order::new(Target { alias: None, vendor, account, coordinates }, Selector::Ids(ids))
    }

    /// A call of that id that left and was answered so.
    fn told(id: &str, outcome: Outcome) -> Report {
        let order = order(&[id]);
        let sessions = order.selector.ids().iter().map(|id| Session::new(id, outcome)).collect();
        Report::answered(Answer::each(sessions), Some(200)).sent(&order, datetime!(2026-01-02 12:00 UTC))
    }

    fn outcome(report: &Report) -> (Status, Option<ProblemCode>) {
        (report.status, report.problem.as_ref().map(|problem| problem.code))
    }

    #[test]
    fn after_a_part_that_was_sent_nothing_says_that_nothing_was() {
        let stops = || {
            [
                Report::overloaded(&order(&["2"])),
                Report::stopped(&order(&["2"]), &Stop::NoRecord),
                Report::stopped(&order(&["2"]), &Stop::NoPermit(Duration::from_secs(2))),
                Report::failed(&order(&["2"]), &Fault::new(FaultKind::Throttled, "kill")),
                Report::failed(&order(&["2"]), &Fault::new(FaultKind::Rejected, "kill")),
            ]
        };
        for stop in stops() {
            let code = stop.problem.as_ref().map(|problem| problem.code.as_str()).unwrap_or_default().to_owned();
            let failed = told("1", Outcome::Failed).and(stop.clone());
            assert_eq!(outcome(&failed), (Status::Failed, None), "it may be dead: {code}");
            assert!(failed.sessions[1].detail.as_deref().is_some_and(|detail| detail.ends_with(&code)));
            assert_eq!(outcome(&told("1", Outcome::Killed).and(stop.clone())), (Status::Partial, None));
            let unknown = outcome(&told("1", Outcome::Unknown).and(stop));
            assert_eq!(unknown, (Status::Unknown, Some(ProblemCode::OutcomeUnknown)));
        }
        for stop in stops() {
            let (alone, whole) = (outcome(&stop), stop.and(Report::unsent(&order(&["3"]))));
            assert_eq!(outcome(&whole), alone, "nothing was done at all");
        }
    }

    #[test]
    fn what_is_refused_before_a_part_that_was_sent_is_said_of_its_sessions_alone() {
        let refused = |id: &str| {
            let order = order(&[id]);
            let fault = Fault { code: Some("ShardNotExist".into()), ..Fault::new(FaultKind::TargetNotFound, "kill") };
            Report::failed(&order, &fault).sent(&order, datetime!(2026-01-02 12:00 UTC))
        };
        let whole = refused("a/1").and(told("b/1", Outcome::Killed)).and(refused("c/1"));
        assert_eq!(outcome(&whole), (Status::Partial, None));
        let details: Vec<_> = whole.sessions.iter().map(|session| session.detail.as_deref()).collect();
        assert_eq!(details, [Some("refused: target_not_found"), None, Some("refused: target_not_found")]);
    }

    #[test]
    fn each_kill_of_a_shared_call_that_was_refused_is_told_so() {
        let both = order(&["1", "2"]);
        let refused = Report::failed(&both, &Fault::new(FaultKind::Rejected, "kill"));
        let refused = refused.sent(&both, datetime!(2026-01-02 12:00 UTC));
        let own = refused.for_order(&order(&["2"]), true);
        assert_eq!(own.problem.unwrap().detail, format!("{REFUSED_TOGETHER}; nothing was killed"));
        assert_eq!((own.sessions.len(), &own.calls[0].ids), (1, &vec!["2".to_owned()]));
        assert_eq!(refused.for_order(&both, false).problem, refused.problem);
    }
}

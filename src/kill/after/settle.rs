//! What an open kill learns from the looks after it, and when it is looked at.
//!
//! The invariant: a session is called gone only where a list that held all sessions does not show it, or shows another
//! one under its id; and where the answer was lost, no list counts that was read while the kill could still be under
//! way. What a list was cut off before stays open.

use std::{collections::HashMap, time::Duration};

use time::OffsetDateTime;

use crate::{
    dispatch::runner::Runner,
    domain::{self, Kill, LiveSession, Outcome, Problem, ProblemCode, Sent, Session, Status},
    kill::times::longest,
    upstream::{Answer, Capabilities, List, ListFilter, NOT_REPORTED},
};

pub(in crate::kill) const LOOKED_AFTER: Duration = domain::LOOKED_AFTER.unsigned_abs();

const GONE: &str = "seen gone";
const NOT_THERE: &str = "not there when it was looked for afterwards; whether this kill ended it cannot be told";
const OTHER: &str = "its id is another session's by now";
const STAYED: &str = "still there when it was last looked for";
const IN_VAIN: &str = "not reported as killed, and still there afterwards";

/// Whether what became of the session may still be learned.
pub(in crate::kill) fn is_open(session: &Session) -> bool {
    Status::of(std::slice::from_ref(session)).is_open()
}

/// What a list has to be asked for that shows every session of the kill that is still open; `None` where there is no
/// such session or no such list.
pub(in crate::kill) fn wanted(able: &Capabilities, kill: &Kill) -> Option<Vec<ListFilter>> {
    lists_of(able, kill.sessions.iter().filter(|session| is_open(session)))
}

/// The same for those that the vendor's answer left out.
pub(in crate::kill) fn of_left_out(able: &Capabilities, sessions: &[Session]) -> Option<Vec<ListFilter>> {
    lists_of(able, left_out(sessions))
}

/// Those that it left out.
pub(in crate::kill) fn left_out(sessions: &[Session]) -> impl Iterator<Item = &Session> {
    sessions.iter().filter(|session| is_left_out(session))
}

fn lists_of<'s>(able: &Capabilities, sessions: impl Iterator<Item = &'s Session>) -> Option<Vec<ListFilter>> {
    let mut sessions = sessions.peekable();
    sessions.peek()?;
    able.listing?.of_users(sessions.map(|session| session.identity.as_ref()?.user.as_ref()))
}

/// Whether the vendor answered and did not say what became of the session, which its list had shown before: one that it does
/// not list could not be told from one that is gone.
fn is_left_out(session: &Session) -> bool {
    let is_unsaid = session.detail.as_deref() == Some(NOT_REPORTED);
    session.outcome == Outcome::Failed && is_unsaid && session.identity.is_some()
}

/// When to look for the first time after the vendor's answer, or the lack of one; `None` where nobody can.
///
/// What was sent and not answered may still be on its way, but no longer than a call may take.
pub(in crate::kill) fn first_look(runner: &Runner, kill: &Kill, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let has_task = runner.able.can_follow_up && kill.upstream.task_id.is_some();
    let can_look = has_task || wanted(runner.able, kill).is_some();
    match kill.status {
        Status::Accepted => can_look.then_some(now),
        Status::Unknown => can_look.then(|| now + runner.limit.timeout),
        Status::Pending
        | Status::Succeeded
        | Status::Partial
        | Status::Failed
        | Status::Refused
        | Status::RateLimited
        | Status::Preview => None,
    }
}

/// When to look at a kill whose gateway died after it was marked as sent: once the last of its calls must have ended.
pub(in crate::kill) fn look_after_loss(
    runner: &Runner,
    kill: &Kill,
    sent_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Option<OffsetDateTime> {
    wanted(runner.able, kill)?;
    let ids = kill.sessions.iter().map(|session| session.id.as_str());
    Some(now.max(sent_at + longest(runner.limit, ids, kill.look.is_some())))
}

/// Until when a kill whose gateway died stays open where nobody can look: that gateway may only have been cut off from the
/// record, and still knows what became of it. `None` where it is settled.
pub(in crate::kill) fn last_word(kill: &Kill, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let end = (kill.requested_at + LOOKED_AFTER).max(now + Duration::from_mins(1));
    kill.status.is_open().then_some(end)
}

/// When to look again: soon at first, then ever more rarely, and at last no more.
pub(in crate::kill) fn next_look(kill: &Kill, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let pause = (age(kill, now) / 4).clamp(Duration::from_secs(1), Duration::from_mins(1));
    (kill.status.is_open() && !is_time_up(kill, now)).then(|| now + pause)
}

/// How long ago a kill was asked for.
pub(in crate::kill) fn age(kill: &Kill, now: OffsetDateTime) -> Duration {
    Duration::try_from(now - kill.requested_at).unwrap_or_default()
}

fn is_time_up(kill: &Kill, now: OffsetDateTime) -> bool {
    age(kill, now) >= LOOKED_AFTER
}

/// A kill whose gateway died: if bytes may have left, nobody can tell yet what came of them; if surely none left,
/// nothing was killed. What the look before the kill has decided stays.
pub(in crate::kill) fn abandon(kill: &mut Kill, sent: bool, now: OffsetDateTime) {
    let problem = if sent {
        let sentence = "the gateway that worked on this kill went away; whether sessions were killed is not known";
        Problem::new(ProblemCode::OutcomeUnknown, sentence)
    } else {
        let sentence = "the gateway that had this kill went away before anything was sent";
        Problem::new(ProblemCode::AuditUnavailable, sentence)
    };
    leave(kill, sent, problem, now);
}

/// The same of a kill whose work broke off here, for a fault of this gateway's own.
pub(in crate::kill) fn broken_off(kill: &mut Kill, sent: bool, now: OffsetDateTime) {
    let problem = if sent {
        let sentence = "the gateway failed while it worked on this kill; whether sessions were killed is not known";
        Problem::new(ProblemCode::OutcomeUnknown, sentence)
    } else {
        Problem::new(ProblemCode::Internal, "the gateway failed before anything was sent; see its log")
    };
    leave(kill, sent, problem, now);
}

/// A kill of which nothing was sent, since its record was not heard to be written.
pub(in crate::kill) fn never_sent(kill: &mut Kill, now: OffsetDateTime) {
    let sentence = "the kill could not be recorded, so nothing was sent";
    leave(kill, false, Problem::new(ProblemCode::AuditUnavailable, sentence), now);
}

fn leave(kill: &mut Kill, sent: bool, problem: Problem, now: OffsetDateTime) {
    let (status, outcome) = if sent { (Status::Unknown, Outcome::Unknown) } else { (Status::Failed, Outcome::Failed) };
    kill.status = status;
    kill.sessions.iter_mut().filter(|session| is_open(session)).for_each(|session| session.outcome = outcome);
    kill.problem = Some(problem);
    kill.completed_at = Some(now);
}

/// Adds what the vendor's own word on a task brought to what was known.
pub(in crate::kill) fn learn(kill: &mut Kill, answer: Answer, now: OffsetDateTime) {
    for session in answer.sessions {
        if let Some(known) = kill.sessions.iter_mut().find(|known| known.id == session.id) {
            *known = Session { identity: known.identity.take(), ..session };
        }
    }
    kill.upstream.evidence_url = answer.evidence_url.or(kill.upstream.evidence_url.take());
    let status = if kill.sessions.is_empty() { answer.status } else { kill.adds_up(&kill.sessions) };
    stand(kill, status, now);
}

/// Adds what a list shows of the sessions that the vendor's answer left out. `calls` are as below; the list was asked for after
/// the answer.
pub(in crate::kill) fn learn_of_left_out(sessions: &mut [Session], calls: &[Sent], list: &List) {
    for session in sessions.iter_mut().filter(|session| is_left_out(session)) {
        let seen = list.sessions.iter().find(|seen| seen.id.as_str() == session.id);
        if let Some(why) = gone(session, seen, list) {
            end(session, calls, why);
        } else if seen.is_some() {
            session.detail = Some(IN_VAIN.into());
        }
    }
}

/// Adds what a list shows, and what it does not show, to what was known. `calls` are all that are known to have left for the
/// kill; `now` is a time after the list was read.
pub(in crate::kill) fn learn_from_list(kill: &mut Kill, calls: &[Sent], list: &List, now: OffsetDateTime) {
    let shown: HashMap<&str, &LiveSession> = list.sessions.iter().map(|seen| (seen.id.as_str(), seen)).collect();
    let is_last = is_time_up(kill, now);
    for session in kill.sessions.iter_mut().filter(|session| is_open(session)) {
        let seen = shown.get(session.id.as_str()).copied();
        if let Some(why) = gone(session, seen, list) {
            end(session, calls, why);
        } else if seen.is_some() && is_last {
            // Of a kill that may never have arrived, nobody can tell that it was in vain.
            if session.outcome == Outcome::Accepted {
                session.outcome = Outcome::Alive;
            }
            session.detail = Some(STAYED.into());
        }
    }
    let status = kill.adds_up(&kill.sessions);
    stand(kill, status, now);
    // What was called gone before, by whom ever, counts where this list bears it out.
    let seen_gone = |session: &Session| gone(session, shown.get(session.id.as_str()).copied(), list).is_some();
    if status == Status::Succeeded && kill.sessions.iter().all(seen_gone) {
        kill.verified_at = Some(now);
    }
}

/// What became of a session that is gone. Somebody else may have ended it, or it itself, unless it was there and a call for it
/// arrived.
fn end(session: &mut Session, calls: &[Sent], why: &'static str) {
    let is_ours = session.identity.is_some() && has_arrived(calls, &session.id);
    let (outcome, why) = if is_ours { (Outcome::Killed, why) } else { (Outcome::Gone, NOT_THERE) };
    (session.outcome, session.detail) = (outcome, Some(why.into()));
}

/// Whether a call for that session surely arrived, and may have done what it was to do.
fn has_arrived(calls: &[Sent], id: &str) -> bool {
    let is_about = |call: &Sent| call.ids.is_empty() || call.ids.iter().any(|of_call| of_call == id);
    calls.iter().any(|call| call.answered && !call.refused && is_about(call))
}

/// Why the session is known to be gone; `None` where it may be there.
fn gone(session: &Session, seen: Option<&LiveSession>, list: &List) -> Option<&'static str> {
    match seen {
        Some(seen) => session.identity.as_ref()?.contradiction(seen).map(|_| OTHER),
        None => list.would_show(&session.id).then_some(GONE),
    }
}

/// Gives the kill the status that follows from what is known now.
fn stand(kill: &mut Kill, status: Status, now: OffsetDateTime) {
    // A kill that stays `unknown` became so when its answer was lost.
    let since = kill.completed_at.filter(|_| kill.status == status);
    kill.status = status;
    kill.problem = (status == Status::Unknown).then(|| {
        let sentence = "the vendor cannot say what became of this kill";
        kill.problem.take().unwrap_or_else(|| Problem::new(ProblemCode::OutcomeUnknown, sentence))
    });
    kill.completed_at = status.is_final().then(|| since.unwrap_or(now));
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::{
        domain::{Identity, SessionId},
        upstream,
    };

    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);

    fn live(id: &str, user: &str) -> LiveSession {
        LiveSession { user: Some(user.to_owned()), ..LiveSession::new(SessionId(id.to_owned())) }
    }

    /// A kill of that session of `report`, as it was seen before.
    fn kill(outcome: Outcome) -> Kill {
        let identity = Some(Identity::of(&live("7", "report")));
        let sessions = vec![Session { identity, ..Session::new(&SessionId("7".into()), outcome) }];
        Kill { status: Status::of(&sessions), select: Some(json!({ "ids": ["7"] })), sessions, ..Kill::sample(NOON) }
    }

    fn call(answered: bool, refused: bool) -> Sent {
        Sent { at: NOON, ids: vec!["7".to_owned()], task_id: None, answered, refused }
    }

    fn learned(outcome: Outcome, list: &List, after: Duration) -> (Status, Outcome) {
        let mut kill = kill(outcome);
        learn_from_list(&mut kill, &[call(true, false)], list, NOON + after);
        (kill.status, kill.sessions[0].outcome)
    }

    #[test]
    fn a_session_that_is_gone_was_killed_only_where_it_was_seen_and_a_call_for_it_arrived() {
        let nobody = List::of_place(vec![], true);
        let learned = |calls: &[Sent], was_seen: bool| {
            let mut kill = kill(Outcome::Unknown);
            kill.sessions[0].identity.take_if(|_| !was_seen);
            learn_from_list(&mut kill, calls, &nobody, NOON);
            assert_eq!(kill.status, Status::Succeeded);
            kill.sessions[0].outcome
        };
        assert_eq!(learned(&[call(true, false)], true), Outcome::Killed);
        assert_eq!(learned(&[call(true, false)], false), Outcome::Gone, "nobody saw it before");
        assert_eq!(learned(&[call(false, false)], true), Outcome::Gone, "the answer was lost");
        assert_eq!(learned(&[call(true, true)], true), Outcome::Gone, "the vendor did nothing");
        assert_eq!(learned(&[], true), Outcome::Gone, "its gateway died, and it may never have left");
        let another = Sent { ids: vec!["8".to_owned()], ..call(true, false) };
        assert_eq!(learned(&[another], true), Outcome::Gone);
    }

    #[test]
    fn only_a_whole_list_or_another_session_under_its_id_says_that_a_session_is_gone() {
        let list = |sessions: &[LiveSession], complete| List::of_place(sessions.to_vec(), complete);
        let soon = Duration::from_secs(1);
        for open in [Outcome::Accepted, Outcome::Unknown] {
            let learned = |list: &List| learned(open, list, soon).1;
            assert_eq!(learned(&list(&[], true)), Outcome::Killed);
            assert_eq!(learned(&list(&[], false)), open, "it may be behind the cut");
            assert_eq!(learned(&list(&[live("7", "report")], true)), open, "it may still be dying");
            assert_eq!(learned(&list(&[live("7", "app")], false)), Outcome::Killed);
        }
        assert_eq!(learned(Outcome::Failed, &list(&[], true), soon), (Status::Failed, Outcome::Failed));
    }

    #[test]
    fn a_place_that_cannot_be_listed_keeps_no_session_of_another_from_being_settled() {
        let mut kill = kill(Outcome::Unknown);
        kill.sessions = ["a/7", "b/7", "c/7"].map(|id| Session::new(&SessionId(id.into()), Outcome::Unknown)).to_vec();
        let places = [("a".to_owned(), None), ("b".to_owned(), Some("it failed".to_owned()))].into();
        learn_from_list(&mut kill, &[], &List { sessions: vec![], complete: false, places }, NOON);
        let outcomes: Vec<_> = kill.sessions.iter().map(|session| session.outcome).collect();
        assert_eq!(outcomes, [Outcome::Gone, Outcome::Unknown, Outcome::Unknown], "nobody listed the third");
        assert_eq!(kill.status, Status::Unknown);
    }

    #[test]
    fn what_the_answer_left_out_is_settled_by_a_list_where_it_was_seen_before() {
        let learned = |identity: bool, list: &List| {
            let mut sessions = kill(Outcome::Failed).sessions;
            sessions[0].detail = Some(NOT_REPORTED.into());
            sessions[0].identity.take_if(|_| !identity);
            learn_of_left_out(&mut sessions, &[call(true, false)], list);
            (sessions[0].outcome, sessions[0].detail.clone().unwrap_or_default())
        };
        let list = |sessions: &[LiveSession], complete| List::of_place(sessions.to_vec(), complete);
        assert_eq!(learned(true, &list(&[], true)), (Outcome::Killed, GONE.into()));
        assert_eq!(learned(true, &list(&[live("7", "app")], false)), (Outcome::Killed, OTHER.into()));
        assert_eq!(learned(true, &list(&[live("7", "report")], true)), (Outcome::Failed, IN_VAIN.into()));
        assert_eq!(
            learned(true, &list(&[], false)),
            (Outcome::Failed, NOT_REPORTED.into()),
            "it may be behind the cut"
        );
        assert_eq!(learned(false, &list(&[], true)), (Outcome::Failed, NOT_REPORTED.into()), "nobody listed it before");
        let mut refused = kill(Outcome::Failed).sessions;
        learn_of_left_out(&mut refused, &[], &list(&[], true));
        assert_eq!(refused[0].outcome, Outcome::Failed, "that the vendor did say");
    }

    #[test]
    fn a_kill_is_verified_once_every_session_of_it_was_seen_gone() {
        let at = NOON + Duration::from_secs(9);
        let verified = |others: Outcome, sessions: &[LiveSession]| {
            let mut kill = kill(Outcome::Unknown);
            kill.sessions.push(Session::new(&SessionId("8".into()), others));
            let list = List::of_place(sessions.to_vec(), true);
            learn_from_list(&mut kill, &[call(true, false)], &list, at);
            kill.verified_at
        };
        assert_eq!(verified(Outcome::Killed, &[]), Some(at));
        assert_eq!(verified(Outcome::Unknown, &[live("7", "app")]), Some(at));
        assert_eq!(verified(Outcome::Killed, &[live("8", "app")]), None, "the vendor said so, and it is there");
        assert_eq!(verified(Outcome::Failed, &[]), None, "not every one was ended");
        assert_eq!(verified(Outcome::Unknown, &[live("7", "report")]), None);
    }

    #[test]
    fn what_was_accepted_and_is_there_when_the_time_is_up_is_alive() {
        let there = List::of_place(vec![live("7", "report")], false);
        let learned = |outcome, after| learned(outcome, &there, after);
        assert_eq!(learned(Outcome::Accepted, LOOKED_AFTER), (Status::Failed, Outcome::Alive));
        assert_eq!(learned(Outcome::Accepted, Duration::from_secs(899)).1, Outcome::Accepted);
        assert_eq!(learned(Outcome::Unknown, LOOKED_AFTER), (Status::Unknown, Outcome::Unknown));
        let hidden = List::of_place(vec![], false);
        assert_eq!(super::tests::learned(Outcome::Accepted, &hidden, LOOKED_AFTER).1, Outcome::Accepted);
    }

    #[test]
    fn a_kill_whose_gateway_died_keeps_what_the_look_before_it_decided() {
        for (sent, open) in [(true, Outcome::Unknown), (false, Outcome::Failed)] {
            let mut kill = kill(Outcome::Unknown);
            kill.sessions.push(Session::new(&SessionId("8".into()), Outcome::Protected));
            abandon(&mut kill, sent, NOON);
            let outcomes: Vec<_> = kill.sessions.iter().map(|session| session.outcome).collect();
            assert_eq!(outcomes, [open, Outcome::Protected]);
        }
    }

    #[test]
    fn a_list_that_wants_a_user_is_had_where_one_is_known_for_all() {
        let able = |name| upstream::find(name).unwrap().capabilities();
        let das = able("das");
        let mut kill = kill(Outcome::Accepted);
        assert_eq!(wanted(das, &kill), Some(vec![ListFilter::of_user("report")]));
        kill.sessions.push(Session::new(&SessionId("8".into()), Outcome::Accepted));
        assert_eq!(wanted(das, &kill), None);
        assert_eq!(wanted(able("gaussdb"), &kill), Some(vec![ListFilter::default()]));
        kill.sessions.iter_mut().for_each(|session| session.outcome = Outcome::Killed);
        assert_eq!(wanted(able("gaussdb"), &kill), None);
    }
}

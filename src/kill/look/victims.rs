//! Which sessions of a kill are really sent: judged by a list that was read right before it.
//!
//! The invariant: no session is sent that is protected, that contradicts what was asked of it, or that a list was
//! needed for and did not show. It sends nothing and reads no clock.

use std::collections::{BTreeMap, HashMap, HashSet};

use time::{Duration, OffsetDateTime};

use crate::{
    domain::{Division, Identity, LiveSession, Outcome, Queues, Selector, Session, SessionId, busiest, split_id},
    upstream::{IdRule, List},
};

const BEYOND: &str = "not sent: beyond what the vendor's kill takes";
const NO_STATEMENT: &str = "it ran no statement when it was looked for";
const UNTOLD_STATEMENT: &str = "not sent: the server does not tell which statement it runs";
const OTHERWISE: &str = "not sent: it does not meet what was asked for any more";

/// What must be true of a session beyond its id, all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pin {
    pub user: Option<String>,
    /// The client's address, with its port or without.
    pub host: Option<String>,
    /// The session began before this time.
    pub started_before: Option<OffsetDateTime>,
    /// Whose session it was when it was looked at earlier.
    pub identity: Option<Identity>,
    /// Whether it must run the statement still that it ran then.
    pub same_statement: bool,
}

impl Pin {
    /// What of the session does not hold; `None` where all does. What is not known does not hold.
    fn broken_by(&self, session: &LiveSession, now: OffsetDateTime) -> Option<&'static str> {
        let user = self.user.as_ref().is_some_and(|user| session.user.as_ref() != Some(user));
        let host = self.host.as_ref().is_some_and(|host| !session.is_at(|seen| seen.eq_ignore_ascii_case(host)));
        // What it does now it did not begin before it began itself.
        let busy_since = || session.seconds.map(|seconds| now - Duration::seconds(i64::try_from(seconds).unwrap_or(0)));
        let started_by = session.started_at.or_else(busy_since);
        let start = self.started_before.is_some_and(|before| started_by.is_none_or(|started| started >= before));
        let other = self.identity.as_ref().and_then(|identity| identity.contradiction(session));
        let ran = self.identity.as_ref().filter(|_| self.same_statement);
        let statement = ran.is_some_and(|identity| !identity.runs_same_statement(session));
        [("user", user), ("host", host), ("start", start), ("statement", statement)]
            .into_iter()
            .find_map(|(what, broken)| broken.then_some(what))
            .or(other)
    }
}

/// What a look has decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::kill) struct Victims {
    /// Those that may be sent.
    pub(in crate::kill) send: Vec<SessionId>,
    /// Every session that the kill is about: those that may be sent as `unknown`, all others with their outcomes.
    pub(in crate::kill) sessions: Vec<Session>,
    /// How many sessions met a `match`, whatever its limit.
    pub(in crate::kill) met: Option<usize>,
}

impl Victims {
    /// The same without those whose ids the vendor's kill does not take, though its list shows them. One such id makes
    /// the vendor refuse a whole call.
    pub(in crate::kill) fn taken_by(self, rule: IdRule) -> Self {
        self.but(|id| rule.parse(split_id(id).1).is_none(), Outcome::Failed, BEYOND)
    }

    /// The same without those of whom no statement is known that could be cancelled.
    pub(in crate::kill) fn with_statement(self, sessions: &[LiveSession]) -> Self {
        let untold: HashMap<&str, bool> = sessions
            .iter()
            .filter(|session| session.statement_id.is_none())
            .map(|session| (session.id.as_str(), session.is_idle()))
            .collect();
        self.but(|id| untold.get(id) == Some(&true), Outcome::NotFound, NO_STATEMENT).but(
            |id| untold.get(id) == Some(&false),
            Outcome::Failed,
            UNTOLD_STATEMENT,
        )
    }

    /// The same without these, which are there and meet the criteria no more.
    pub(in crate::kill) fn without(self, others: &HashSet<&str>) -> Self {
        self.but(|id| others.contains(id), Outcome::Changed, OTHERWISE)
    }

    /// The same without those that could be sent and are kept back.
    fn but(mut self, is_kept: impl Fn(&str) -> bool, outcome: Outcome, why: &'static str) -> Self {
        self.send.retain(|id| !is_kept(&id.0));
        let kept = |session: &&mut Session| session.outcome == Outcome::Unknown && is_kept(&session.id);
        for session in self.sessions.iter_mut().filter(kept) {
            session.outcome = outcome;
            session.detail = Some(why.into());
        }
        self
    }
}

/// What sessions are judged by.
pub(in crate::kill) struct Judge<'a, P> {
    pub(in crate::kill) list: &'a List,
    /// Whether only sessions of the users that were named are on it.
    pub(in crate::kill) by_user: bool,
    /// Whether only sessions are on it that are in a certain database: one that is not may live all the same.
    pub(in crate::kill) is_narrowed: bool,
    pub(in crate::kill) pins: &'a BTreeMap<SessionId, Pin>,
    /// What protects a session, where something does.
    pub(in crate::kill) protection: P,
    /// When the list was asked for.
    pub(in crate::kill) at: OffsetDateTime,
}

impl<P: Fn(&LiveSession) -> Option<String>> Judge<'_, P> {
    /// Judges every session that is asked for.
    pub(in crate::kill) fn judge(&self, selector: &Selector) -> Victims {
        let queues = Queues::of(&self.list.sessions);
        let seen = |session: &LiveSession| self.seen(session, queues.behind(&session.id));
        let mut met = None;
        let sessions: Vec<Session> = match selector {
            Selector::Ids(ids) => {
                let asked: HashSet<&SessionId> = ids.iter().collect();
                let there = self.list.sessions.iter().filter(|session| asked.contains(&session.id));
                let there: HashMap<&SessionId, &LiveSession> = there.map(|session| (&session.id, session)).collect();
                ids.iter().map(|id| there.get(id).map_or_else(|| self.unseen(id), |session| seen(session))).collect()
            }
            Selector::Match(criteria) => {
                let all = criteria.met_by(&self.list.sessions, self.list.complete);
                met = Some(all.len());
                criteria.first_of(all).into_iter().map(seen).collect()
            }
            // Where the database picks, nobody asks here.
            Selector::Intelligent => {
                let may_go = |session: &LiveSession| (self.protection)(session).is_none();
                let chosen = busiest(&self.list.sessions, may_go);
                let chosen: Vec<_> = chosen.map(|(session, why)| seen(session).because(why)).collect();
                met = Some(chosen.len());
                chosen
            }
        };
        let may_go = sessions.iter().filter(|session| session.outcome == Outcome::Unknown);
        Victims { send: may_go.map(|session| SessionId(session.id.clone())).collect(), sessions, met }
    }

    fn seen(&self, session: &LiveSession, blocked: &[&SessionId]) -> Session {
        let identity = || Some(Identity::of(session).blocking(blocked));
        let judged = |outcome| Session { identity: identity(), ..Session::new(&session.id, outcome) };
        let broken = self.pins.get(&session.id).and_then(|pin| pin.broken_by(session, self.at));
        if let Some(what) = broken {
            return judged(Outcome::Changed).because(format!("its {what} is not what was asked for"));
        }
        match (self.protection)(session) {
            Some(why) => judged(Outcome::Protected).because(why),
            None => judged(Outcome::Unknown),
        }
    }

    fn unseen(&self, id: &SessionId) -> Session {
        let identity = self.pins.get(id).and_then(|pin| pin.identity.clone());
        if let Some(why) = self.list.gap_of(&id.0) {
            let place = id.place().map_or("place", |place| Division::of(place).word());
            let why = format!("not sent: its {place} could not be listed whole: {why}");
            return Session { identity, ..Session::new(id, Outcome::Failed) }.because(why);
        }
        let (outcome, why) = if !self.list.would_show(&id.0) {
            (Outcome::Failed, "not sent: the vendor's list was cut off before it")
        } else if self.is_narrowed {
            (Outcome::Changed, "not in the database that was asked for")
        } else if self.by_user && identity.is_none() {
            // Whose it is was only said.
            (Outcome::NotFound, "its user had no such session when it was looked for")
        } else {
            (Outcome::NotFound, "not there when it was looked for")
        };
        Session { identity, ..Session::new(id, outcome) }.because(why)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use crate::domain::{Criteria, Match};

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn id(number: u8) -> SessionId {
        SessionId(number.to_string())
    }

    fn session(number: u8, user: &str) -> LiveSession {
        let host = Some(format!("10.0.0.{number}:4{number:03}"));
        LiveSession { user: Some(user.to_owned()), host, seconds: Some(60), ..LiveSession::new(id(number)) }
    }

    fn judge(list: &List, pins: &BTreeMap<SessionId, Pin>, selector: &Selector) -> Victims {
        let protection = |session: &LiveSession| (session.user.as_deref() == Some("repl")).then(|| "repl".to_owned());
        Judge { list, by_user: false, is_narrowed: false, pins, protection, at: NOW }.judge(selector)
    }

    fn outcome(pin: Pin) -> Outcome {
        let list = List::of_place(vec![session(1, "app")], true);
        judge(&list, &[(id(1), pin)].into(), &Selector::Ids(vec![id(1)])).sessions[0].outcome
    }

    #[test]
    fn a_pin_that_does_not_hold_or_cannot_be_known_to_is_changed() {
        let text = |text: &str| Some(text.to_owned());
        let pin = Pin::default;
        assert_eq!(outcome(Pin { user: text("app"), host: text("10.0.0.1"), ..pin() }), Outcome::Unknown);
        assert_eq!(outcome(Pin { user: text("App"), ..pin() }), Outcome::Changed);
        assert_eq!(outcome(Pin { host: text("10.0.0.1:4002"), ..pin() }), Outcome::Changed);
        let before = |time| outcome(Pin { started_before: Some(time), ..pin() });
        assert_eq!(before(NOW), Outcome::Unknown, "it has been busy for a minute");
        assert_eq!(before(NOW - Duration::seconds(60)), Outcome::Changed, "it may have begun then or later");
        let identity = Some(Identity::of(&session(2, "app")));
        assert_eq!(outcome(Pin { identity, ..pin() }), Outcome::Changed);
    }

    #[test]
    fn one_that_was_seen_before_and_is_not_there_any_more_is_told_as_it_was_seen() {
        let list = List::of_place(vec![], true);
        let identity = Some(Identity::of(&session(1, "app")));
        let pins = [(id(1), Pin { identity: identity.clone(), ..Pin::default() })].into();
        let protection = |_: &LiveSession| None;
        let judge = Judge { list: &list, by_user: true, is_narrowed: false, pins: &pins, protection, at: NOW };
        let sessions = judge.judge(&Selector::Ids(vec![id(1), id(2)])).sessions;
        assert_eq!(sessions[0].detail.as_deref(), Some("not there when it was looked for"));
        assert_eq!((sessions[0].outcome, &sessions[0].identity), (Outcome::NotFound, &identity));
        assert_eq!(sessions[1].detail.as_deref(), Some("its user had no such session when it was looked for"));
    }

    #[test]
    fn what_the_vendors_kill_does_not_take_is_not_sent_and_keeps_no_other_back() {
        let list = List::of_place(vec![session(11, "app"), session(200, "app"), session(12, "repl")], true);
        let selector = Selector::Match(Box::new(Criteria { min_seconds: Some(1), ..Criteria::default() }.into()));
        let victims = judge(&list, &BTreeMap::new(), &selector).taken_by(IdRule::Decimal { max: 100 });
        assert_eq!(victims.send, [id(11)]);
        let outcomes: Vec<_> = victims.sessions.iter().map(|session| session.outcome).collect();
        assert_eq!(outcomes, [Outcome::Unknown, Outcome::Failed, Outcome::Protected]);
        assert_eq!(victims.sessions[1].detail.as_deref(), Some(BEYOND));
    }

    #[test]
    fn what_a_cut_off_list_does_not_show_is_not_sent() {
        let mut list = List::of_place(vec![session(1, "app"), session(2, "repl")], true);
        let selector = Selector::Ids(vec![id(1), id(2), id(3)]);
        let outcomes = |list: &List| -> Vec<Outcome> {
            judge(list, &BTreeMap::new(), &selector).sessions.iter().map(|session| session.outcome).collect()
        };
        assert_eq!(outcomes(&list), [Outcome::Unknown, Outcome::Protected, Outcome::NotFound]);
        list.complete = false;
        assert_eq!(outcomes(&list), [Outcome::Unknown, Outcome::Protected, Outcome::Failed]);
    }

    fn any_session() -> impl Strategy<Value = LiveSession> {
        (0_u8..20, prop::sample::select(vec!["app", "repl", "report"])).prop_map(|(number, user)| session(number, user))
    }

    proptest! {
        #[test]
        fn no_protected_session_and_none_that_was_not_meant_is_ever_sent(
            sessions in prop::collection::vec(any_session(), 0..20),
            complete: bool,
            asked in prop::collection::btree_set(0_u8..20, 1..10),
            pinned in prop::collection::btree_map(0_u8..20, "app|report", 0..5),
            by_user in prop::option::of("app|repl|report"),
        ) {
            let list = List::of_place(sessions, complete);
            let pins: BTreeMap<_, _> = pinned
                .into_iter()
                .map(|(number, user)| (id(number), Pin { user: Some(user), ..Pin::default() }))
                .collect();
            let ids: Vec<_> = asked.into_iter().map(id).collect();
            let selector = by_user.clone().map_or(Selector::Ids(ids.clone()), |user| {
                Selector::Match(Box::new(Match::of_user(&user)))
            });
            let victims = judge(&list, &pins, &selector);
            for sent in &victims.send {
                // Where an id is listed twice, the one that was looked at counts.
                let seen: Vec<_> = list.sessions.iter().filter(|session| session.id == *sent).collect();
                prop_assert!(!seen.is_empty());
                prop_assert!(seen.iter().any(|session| session.user.as_deref() != Some("repl")));
                prop_assert!(by_user.is_some() || ids.contains(sent));
                let pin = pins.get(sent).and_then(|pin| pin.user.as_deref());
                prop_assert!(pin.is_none_or(|pin| seen.iter().any(|session| session.user.as_deref() == Some(pin))));
            }
            let told = victims.sessions.iter().filter(|session| session.outcome == Outcome::Unknown).count();
            prop_assert_eq!(told, victims.send.len());
        }
    }
}

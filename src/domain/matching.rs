//! Criteria that sessions are chosen by.

use std::cmp::Reverse;

use serde::Serialize;

use super::LiveSession;

/// Criteria that a session must meet, all of those given, and how many of those that do are meant.
///
/// What is not known of a session meets no criterion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Match {
    /// The database user the session belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The database the session is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The client's address, with its port or without; upper and lower case are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The kind of work; upper and lower case are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Upper and lower case are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Fewest seconds for which it has been doing what it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_seconds: Option<u64>,
    /// A piece of the statement, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Most sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Which go before others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Ranking>,
}

/// Which of the sessions that meet the criteria go before others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// Most seconds first; those of which that is not known, last.
    Longest,
    /// The latest to begin first; where that is not known, fewest seconds first, and last those without either.
    Newest,
}

impl Ranking {
    pub const ALL: [Self; 2] = [Self::Longest, Self::Newest];

    /// The word in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Longest => "longest",
            Self::Newest => "newest",
        }
    }

    /// Equals stay as the vendor listed them.
    fn sort(self, sessions: &mut [LiveSession]) {
        match self {
            Self::Longest => sessions.sort_by_key(|session| Reverse(session.seconds)),
            Self::Newest => sessions.sort_by_key(|session| {
                let seconds = session.seconds.unwrap_or(u64::MAX);
                (session.started_at.is_none(), Reverse(session.started_at), seconds)
            }),
        }
    }
}

impl Match {
    /// The names of what is given.
    #[must_use]
    pub fn given(&self) -> Vec<&'static str> {
        let Self { user, database, host, command, state, min_seconds, statement, limit, order } = self;
        let given = [
            ("user", user.is_some()),
            ("database", database.is_some()),
            ("host", host.is_some()),
            ("command", command.is_some()),
            ("state", state.is_some()),
            ("min_seconds", min_seconds.is_some()),
            ("statement", statement.is_some()),
            ("limit", limit.is_some()),
            ("order", order.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    /// Whether a session meets every criterion.
    #[must_use]
    pub fn meets(&self, session: &LiveSession) -> bool {
        let meets = |wanted: &Option<String>, held: &Option<String>, is: fn(&str, &str) -> bool| {
            wanted.as_ref().is_none_or(|wanted| held.as_ref().is_some_and(|held| is(held, wanted)))
        };
        let exactly = |held: &str, wanted: &str| held == wanted;
        let any_case = |held: &str, wanted: &str| held.eq_ignore_ascii_case(wanted);
        let at_host = |wanted: &String| session.is_at(|host| host.eq_ignore_ascii_case(wanted));
        meets(&self.user, &session.user, exactly)
            && meets(&self.database, &session.database, exactly)
            && self.host.as_ref().is_none_or(at_host)
            && meets(&self.command, &session.command, any_case)
            && meets(&self.state, &session.state, any_case)
            && self.min_seconds.is_none_or(|least| session.seconds.is_some_and(|seconds| seconds >= least))
            && meets(&self.statement, &session.statement, |held, wanted| held.contains(wanted))
    }

    /// The sessions that are meant: those that meet every criterion, in order, and no more than the limit.
    #[must_use]
    pub fn pick(&self, mut sessions: Vec<LiveSession>) -> Vec<LiveSession> {
        sessions.retain(|session| self.meets(session));
        if let Some(order) = self.order {
            order.sort(&mut sessions);
        }
        sessions.truncate(self.limit.unwrap_or(usize::MAX));
        sessions
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::SessionId;

    fn session(id: &str, seconds: Option<u64>) -> LiveSession {
        let text = |text: &str| Some(text.to_owned());
        LiveSession {
            user: text("report"),
            database: text("orders"),
            host: text("db.example.com:40007"),
            command: text("Query"),
            state: text("executing"),
            seconds,
            statement: text("select * from orders"),
            ..LiveSession::new(SessionId(id.to_owned()))
        }
    }

    fn ids(sessions: &[LiveSession]) -> Vec<&str> {
        sessions.iter().map(|session| session.id.as_str()).collect()
    }

    #[test]
    fn every_criterion_given_must_hold() {
        let text = |text: &str| Some(text.to_owned());
        let all = Match {
            user: text("report"),
            database: text("orders"),
            host: text("DB.example.com"),
            command: text("query"),
            state: text("EXECUTING"),
            min_seconds: Some(7),
            statement: text("from orders"),
            ..Match::default()
        };
        let held = session("1", Some(7));
        assert!(all.meets(&held) && Match::default().meets(&held));
        let but = |change: fn(&mut Match)| {
            let mut wanted = all.clone();
            change(&mut wanted);
            wanted.meets(&held)
        };
        assert!(but(|wanted| wanted.host = Some("db.example.com:40007".to_owned())));
        assert!(!but(|wanted| wanted.user = Some("Report".to_owned())));
        assert!(!but(|wanted| wanted.database = Some("order".to_owned())));
        assert!(!but(|wanted| wanted.host = Some("example.com".to_owned())));
        assert!(!but(|wanted| wanted.command = Some("Sleep".to_owned())));
        assert!(!but(|wanted| wanted.state = Some("exec".to_owned())));
        assert!(!but(|wanted| wanted.min_seconds = Some(8)));
        assert!(!but(|wanted| wanted.statement = Some("FROM orders".to_owned())));
    }

    #[test]
    fn what_is_not_known_meets_no_criterion() {
        let unknown = LiveSession::new(SessionId("1".to_owned()));
        let wanted = |name: &str| {
            let text = |of: &str| (of == name).then(String::new);
            Match {
                user: text("user"),
                database: text("database"),
                host: text("host"),
                command: text("command"),
                state: text("state"),
                statement: text("statement"),
                min_seconds: (name == "min_seconds").then_some(0),
                ..Match::default()
            }
        };
        for name in ["user", "database", "host", "command", "state", "statement", "min_seconds"] {
            assert_eq!((wanted(name).given(), wanted(name).meets(&unknown)), (vec![name], false));
        }
    }

    #[test]
    fn the_limit_takes_the_first_in_order() {
        let sessions = || [("1", Some(5)), ("2", None), ("3", Some(9)), ("4", Some(5))].map(|(id, s)| session(id, s));
        let pick = |order, limit| Match { limit, order, ..Match::default() }.pick(sessions().into());
        assert_eq!(ids(&pick(None, Some(2))), ["1", "2"]);
        assert_eq!(ids(&pick(Some(Ranking::Longest), None)), ["3", "1", "4", "2"]);
        assert_eq!(ids(&pick(Some(Ranking::Longest), Some(1))), ["3"]);
        assert_eq!(ids(&pick(Some(Ranking::Newest), None)), ["1", "4", "3", "2"]);
    }

    #[test]
    fn the_newest_is_the_latest_to_begin_where_that_is_known() {
        let began = |id, started_at, seconds| LiveSession { started_at, ..session(id, Some(seconds)) };
        let sessions = vec![
            began("1", Some(datetime!(2026-01-02 03:04:05 UTC)), 1),
            began("2", None, 0),
            began("3", Some(datetime!(2026-01-02 03:04:06 UTC)), 9),
        ];
        let newest = Match { order: Some(Ranking::Newest), ..Match::default() };
        assert_eq!(ids(&newest.pick(sessions)), ["3", "1", "2"]);
    }
}

//! A session as it lives at its vendor, in one shape for all of them, and what protects it.

use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::{Glob, SessionId};

/// One live session. What a vendor does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveSession {
    /// The session's id, as text.
    #[serde(serialize_with = "SessionId::serialize_plain")]
    #[schema(value_type = String, example = "2075425")]
    pub id: SessionId,
    /// The database user it belongs to.
    #[schema(example = "report")]
    pub user: Option<String>,
    /// The database it is in.
    #[schema(example = "orders")]
    pub database: Option<String>,
    /// The client's address, with its port where the vendor tells it.
    #[schema(example = "10.0.1.7:40007")]
    pub host: Option<String>,
    /// What kind of work it does, such as `Query` or `Sleep`.
    #[schema(example = "Query")]
    pub command: Option<String>,
    #[schema(example = "executing")]
    pub state: Option<String>,
    /// Whole seconds for which it has been doing that.
    #[schema(example = 1847)]
    pub seconds: Option<u64>,
    /// The statement it runs.
    pub statement: Option<String>,
    /// When the session began; only where the vendor tells it beyond doubt.
    #[serde(with = "crate::clock::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// Whole seconds for which its transaction has been open; null where it has none, or where that is not told.
    #[schema(example = 1902)]
    pub transaction_seconds: Option<u64>,
    /// The sessions it waits for; null where it waits for nobody, or where that is not told. One that is none of the list is a
    /// transaction that outlived its session, such as `0` of PostgreSQL's prepared ones.
    #[serde(serialize_with = "null_for_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub blocked_by: Vec<SessionId>,
    /// What the client calls itself, where the vendor tells it.
    #[schema(example = "psql")]
    pub application: Option<String>,
    /// What tells the statement that it runs from those before and after it, where the server tells that.
    #[serde(skip)]
    pub statement_id: Option<String>,
    /// When its server started, to a second or so, where that gives the ids of before again.
    #[serde(skip)]
    pub server_started_at: Option<OffsetDateTime>,
}

/// Whether these are the same start of a server. It is computed from whole seconds, of which one may pass meanwhile.
#[must_use]
pub(super) fn is_same_start(one: OffsetDateTime, other: OffsetDateTime) -> bool {
    (one - other).abs() <= Duration::SECOND
}

fn null_for_none<S: Serializer>(ids: &Vec<SessionId>, serializer: S) -> Result<S::Ok, S::Error> {
    Some(ids).filter(|ids| !ids.is_empty()).serialize(serializer)
}

/// What tells a session, and the statement that it runs, from others that have the same id before or after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Likeness {
    /// The database user, as the server tells it.
    pub user: Option<String>,
    /// The client's address, with its port.
    pub host: Option<String>,
    /// When the session began, as exactly as the server tells it.
    pub started_at: Option<OffsetDateTime>,
    /// See [`LiveSession::statement_id`].
    pub statement_id: Option<String>,
    /// See [`LiveSession::server_started_at`].
    pub server_started_at: Option<OffsetDateTime>,
}

impl Likeness {
    #[must_use]
    pub fn of(session: &LiveSession) -> Self {
        Self {
            user: session.user.clone(),
            host: session.host.clone(),
            started_at: session.started_at,
            statement_id: session.statement_id.clone(),
            server_started_at: session.server_started_at,
        }
    }
}

impl LiveSession {
    /// A session of which nothing else is known.
    #[must_use]
    pub const fn new(id: SessionId) -> Self {
        Self {
            id,
            user: None,
            database: None,
            host: None,
            command: None,
            state: None,
            seconds: None,
            statement: None,
            started_at: None,
            transaction_seconds: None,
            blocked_by: vec![],
            application: None,
            statement_id: None,
            server_started_at: None,
        }
    }

    /// Whether it waits for its client.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let begins = |text: &Option<String>, with: &str| text.as_deref().is_some_and(|text| text.starts_with(with));
        begins(&self.state, "idle") || begins(&self.command, "Sleep")
    }

    /// Whether it runs a statement now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.as_deref() == Some("active") || matches!(self.command.as_deref(), Some("Query" | "Execute"))
    }

    /// Whether it does nothing and its transaction is open.
    #[must_use]
    pub fn is_idle_in_transaction(&self) -> bool {
        let begins = |text: &Option<String>, with: &str| {
            text.as_deref()
                .and_then(|text| text.get(..with.len()))
                .is_some_and(|begin| begin.eq_ignore_ascii_case(with))
        };
        begins(&self.state, "idle in transaction")
            || self.transaction_seconds.is_some() && begins(&self.command, "Sleep")
    }

    /// Whether the client is at an address for which `fits` holds, with its port or without.
    #[must_use]
    pub fn is_at(&self, fits: impl Fn(&str) -> bool) -> bool {
        let Some(host) = self.host.as_deref() else { return false };
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let address = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map(|(address, _)| address);
        fits(host) || address.is_some_and(fits)
    }
}

/// Sessions that no kill may end: those for which any of the patterns fits, in upper or lower case, or may fit as far as
/// the text could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// Patterns for the database user.
    pub users: Vec<Glob>,
    /// Patterns for the client's address, with its port or without.
    pub hosts: Vec<Glob>,
    /// Patterns for the kind of work.
    pub commands: Vec<Glob>,
    /// Patterns for the session's state.
    pub states: Vec<Glob>,
}

impl Protection {
    /// The pattern that protects a session, such as `users: dba_*`; `None` where none does.
    #[must_use]
    pub fn of(&self, session: &LiveSession) -> Option<String> {
        let is = |held: &Option<String>, glob: &Glob| held.as_deref().is_some_and(|text| glob.may_match_any_case(text));
        let user = self.users.iter().find(|glob| is(&session.user, glob)).map(|glob| ("users", glob));
        let host = || self.hosts.iter().find(|glob| session.is_at(|host| glob.may_match_any_case(host)));
        let command = || self.commands.iter().find(|glob| is(&session.command, glob));
        let state = || self.states.iter().find(|glob| is(&session.state, glob));
        let found = user
            .or_else(|| host().map(|glob| ("hosts", glob)))
            .or_else(|| command().map(|glob| ("commands", glob)))
            .or_else(|| state().map(|glob| ("states", glob)));
        found.map(|(key, glob)| format!("{key}: {}", glob.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> LiveSession {
        let text = |text: &str| Some(text.to_owned());
        LiveSession {
            user: text("dba_anna"),
            host: text("10.0.1.7:40007"),
            command: text("Binlog Dump GTID"),
            state: text("sending"),
            ..LiveSession::new(SessionId("7".to_owned()))
        }
    }

    #[test]
    fn any_pattern_that_fits_protects_and_is_named() {
        let globs = |pattern: &str| vec![Glob::parse(pattern).unwrap()];
        let why = |protection: Protection| protection.of(&session());
        let none = Protection::default;
        assert_eq!(why(Protection { users: globs("DBA_*"), ..none() }).as_deref(), Some("users: DBA_*"));
        for host in ["10.0.1.7", "10.0.1.*", "10.0.1.7:40007"] {
            assert_eq!(why(Protection { hosts: globs(host), ..none() }), Some(format!("hosts: {host}")));
        }
        let commands = Protection { commands: globs("binlog dump*"), users: globs("repl"), ..none() };
        assert_eq!(why(commands).as_deref(), Some("commands: binlog dump*"));
        assert_eq!(why(Protection { states: globs("sending"), ..none() }).as_deref(), Some("states: sending"));
        let others = Protection { users: globs("dba"), hosts: globs("10.0.1"), states: globs("send"), ..none() };
        assert_eq!((why(others), why(none())), (None, None));
    }

    #[test]
    fn what_is_not_known_of_a_session_fits_no_pattern() {
        let all = vec![Glob::parse("*").unwrap()];
        let all = Protection { users: all.clone(), hosts: all.clone(), commands: all.clone(), states: all };
        assert_eq!(all.of(&LiveSession::new(SessionId("7".to_owned()))), None);
    }
}

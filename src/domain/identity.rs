//! What tells a session from another one that has its id later.

use std::net::Ipv6Addr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{LiveSession, SessionId, cut, live::is_same_start, masked};
use crate::clock::unix_millis;

/// Whose session it was when it was looked at. What a vendor does not tell is `None` and tells nothing apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The database user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "report")]
    pub user: Option<String>,
    /// The client's address, with its port where the vendor tells it: the surest mark there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10.0.1.7:40007")]
    pub host: Option<String>,
    /// The database it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "orders")]
    pub database: Option<String>,
    /// The kind of work it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "Query")]
    pub command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "executing")]
    pub state: Option<String>,
    /// Whole seconds for which it had been doing that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 1847)]
    pub seconds: Option<u64>,
    /// When the session began.
    #[serde(default, with = "crate::clock::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<OffsetDateTime>,
    /// When its server started, to a second or so, where a start gives the ids of before again.
    #[serde(default, with = "crate::clock::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub server_started_at: Option<OffsetDateTime>,
    /// Stands for the statement it ran, without its literals: 32 hexadecimal digits. The same session may run another
    /// statement later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "82a20b4bc8c34a4e50f5c52b8d6c6d4e")]
    pub statement_digest: Option<String>,
    /// The beginning of that statement, with `?` for its literals: at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "SELECT * FROM orders WHERE day > ?")]
    pub statement: Option<String>,
    /// The sessions it waited for: at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// Sessions that waited for it: at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
}

/// Most characters of a statement that are kept for ever.
const MAX_STATEMENT: usize = 500;
/// Most sessions that are named as waiting for one.
const MAX_BLOCKED: usize = 100;

impl Identity {
    /// The identity of a session that is seen now.
    #[must_use]
    pub fn of(session: &LiveSession) -> Self {
        Self {
            user: session.user.clone(),
            host: session.host.clone(),
            database: session.database.clone(),
            command: session.command.clone(),
            state: session.state.clone(),
            seconds: session.seconds,
            started_at: session.started_at,
            server_started_at: session.server_started_at,
            statement_digest: session.statement.as_deref().and_then(statement_digest),
            statement: session.statement.as_deref().map(|statement| cut(&masked(statement), MAX_STATEMENT)),
            blocked_by: session.blocked_by.iter().take(MAX_BLOCKED).map(|id| id.0.clone()).collect(),
            blocks: vec![],
        }
    }

    /// The same with who waits for it.
    #[must_use]
    pub fn blocking(mut self, blocked: &[&SessionId]) -> Self {
        self.blocks = blocked.iter().take(MAX_BLOCKED).map(|id| id.0.clone()).collect();
        self
    }

    /// Whether enough is known to recognise who comes back: the user, the host and the statement.
    #[must_use]
    pub fn is_recognisable(&self) -> bool {
        self.user.is_some() && self.host.is_some() && self.statement_digest.is_some()
    }

    /// Whether a session is of the same user and comes from the same address, whatever its port. What is not known of
    /// either is not the same.
    #[must_use]
    pub fn is_of_same_client(&self, session: &LiveSession) -> bool {
        let same = |known: Option<&str>, seen: Option<&str>| known.is_some() && known == seen;
        let address_of = |host: &Option<String>| host.as_deref().map(address).map(str::to_ascii_lowercase);
        let (known, seen) = (address_of(&self.host), address_of(&session.host));
        same(self.user.as_deref(), session.user.as_deref()) && same(known.as_deref(), seen.as_deref())
    }

    /// Whether a session runs the same statement, but for its literals. What is not known is not the same.
    #[must_use]
    pub fn runs_same_statement(&self, session: &LiveSession) -> bool {
        let seen = session.statement.as_deref().and_then(statement_digest);
        self.statement_digest.is_some() && self.statement_digest == seen
    }

    /// What of a session that is seen now contradicts this; `None` where nothing does, and it may be the same one.
    #[must_use]
    pub fn contradiction(&self, session: &LiveSession) -> Option<&'static str> {
        let differs = |known: &Option<String>, seen: &Option<String>| {
            known.as_ref().zip(seen.as_ref()).is_some_and(|(known, seen)| known != seen)
        };
        // The record keeps milliseconds.
        let differ = |(known, seen)| unix_millis(known) != unix_millis(seen);
        let began = self.started_at.zip(session.started_at).is_some_and(differ);
        let server = self.server_started_at.zip(session.server_started_at);
        let restarted = server.is_some_and(|(known, seen)| !is_same_start(known, seen));
        let all = [
            ("user", differs(&self.user, &session.user)),
            ("host", differs(&self.host, &session.host)),
            ("start", began),
            ("server's start", restarted),
        ];
        all.into_iter().find_map(|(what, differs)| differs.then_some(what))
    }
}

/// The first half of the SHA-256 of a statement without its literals and comments, any white space as one space, in hex;
/// `None` for no statement. Of a statement and of its masked form it is the same.
pub(super) fn statement_digest(statement: &str) -> Option<String> {
    let masked = masked(statement);
    let normal = masked.split_whitespace().collect::<Vec<_>>().join(" ");
    let hash = digest(&SHA256, normal.as_bytes());
    let half = hash.as_ref().first_chunk().map(|half| format!("{:032x}", u128::from_be_bytes(*half)));
    half.filter(|_| !normal.is_empty())
}

/// A client's address without its port. A whole IPv6 address has none.
fn address(host: &str) -> &str {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match host.rsplit_once(':') {
        Some((address, port)) if is_port(port) && host.parse::<Ipv6Addr>().is_err() => address,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use crate::domain::SessionId;

    #[test]
    fn only_what_is_known_of_both_can_contradict() {
        let text = |text: &str| Some(text.to_owned());
        let began = datetime!(2026-01-02 03:04:05 UTC);
        let unknown = LiveSession::new(SessionId("7".to_owned()));
        let session =
            LiveSession { user: text("app"), host: text("10.0.0.7:4"), started_at: Some(began), ..unknown.clone() };
        let identity = Identity::of(&session);
        assert_eq!((identity.contradiction(&session), identity.contradiction(&unknown)), (None, None));
        assert_eq!(Identity::default().contradiction(&session), None);
        let other = |other: LiveSession| identity.contradiction(&other);
        assert_eq!(other(LiveSession { user: text("App"), ..session.clone() }), Some("user"));
        assert_eq!(other(LiveSession { host: text("10.0.0.7:5"), ..session.clone() }), Some("host"));
        assert_eq!(
            other(LiveSession { started_at: Some(began + time::Duration::SECOND), ..session.clone() }),
            Some("start")
        );
        let finer = LiveSession { started_at: Some(began + time::Duration::microseconds(999)), ..session };
        assert_eq!(other(finer), None, "the record keeps milliseconds");
    }

    #[test]
    fn who_lives_since_another_start_of_the_server_is_another_one() {
        let started = datetime!(2026-01-02 03:04:05 UTC);
        let of = |seconds| LiveSession {
            server_started_at: Some(started + time::Duration::seconds(seconds)),
            ..LiveSession::new(SessionId("7".to_owned()))
        };
        let identity = Identity::of(&of(0));
        let told = [-2, -1, 0, 1, 2, 60].map(|seconds| identity.contradiction(&of(seconds)));
        let other = Some("server's start");
        assert_eq!(told, [other, None, None, None, other, other], "whole seconds are told, and one may have passed");
        assert_eq!(identity.contradiction(&LiveSession::new(SessionId("7".to_owned()))), None);
        let kept: Identity = serde_json::from_str(&serde_json::to_string(&identity).unwrap()).unwrap();
        assert_eq!(kept, identity);
    }

    #[test]
    fn the_same_statement_has_the_same_digest_whatever_its_literals_and_its_layout() {
        let digest = |statement: &str| statement_digest(statement);
        // From `printf 'select * from orders where id = ?' | sha256sum`.
        let known = Some("fbde135c64f4f6434e92d75118ddff9c".to_owned());
        assert_eq!(digest("select * from orders where id = 7"), known);
        assert_eq!(digest(" select *\n  from orders /* pool 3 */ where id = 'x' "), known);
        assert_eq!(digest("select * from orders where id = ?"), known, "as those see it who may see no literals");
        assert_ne!(digest("select * from orders where ID = 7"), known);
        assert_eq!((digest(""), digest("  -- nothing")), (None, None));
    }

    #[test]
    fn another_statement_is_no_contradiction() {
        let session = |statement: &str| LiveSession {
            statement: Some(statement.to_owned()),
            ..LiveSession::new(SessionId("7".to_owned()))
        };
        let identity = Identity::of(&session("select 1"));
        assert_eq!(identity.contradiction(&session("delete from orders")), None);
        assert!(identity.runs_same_statement(&session("select 2")));
        assert!(!identity.runs_same_statement(&session("delete from orders")));
    }

    #[test]
    fn a_client_is_the_same_with_another_port_and_not_at_another_address() {
        let session = |user: &str, host: &str| LiveSession {
            user: Some(user.to_owned()),
            host: Some(host.to_owned()),
            ..LiveSession::new(SessionId("7".to_owned()))
        };
        let same =
            |one: &str, other: &str| Identity::of(&session("app", one)).is_of_same_client(&session("app", other));
        assert!(same("10.0.0.7:40001", "10.0.0.7:40002") && same("db.example.com:1", "DB.example.com"));
        assert!(same("fe80::7:40001", "fe80::7") && same("[::1]:40001", "[::1]:40002"));
        assert!(!same("10.0.0.7:40001", "10.0.0.8:40001") && !same("fe80::7", "fe80::8"));
        assert!(!Identity::of(&session("app", "a")).is_of_same_client(&session("App", "a")));
        let unknown = LiveSession::new(SessionId("7".to_owned()));
        assert!(!Identity::of(&unknown).is_of_same_client(&unknown));
    }

    proptest! {
        #[test]
        fn of_a_statement_and_of_its_masked_form_the_digest_is_the_same(
            statement in prop::collection::vec(prop::sample::select(vec![
                "select ", "'x'", "\"y\"", "7", "-", "--", "-- c\n", "/", "*", "/* c */", "#", "$", "$1", "\\", "`a`", "`",
                "?", "…", " ", "\n", "a", "@", ".", "e", "1e", "+",
            ]), 0..12),
        ) {
            let statement = statement.concat();
            prop_assert_eq!(statement_digest(&masked(&statement)), statement_digest(&statement), "{}", statement);
        }
    }
}

//! One recorded request to end sessions.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{End, Outcome, Problem, Session, Unlisted};

/// A kill's id: a UUIDv7, so ids sort by the time they were made.
pub type KillId = Uuid;

/// Where a kill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Recorded, not answered yet.
    Pending,
    /// The vendor took it; not known done.
    Accepted,
    /// Every session is `killed`, `not_found` or `gone`.
    Succeeded,
    /// Some sessions are gone, some are not.
    Partial,
    /// Surely nothing was killed.
    Failed,
    /// Policy or protection said no.
    Refused,
    /// Too many calls, here or at the vendor; nothing was killed.
    RateLimited,
    /// A call may have reached the vendor and its answer was lost.
    Unknown,
    /// A dry run: nothing was sent.
    Preview,
}

impl Status {
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Accepted,
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Refused,
        Self::RateLimited,
        Self::Unknown,
        Self::Preview,
    ];

    /// The word in answers and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::RateLimited => "rate_limited",
            Self::Unknown => "unknown",
            Self::Preview => "preview",
        }
    }

    /// The status with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// False while more is expected to be learned: `pending` and `accepted`.
    ///
    /// `unknown` is final for the caller who waits, though a later look may still settle it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Accepted)
    }

    /// True where the record itself may still learn more: `pending`, `accepted` and `unknown`.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Accepted | Self::Unknown)
    }

    /// What the outcomes of its sessions make of a kill. Anything `accepted` or `unknown` keeps it open.
    #[must_use]
    pub fn of(sessions: &[Session]) -> Self {
        let any = |wanted: Outcome| sessions.iter().any(|s| s.outcome == wanted);
        let gone = sessions.iter().filter(|s| s.outcome.is_gone()).count();
        if any(Outcome::Unknown) {
            Self::Unknown
        } else if any(Outcome::Accepted) {
            Self::Accepted
        } else if gone == sessions.len() {
            Self::Succeeded
        } else if gone > 0 {
            Self::Partial
        } else if sessions.iter().all(|s| s.outcome == Outcome::Protected) {
            Self::Refused
        } else {
            Self::Failed
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the vendor itself said, as far as it may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upstream {
    /// HTTP status of the vendor's last answer.
    #[schema(example = 200)]
    pub http_status: Option<u16>,
    /// The id under which the vendor's support finds the call.
    pub request_id: Option<String>,
    /// The vendor's task, where the operation is asynchronous.
    pub task_id: Option<String>,
    /// Where the vendor keeps its own account of what it did, such as the list of the sessions that it picked; without
    /// what in it is a credential. Null where it keeps none.
    pub evidence_url: Option<String>,
    /// The vendor's error code.
    pub error_code: Option<String>,
    /// The vendor's error text; withheld where it may echo credentials.
    pub error_message: Option<String>,
}

/// One recorded request to end sessions, as every answer and list shows it.
///
/// `target`, `select` and `reason` are what was understood of the request; a request refused before it was
/// understood has `null` there, and what was sent is kept in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Kill {
    #[schema(value_type = Uuid)]
    pub id: KillId,
    pub status: Status,
    /// Alias (where one was used), vendor, account and coordinates.
    #[schema(value_type = Option<Object>)]
    pub target: Option<serde_json::Value>,
    /// The selector as asked.
    #[schema(value_type = Option<Object>)]
    pub select: Option<serde_json::Value>,
    /// One outcome for each session; empty where the vendor names none.
    pub sessions: Vec<Session>,
    pub caller: String,
    /// The person behind a bot. Where the token names an actor this is its subject; else it is the caller's word, which
    /// nobody has checked.
    pub on_behalf_of: Option<String>,
    /// Who acted in the caller's name, as the token says it (`act.sub`, RFC 8693).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub upstream: Upstream,
    /// Why it was not done, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Of a `match`: how many sessions met it when they were looked at, whatever became of them; absent where nobody could
    /// count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<u32>,
    /// `false` where nobody knows yet which sessions it was about: the vendor names none, and `sessions` is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_known: Option<bool>,
    /// What that means, in a sentence, where the members alone may mislead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "no session met the match, so nothing was sent")]
    pub note: Option<&'static str>,
    /// What of each session was to be ended, where that was not the whole of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Why its sessions were not looked at before it; absent where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<Blind>,
    /// The look at the sessions before the kill, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
    /// Shards or nodes of the target that could not be listed whole then, and why: nothing was sent to sessions there that nobody saw.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub unlisted: Vec<Unlisted>,
    /// What of the place that look found out: its events have it, and whoever works on the kill.
    #[serde(skip)]
    pub found: Found,
    /// The preview that this kill was bound to by its `confirm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub confirms: Option<KillId>,
    #[serde(with = "crate::clock::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// When the status became final; `null` before.
    #[serde(with = "crate::clock::rfc3339::option")]
    pub completed_at: Option<OffsetDateTime>,
    /// When every session had been seen gone on a list; only of kills that were open and settled by looking.
    #[serde(with = "crate::clock::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<OffsetDateTime>,
    /// How many sessions came back after it: new ones of a killed session's user, host and statement. It is learned within
    /// a while after the kill; absent while and where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned: Option<u32>,
}

/// Why the sessions of a kill were not looked at before it: nobody saw whether one of them was protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blind {
    /// The request said `"look": false`.
    Asked,
    /// `look = "off"` in the configuration.
    Configured,
    /// The vendor has no list of them.
    NoList,
    /// The database itself picks.
    Picked,
}

/// How long after its request a kill is looked after; what is not known by then stays as it is.
pub const LOOKED_AFTER: time::Duration = time::Duration::minutes(15);

impl Kill {
    /// The same with what is said of it as a whole.
    #[must_use]
    pub fn explained(mut self) -> Self {
        let is_nobody = self.names_nobody();
        self.sessions_known = is_nobody.then_some(false);
        self.note = match (self.status, self.matched) {
            (Status::Accepted, _) if is_nobody => Some(
                "the vendor took it and names no sessions: how many there are, and whether they are gone, is not known",
            ),
            (Status::Accepted, _) => {
                Some("the vendor took it; whether the sessions are gone is not known yet: look at the kill again")
            }
            (Status::Succeeded, Some(0)) => Some("no session met the match, so nothing was sent"),
            (Status::Preview, Some(0)) => Some("no session meets the match now"),
            (Status::Preview, _) if is_nobody => Some("which sessions it would end could not be learned"),
            _ => None,
        };
        self
    }

    /// Whether nobody has said which sessions it is about: there may be many.
    #[must_use]
    pub fn names_nobody(&self) -> bool {
        let is_done = !matches!(self.status, Status::Failed | Status::Refused | Status::RateLimited);
        self.sessions.is_empty() && self.matched != Some(0) && is_done && self.select.is_some()
    }

    /// What the outcomes of its sessions make of it. A `match` that could not be looked for at every place is not all done.
    #[must_use]
    pub fn adds_up(&self, sessions: &[Session]) -> Status {
        let is_match = || self.select.as_ref().is_some_and(|select| select.get("match").is_some());
        match Status::of(sessions) {
            Status::Succeeded if !self.unlisted.is_empty() && is_match() => Status::Partial,
            status => status,
        }
    }

    /// Notes what became of those sessions; whose they were stays known.
    pub fn note(&mut self, sessions: &[Session]) {
        for session in sessions {
            if let Some(known) = self.sessions.iter_mut().find(|known| known.id == session.id) {
                let identity = known.identity.take().or_else(|| session.identity.clone());
                *known = Session { identity, ..session.clone() };
            }
        }
    }
}

#[cfg(test)]
impl Kill {
    /// A kill that was just asked for, of which nothing else is known.
    pub(crate) fn sample(at: OffsetDateTime) -> Self {
        Self {
            id: crate::clock::id_at(at),
            status: Status::Pending,
            target: None,
            select: None,
            sessions: vec![],
            caller: "chatops-bot".into(),
            on_behalf_of: None,
            actor: None,
            reason: None,
            upstream: Upstream::default(),
            problem: None,
            matched: None,
            sessions_known: None,
            note: None,
            end: None,
            blind: None,
            look: None,
            unlisted: vec![],
            found: Found::new(),
            confirms: None,
            requested_at: at,
            completed_at: None,
            verified_at: None,
            returned: None,
        }
    }
}

/// Coordinates that were not asked for and that a look found out, such as the node that was the primary then.
pub type Found = BTreeMap<String, String>;

/// A look at the sessions of a target before a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Look {
    #[serde(with = "crate::clock::rfc3339")]
    pub at: OffsetDateTime,
    /// False where the vendor's list was cut off: there may be sessions that nobody saw.
    pub complete: bool,
    /// Milliseconds from the look to the moment from which the kill may have left: within them an id may have become
    /// another session's. `null` where nothing was sent.
    pub to_kill_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SessionId;

    fn status_of(outcomes: &[Outcome]) -> Status {
        let id = SessionId("1".into());
        Status::of(&outcomes.iter().map(|o| Session::new(&id, *o)).collect::<Vec<_>>())
    }

    #[test]
    fn the_status_follows_from_the_outcomes() {
        use Outcome as O;
        assert_eq!(status_of(&[O::Killed, O::NotFound]), Status::Succeeded);
        assert_eq!(status_of(&[O::Killed, O::Failed]), Status::Partial);
        assert_eq!(status_of(&[O::NotFound, O::Alive]), Status::Partial);
        assert_eq!(status_of(&[O::Failed, O::Protected]), Status::Failed);
        assert_eq!(status_of(&[O::Protected]), Status::Refused);
        assert_eq!(status_of(&[O::Killed, O::Accepted]), Status::Accepted);
        assert_eq!(status_of(&[O::Accepted, O::Unknown]), Status::Unknown);
    }

    #[test]
    fn every_status_word_parses_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("done"), None);
    }
}

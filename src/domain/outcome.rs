//! What happened to one session.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{Identity, SessionId, shard_or_node, split_id, written::described_as};

/// What happened to one session, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The vendor says that this session was ended; or it was seen before, the call surely arrived, and it is gone.
    Killed,
    /// The vendor knows no such session (any more), or its list did not show it before the kill.
    NotFound,
    /// It was not there when it was looked for afterwards; whether this kill ended it cannot be told.
    Gone,
    /// The vendor took the request; whether the session is gone is not known.
    Accepted,
    /// The session was not ended.
    Failed,
    /// A protection rule forbids ending it; nothing was sent for it.
    Protected,
    /// The id belongs to another session by now; nothing was sent for it.
    Changed,
    /// It was seen alive after the vendor's answer.
    Alive,
    /// The request may have reached the vendor and the answer was lost.
    Unknown,
}

impl Outcome {
    pub const ALL: [Self; 9] = [
        Self::Killed,
        Self::NotFound,
        Self::Gone,
        Self::Accepted,
        Self::Failed,
        Self::Protected,
        Self::Changed,
        Self::Alive,
        Self::Unknown,
    ];

    /// The word in requests and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Protected => "protected",
            Self::Changed => "changed",
            Self::Alive => "alive",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// True where the caller's wish is fulfilled: the session is not there.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Killed | Self::NotFound | Self::Gone)
    }
}

/// One session of a kill and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written<'static>")]
pub struct Session {
    /// Qualified by its place where the target has several, see [`SessionId::at`].
    pub id: String,
    pub outcome: Outcome,
    /// Why, where the outcome alone does not say it.
    pub detail: Option<Cow<'static, str>>,
    /// Whose session it was, where it was looked at before the kill.
    pub identity: Option<Identity>,
}

/// One session of a kill and what became of it.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
struct Written<'s> {
    /// The shard that it lived in, where the target has several: ids are unique within one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "shard-ljilb4st")]
    shard: Option<Cow<'s, str>>,
    /// The node that it lived on, where the target has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07")]
    node: Option<Cow<'s, str>>,
    /// The session's id, as text.
    #[schema(value_type = String, example = "2075425")]
    id: Cow<'s, str>,
    outcome: Outcome,
    /// Why, where the outcome alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "not reported as killed")]
    detail: Option<Cow<'s, str>>,
    /// Whose session it was, where it was looked at before the kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Identity>)]
    identity: Option<Cow<'s, Identity>>,
}

impl Serialize for Session {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (place, id) = split_id(&self.id);
        let (shard, node) = shard_or_node(place);
        let written = Written {
            shard,
            node,
            id: id.into(),
            outcome: self.outcome,
            detail: self.detail.as_deref().map(Cow::Borrowed),
            identity: self.identity.as_ref().map(Cow::Borrowed),
        };
        written.serialize(serializer)
    }
}

impl From<Written<'static>> for Session {
    fn from(Written { shard, node, id, outcome, detail, identity }: Written<'static>) -> Self {
        let id = SessionId::at(shard.or(node).as_deref(), &id).0;
        Self { id, outcome, detail, identity: identity.map(Cow::into_owned) }
    }
}

described_as!(Session, Written<'static>);

impl Session {
    #[must_use]
    pub fn new(id: &SessionId, outcome: Outcome) -> Self {
        Self { id: id.0.clone(), outcome, detail: None, identity: None }
    }

    #[must_use]
    pub fn because(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_says_its_place_beside_its_id_and_is_read_back_with_it() {
        let session = Session::new(&SessionId::at(Some("shard-a"), "7"), Outcome::Killed);
        let written = serde_json::to_string(&session).unwrap();
        assert_eq!(written, r#"{"shard":"shard-a","id":"7","outcome":"killed"}"#);
        assert_eq!(serde_json::from_str::<Session>(&written).unwrap(), session);
        let node = "f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07";
        let session = Session::new(&SessionId::at(Some(node), "7"), Outcome::Killed);
        let written = serde_json::to_string(&session).unwrap();
        assert_eq!(written, format!(r#"{{"node":"{node}","id":"7","outcome":"killed"}}"#));
        assert_eq!(serde_json::from_str::<Session>(&written).unwrap(), session);
        let alone = Session::new(&SessionId("7".into()), Outcome::Killed);
        assert_eq!(serde_json::to_string(&alone).unwrap(), r#"{"id":"7","outcome":"killed"}"#);
    }

    #[test]
    fn every_outcome_word_parses_back() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert_eq!(Outcome::parse("gone for good"), None);
    }
}

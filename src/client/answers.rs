//! What is read of a gateway's answers, for people. What another version leaves out is not told; what it adds is passed over.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::{SessionId, Unlisted};

/// A list of anything.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) complete: Option<bool>,
    #[serde(default)]
    pub(super) unlisted: Vec<Unlisted>,
    pub(super) next_cursor: Option<String>,
}

/// A session's id: with its shard or node before it, where the target has several, as requests take it.
fn whole_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    struct Told {
        shard: Option<String>,
        node: Option<String>,
        id: String,
    }
    let Told { shard, node, id } = Told::deserialize(deserializer)?;
    Ok(SessionId::at(shard.or(node).as_deref(), &id).0)
}

/// A live session.
#[derive(Debug, Deserialize)]
pub(super) struct Live {
    #[serde(flatten, deserialize_with = "whole_id")]
    pub(super) id: String,
    pub(super) user: Option<String>,
    pub(super) database: Option<String>,
    pub(super) host: Option<String>,
    pub(super) command: Option<String>,
    pub(super) state: Option<String>,
    pub(super) seconds: Option<u64>,
    pub(super) statement: Option<String>,
    pub(super) blocked_by: Option<Vec<String>>,
    pub(super) protected_by: Option<String>,
}

/// A kill, or a preview of one.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Kill {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) target: Option<Value>,
    #[serde(default)]
    pub(super) sessions: Vec<Session>,
    pub(super) caller: Option<String>,
    pub(super) on_behalf_of: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) problem: Option<Value>,
    pub(super) matched: Option<u64>,
    pub(super) note: Option<String>,
    pub(super) confirm: Option<String>,
    pub(super) confirms: Option<String>,
    pub(super) look: Option<Look>,
    #[serde(default)]
    pub(super) unlisted: Vec<Unlisted>,
    pub(super) requested_at: Option<String>,
    pub(super) completed_at: Option<String>,
    pub(super) verified_at: Option<String>,
    pub(super) returned: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Look {
    pub(super) complete: Option<bool>,
}

/// A session of a kill.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Session {
    #[serde(flatten, deserialize_with = "whole_id")]
    pub(super) id: String,
    pub(super) outcome: String,
    pub(super) detail: Option<String>,
    #[serde(default)]
    pub(super) identity: Identity,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Identity {
    pub(super) user: Option<String>,
    pub(super) host: Option<String>,
    pub(super) database: Option<String>,
    pub(super) command: Option<String>,
    pub(super) state: Option<String>,
    pub(super) seconds: Option<u64>,
    pub(super) statement: Option<String>,
    #[serde(default)]
    pub(super) blocks: Vec<String>,
}

/// One change of a kill.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) sessions: Vec<Session>,
}

impl Kill {
    /// What people call its place.
    pub(super) fn place(&self) -> String {
        let member = |name: &str| Some(self.target.as_ref()?.get(name)?.as_str()?.to_owned());
        member("alias").or_else(|| member("instance_id")).or_else(|| member("account")).unwrap_or_default()
    }

    /// How many of its sessions have that outcome.
    pub(super) fn count(&self, outcome: &str) -> usize {
        self.sessions.iter().filter(|session| session.outcome == outcome).count()
    }
}

/// Which shards or nodes could not be listed whole, and why: a line for each.
pub(super) fn not_listed(places: &[Unlisted]) -> impl Iterator<Item = String> {
    places.iter().map(|Unlisted { place, detail }| format!("{place} could not be listed whole: {detail}"))
}

/// How many sessions there are, in words.
pub(super) fn sessions(many: usize) -> String {
    if many == 1 { "1 session".to_owned() } else { format!("{many} sessions") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_one_of_several_places_is_called_by_both() {
        let live: Live =
            serde_json::from_str(r#"{"shard":"shard-a","id":"7","user":"app","protected":false}"#).unwrap();
        assert_eq!((live.id.as_str(), live.user.as_deref()), ("shard-a/7", Some("app")));
        let live: Live = serde_json::from_str(r#"{"node":"n","id":"7","protected":false}"#).unwrap();
        assert_eq!(live.id.as_str(), "n/7");
        let session: Session = serde_json::from_str(r#"{"id":"7","outcome":"killed"}"#).unwrap();
        assert_eq!((session.id.as_str(), session.outcome.as_str()), ("7", "killed"));
    }
}

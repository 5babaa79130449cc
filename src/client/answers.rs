//! What is read of a gateway's answers, for people. What another version leaves out is not told; what it adds is passed over.

use serde::Deserialize;
use serde_json::Value;

/// A list of anything.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) complete: Option<bool>,
    pub(super) next_cursor: Option<String>,
}

/// A live session.
#[derive(Debug, Deserialize)]
pub(super) struct Live {
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

/// How many sessions there are, in words.
pub(super) fn sessions(many: usize) -> String {
    if many == 1 { "1 session".to_owned() } else { format!("{many} sessions") }
}

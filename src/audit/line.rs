//! One kill as the record has it, everything, in one line: what is exported, and what is sealed.
//!
//! The text of a line is made of what is stored and of nothing else, so the same row gives the same text wherever and
//! whenever it is read. Words and numbers are not checked on the way: a row that somebody tampered with can still be
//! read, and be told from what was sealed. A member that a later version adds is left out where it has no value, or
//! every line sealed before would read as changed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    chain::{self, Hash, Leaf},
    domain::{KillId, SessionId},
};

/// One kill with everything that is on record about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub id: KillId,
    pub status: String,
    pub target: Option<Value>,
    pub select: Option<Value>,
    pub sessions: Vec<LineSession>,
    pub caller: String,
    pub on_behalf_of: Option<String>,
    /// Who acted in the caller's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub upstream: LineUpstream,
    pub problem: Option<Value>,
    /// RFC 3339, UTC, as are all times of a line.
    pub requested_at: String,
    /// When its sessions were looked at before the kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<String>,
    /// Whether that list held all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_complete: Option<bool>,
    /// Of a `match`, how many sessions met it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// What of each session was to be ended, where that was not the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Why they were not looked at before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
    /// From then on bytes may have gone to a vendor; `null` if surely none did.
    pub sent_at: Option<String>,
    pub completed_at: Option<String>,
    /// When every session had been seen gone on a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// The preview whose confirm it was asked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirms: Option<KillId>,
    pub dry_run: bool,
    /// What the caller sent.
    pub request: Option<String>,
    pub client_address: Option<String>,
    pub client_id: Option<String>,
    /// The token's `jti`, or `certificate:` and the SHA-256 of the certificate that stood for one; never the token.
    pub token_id: Option<String>,
    pub request_id: Option<String>,
    pub idempotency_key: Option<String>,
    pub gateway: String,
    /// Every change of the kill, oldest first.
    pub events: Vec<LineEvent>,
}

/// One session of a kill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSession {
    /// The shard that it lived in, where the target has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The node that it lived on, where the target has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    pub id: String,
    pub outcome: String,
    pub detail: Option<String>,
    /// Whose session it was, where it was looked at before the kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Value>,
}

impl LineSession {
    fn place(&self) -> Option<&str> {
        self.shard.as_deref().or(self.node.as_deref())
    }

    /// Its id with its shard or node: what tells it from the others of the kill.
    #[must_use]
    pub fn whole_id(&self) -> String {
        SessionId::at(self.place(), &self.id).0
    }

    /// What it is found by: its id as its vendor knows it, and with its shard or node.
    pub(super) fn found_by(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let with_place = self.place().map(|_| self.whole_id().into());
        std::iter::once(self.id.as_str().into()).chain(with_place)
    }
}

/// What the vendor said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineUpstream {
    pub http_status: Option<i32>,
    pub request_id: Option<String>,
    pub task_id: Option<String>,
    pub evidence_url: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

/// One change of a kill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineEvent {
    pub seq: i32,
    pub at: String,
    pub kind: String,
    pub status: String,
    pub gateway: Option<String>,
    /// Whether nobody looks after the kill from then on; left out where somebody does.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ends: bool,
    pub detail: Value,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Line {
    /// The line itself: JSON without a line break. Whoever hashes or exports a kill takes this text and no other.
    ///
    /// # Panics
    /// Never: every key of a line is a text.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("every key of a line is a text")
    }

    /// The line as it is sealed, once and for all.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        Leaf { id: self.id, hash: self.hash() }
    }

    /// [`chain::leaf`] of the whole line.
    #[must_use]
    pub fn hash(&self) -> Hash {
        chain::leaf(self.text().as_bytes())
    }

    /// The times of its events, in their order, as far as they are times.
    #[must_use]
    pub fn events_at(&self) -> Vec<OffsetDateTime> {
        self.events.iter().filter_map(|event| OffsetDateTime::parse(&event.at, &Rfc3339).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::hex;

    const LINE: &str = r#"{"id":"01a20145-0be1-7823-a957-937f06d75d66","status":"unknown","target":{"alias":"orders"},"select":{"ids":["7"]},"sessions":[{"id":"7","outcome":"unknown","detail":null}],"caller":"bot","on_behalf_of":null,"reason":"runaway","upstream":{"http_status":200,"request_id":"r","task_id":null,"evidence_url":null,"error_code":null,"error_message":null},"problem":null,"requested_at":"2026-03-04T12:00:00.123Z","sent_at":"2026-03-04T12:00:00.124Z","completed_at":null,"dry_run":false,"request":"{}","client_address":null,"client_id":null,"token_id":null,"request_id":"q","idempotency_key":null,"gateway":"here","events":[{"seq":1,"at":"2026-03-04T12:00:00.123Z","kind":"recorded","status":"pending","gateway":"here","detail":{}},{"seq":2,"at":"2026-03-04T12:00:00.124Z","kind":"sent","status":"pending","gateway":"here","detail":{}},{"seq":3,"at":"2026-03-04T12:00:00.125Z","kind":"answered","status":"unknown","gateway":"here","ends":true,"detail":{}}]}"#;

    /// Computed with Python's hashlib over the text.
    const HASH: &str = "e7c9ed6ddc11a74b71beecdcf6b07536f55f6524f85a5929c146bb2d04bc6794";

    #[test]
    fn a_line_reads_back_to_the_byte_and_has_the_leaf_that_other_programs_make_of_it() {
        let line: Line = serde_json::from_str(LINE).unwrap();
        assert_eq!(line.text(), LINE);
        assert_eq!(hex(&line.leaf().hash), HASH);
    }
}

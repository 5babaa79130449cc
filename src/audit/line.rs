//! One kill as the record has it, everything, in one line: what is exported, and what is sealed.
//!
//! The text of a line is made of what is stored and of nothing else, so the same row gives the same text wherever and
//! whenever it is read. Words and numbers are not checked on the way: a row that somebody tampered with can still be
//! read, and be told from what was sealed. A member that a later version adds is left out where it has no value, or
//! every line sealed before would read as changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::opening::{Opening, OpeningLine};
use crate::{
    chain::{self, Hash, Leaf},
    domain::{KillId, Status},
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
    /// The token's `jti`; never the token.
    pub token_id: Option<String>,
    pub request_id: Option<String>,
    pub idempotency_key: Option<String>,
    pub gateway: String,
    /// Every change of the kill, oldest first.
    pub events: Vec<LineEvent>,
    /// Whether nobody looks after it any more; no part of the text.
    #[serde(skip)]
    pub closed: bool,
}

/// One session of a kill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSession {
    pub id: String,
    pub outcome: String,
    pub detail: Option<String>,
    /// Whose session it was, where it was looked at before the kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Value>,
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
    pub detail: Value,
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

    /// The line as it is sealed: once and for all where it is settled or closed. One that is open is sealed twice, as
    /// [`Line::opening`] and as it stands.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf> {
        let may_change = !self.closed && Status::parse(&self.status).is_some_and(Status::is_open);
        let version = if may_change { self.version() } else { 0 };
        let whole = Leaf { id: self.id, version: -version, hash: self.hash() };
        let opening = self.opening(version).map(|hash| Leaf { id: self.id, version, hash });
        opening.into_iter().chain([whole])
    }

    /// [`chain::leaf`] of the whole line.
    #[must_use]
    pub fn hash(&self) -> Hash {
        chain::leaf(self.text().as_bytes())
    }

    /// [`chain::leaf`] of what never changes once the kill has so many events, 1 or more: what was asked, and those
    /// events. `None` where it has fewer.
    ///
    /// # Panics
    /// Never: every key of a line is a text.
    #[must_use]
    pub fn opening(&self, version: i32) -> Option<Hash> {
        let events = self.events.get(..usize::try_from(version).ok()?).filter(|events| !events.is_empty())?;
        let text = serde_json::to_string(&OpeningLine { opening: Opening::of(self, events) });
        Some(chain::leaf(text.expect("every key of a line is a text").as_bytes()))
    }

    /// How many changes it has; a kill that changed after it was sealed has more than it had then.
    #[must_use]
    pub fn version(&self) -> i32 {
        i32::try_from(self.events.len()).unwrap_or(i32::MAX)
    }
}

/// The time with all the digits it is stored with: a change of the smallest of them is a change.
pub(super) fn written(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp_nanos().to_string())
}

//! One kill as the record has it, everything, in one line: what is exported, and what is sealed.
//!
//! The text of a line is made of what is stored and of nothing else, so the same row gives the same text wherever and
//! whenever it is read. Words and numbers are not checked on the way: a row that somebody tampered with can still be
//! read, and be told from what was sealed. A member that a later version adds is left out where it has no value, or
//! every line sealed before would read as changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, types::Json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    opening::{Opening, OpeningLine},
    timestamp::Timestamp,
};
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

/// The columns of a line from `kills k`, without its sessions and events.
macro_rules! line_columns {
    () => {
        "k.id, k.status, k.caller, k.on_behalf_of, k.actor, k.reason, k.target, k.selector, k.request, k.dry_run, \
         k.client_address, k.client_id, k.token_id, k.request_id, k.idempotency_key, k.gateway, k.requested_at, \
         k.looked_at, k.list_complete, k.sent_at, k.completed_at, k.verified_at, k.confirms, \
         k.upstream_http_status, k.upstream_request_id, k.upstream_task_id, \
         k.upstream_evidence_url, k.upstream_error_code, k.upstream_error_message, k.problem, k.closed"
    };
}
pub(super) use line_columns;

/// All columns of a line; `$sessions` and `$events` are the engine's ways to gather those as JSON arrays.
macro_rules! whole_columns {
    ($sessions:literal, $events:literal) => {
        concat!(line_columns!(), ", ", $sessions, " AS sessions, ", $events, " AS events")
    };
}
pub(super) use whole_columns;

#[derive(FromRow)]
pub(super) struct LineRow {
    pub(super) id: KillId,
    status: String,
    caller: String,
    on_behalf_of: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
    target: Option<Json<Value>>,
    selector: Option<Json<Value>>,
    request: Option<String>,
    dry_run: bool,
    client_address: Option<String>,
    client_id: Option<String>,
    token_id: Option<String>,
    request_id: Option<String>,
    idempotency_key: Option<String>,
    gateway: String,
    requested_at: Timestamp,
    looked_at: Option<Timestamp>,
    list_complete: Option<bool>,
    sent_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    verified_at: Option<Timestamp>,
    confirms: Option<KillId>,
    upstream_http_status: Option<i32>,
    upstream_request_id: Option<String>,
    upstream_task_id: Option<String>,
    upstream_evidence_url: Option<String>,
    upstream_error_code: Option<String>,
    upstream_error_message: Option<String>,
    problem: Option<Json<Value>>,
    closed: bool,
}

/// A line in one row.
#[derive(FromRow)]
pub(super) struct WholeRow {
    #[sqlx(flatten)]
    line: LineRow,
    sessions: Json<Vec<LineSession>>,
    events: Json<Vec<EventRow>>,
}

#[derive(Deserialize)]
struct EventRow {
    seq: i32,
    /// Microseconds since 1970.
    at: i64,
    kind: String,
    status: String,
    gateway: Option<String>,
    detail: Value,
}

impl WholeRow {
    pub(super) fn read(self) -> Line {
        self.line.with(self.sessions.0, self.events.0.into_iter().map(EventRow::read).collect())
    }
}

impl LineRow {
    pub(super) fn with(self, sessions: Vec<LineSession>, events: Vec<LineEvent>) -> Line {
        let json = |json: Option<Json<Value>>| json.map(|json| json.0);
        Line {
            id: self.id,
            status: self.status,
            target: json(self.target),
            select: json(self.selector),
            sessions,
            caller: self.caller,
            on_behalf_of: self.on_behalf_of,
            actor: self.actor,
            reason: self.reason,
            upstream: LineUpstream {
                http_status: self.upstream_http_status,
                request_id: self.upstream_request_id,
                task_id: self.upstream_task_id,
                evidence_url: self.upstream_evidence_url,
                error_code: self.upstream_error_code,
                error_message: self.upstream_error_message,
            },
            problem: json(self.problem),
            requested_at: written(self.requested_at.0),
            looked_at: self.looked_at.map(|at| written(at.0)),
            list_complete: self.list_complete,
            sent_at: self.sent_at.map(|at| written(at.0)),
            completed_at: self.completed_at.map(|at| written(at.0)),
            verified_at: self.verified_at.map(|at| written(at.0)),
            confirms: self.confirms,
            dry_run: self.dry_run,
            request: self.request,
            client_address: self.client_address,
            client_id: self.client_id,
            token_id: self.token_id,
            request_id: self.request_id,
            idempotency_key: self.idempotency_key,
            gateway: self.gateway,
            events,
            closed: self.closed,
        }
    }
}

impl EventRow {
    fn read(self) -> LineEvent {
        let Self { seq, at, kind, status, gateway, detail } = self;
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1000);
        LineEvent { seq, at: at.map(written).unwrap_or_default(), kind, status, gateway, detail }
    }
}

/// The time with all the digits it is stored with: a change of the smallest of them is a change.
pub(super) fn written(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp_nanos().to_string())
}

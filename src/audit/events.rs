//! The events of a kill as whoever asked for it may see them, and how far kills have come.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Audit, AuditError, on_engine, postgres, sqlite, timestamp::Timestamp};
use crate::{
    clock::from_unix_millis,
    domain::{Found, KillId, Problem, Sent, Session, Status, Upstream},
};

/// One change of a kill, without what concerns the gateways alone.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct KillEvent {
    /// 1, 2, 3 … without gaps within a kill.
    pub seq: i32,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `recorded`, `looked`, `sent`, `answered`, `abandoned`.
    #[schema(example = "answered")]
    pub kind: String,
    /// The kill's status from then on.
    #[schema(value_type = Status)]
    pub status: String,
    /// The sessions whose outcome changed, where any did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
    /// What the vendor said, where it said anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// Why it was not done, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The calls to the vendor that left, where the event is about any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Sent>,
    /// The look at the sessions before the kill, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<LookEvent>,
    /// When every session had been seen gone on a list, where it was.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<OffsetDateTime>,
}

/// A look at the sessions of a target before a kill, as its event has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LookEvent {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// False where the vendor's list was cut off.
    pub complete: bool,
    /// Coordinates that were not asked for and that the look found out, such as the node that was the primary then: that
    /// is where the kill goes.
    #[serde(skip_serializing_if = "Found::is_empty")]
    #[schema(required = false)]
    pub found: Found,
}

/// How far a kill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub kill: KillId,
    /// The number of its last event.
    pub seq: i32,
    /// Whether nothing more is to be waited for: its status is final, or nobody looks after it any more.
    pub is_over: bool,
}

impl Audit {
    /// The events of a kill after number `after`, oldest first.
    pub async fn events(&self, kill: KillId, after: i32) -> Result<Vec<KillEvent>, AuditError> {
        on_engine!(self, readers / readers, events(kill, after))
    }

    /// How far these kills have come; those that are not there are left out.
    pub async fn progress(&self, kills: &[KillId]) -> Result<Vec<Progress>, AuditError> {
        let kills = kills.to_vec();
        on_engine!(self, readers / readers, progress(&kills))
    }
}

/// An event as either engine reads it.
#[derive(FromRow)]
pub(super) struct EventRow {
    seq: i32,
    at: Timestamp,
    kind: String,
    status: String,
    detail: Json<Value>,
}

impl EventRow {
    /// A part of the detail that does not read as what it should be is left out.
    pub(super) fn read(self) -> KillEvent {
        let Self { seq, at, kind, status, detail: Json(detail) } = self;
        let moment = |value: &Value| value.as_i64().map(from_unix_millis);
        let look = moment(&detail["look"]["at"]).zip(detail["look"]["complete"].as_bool());
        let upstream: Option<Upstream> = part(&detail, "upstream");
        KillEvent {
            seq,
            at: at.0,
            kind,
            status,
            sessions: part(&detail, "sessions").unwrap_or_default(),
            upstream: upstream.filter(|upstream| *upstream != Upstream::default()),
            problem: part(&detail, "problem"),
            calls: part(&detail, "calls").unwrap_or_default(),
            look: look.map(|(at, complete)| LookEvent {
                at,
                complete,
                found: part(&detail["look"], "found").unwrap_or_default(),
            }),
            verified_at: moment(&detail["verified_at"]),
        }
    }
}

fn part<T: DeserializeOwned>(detail: &Value, name: &str) -> Option<T> {
    T::deserialize(detail.get(name)?).ok()
}

/// What is known of a kill's progress, as either engine reads it.
#[derive(FromRow)]
pub(super) struct ProgressRow {
    id: KillId,
    status: String,
    seq: Option<i32>,
    is_held: bool,
}

impl ProgressRow {
    pub(super) fn read(self) -> Progress {
        // Whoever spoiled the word has at least ended the wait.
        let is_final = Status::parse(&self.status).is_none_or(Status::is_final);
        Progress { kill: self.id, seq: self.seq.unwrap_or(0), is_over: is_final || !self.is_held }
    }
}

pub(super) const EVENTS: &str =
    "SELECT seq, at, kind, status, detail FROM kill_events WHERE kill_id = $1 AND seq > $2 ORDER BY seq";

/// How far kills have come; `$which` says which.
macro_rules! progress_of {
    ($which:literal) => {
        concat!(
            "SELECT k.id, k.status, (SELECT max(e.seq) FROM kill_events e WHERE e.kill_id = k.id) AS seq, \
             EXISTS (SELECT 1 FROM kill_leases l WHERE l.kill_id = k.id) AS is_held FROM kills k WHERE k.id ",
            $which
        )
    };
}
pub(super) use progress_of;

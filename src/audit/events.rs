//! The events of a kill as whoever asked for it may see them, and how far kills have come.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Audit, AuditError, on_engine, postgres, sqlite};
use crate::domain::{Found, KillId, Problem, Sent, Session, Status, Unlisted, Upstream};

/// One change of a kill, without what concerns the gateways alone.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct KillEvent {
    /// 1, 2, 3 … without gaps within a kill.
    pub seq: i32,
    #[serde(with = "crate::clock::rfc3339")]
    pub at: OffsetDateTime,
    /// `recorded`, `looked`, `sent`, `answered`, `abandoned`.
    #[schema(example = "answered")]
    pub kind: String,
    /// The kill's status from then on.
    #[schema(value_type = Status)]
    pub status: String,
    /// The sessions of which it tells something new, where there are any.
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
    #[serde(with = "crate::clock::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<OffsetDateTime>,
}

/// A look at the sessions of a target before a kill, as its event has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LookEvent {
    #[serde(with = "crate::clock::rfc3339")]
    pub at: OffsetDateTime,
    /// False where the vendor's list was cut off.
    pub complete: bool,
    /// Coordinates that were not asked for and that the look found out, such as the node that was the primary then: that
    /// is where the kill goes.
    #[serde(skip_serializing_if = "Found::is_empty")]
    #[schema(required = false)]
    pub found: Found,
    /// Shards or nodes that could not be listed whole, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub unlisted: Vec<Unlisted>,
}

/// How far a kill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub kill: KillId,
    /// The number of its last event.
    pub seq: i32,
    /// Whether nothing more is to be waited for: its status is final, or nobody looks after it any more.
    pub is_over: bool,
    /// Whether its record will learn nothing more: it is settled or closed.
    pub has_ended: bool,
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

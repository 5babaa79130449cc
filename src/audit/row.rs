//! How a row reads as a kill, on either engine.

use serde_json::Value;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type, types::Json};
use uuid::Uuid;

use super::{record::Open, timestamp::Timestamp};
use crate::clock::unix_millis;
use crate::domain::{Found, Kill, KillId, Look, Problem, Session, Status, Upstream};

/// The columns every reading query selects from `kills k`; `$sessions` is the engine's way to gather the sessions
/// as one JSON array.
macro_rules! kill_columns {
    ($sessions:literal) => {
        concat!(
            "k.id, k.status, k.caller, k.on_behalf_of, k.actor, k.reason, k.target, k.selector, k.requested_at, ",
            "k.looked_at, k.list_complete, k.sent_at, k.completed_at, k.verified_at, k.confirms, k.upstream_http_status, k.upstream_request_id, k.upstream_task_id, ",
            "k.upstream_evidence_url, k.upstream_error_code, k.upstream_error_message, k.problem, ",
            "CASE WHEN k.looked_at IS NOT NULL THEN (SELECT max(CAST(e.detail ->> 'left_at' AS bigint)) FROM kill_events e \
             WHERE e.kill_id = k.id) END AS left_at, ",
            "(SELECT r.returned FROM kill_returns r WHERE r.kill_id = k.id ORDER BY r.look DESC LIMIT 1) AS returned, ",
            $sessions,
            " AS sessions"
        )
    };
}
pub(super) use kill_columns;

#[derive(FromRow)]
pub(super) struct KillRow {
    id: Uuid,
    status: String,
    caller: String,
    on_behalf_of: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
    target: Option<Json<Value>>,
    selector: Option<Json<Value>>,
    requested_at: Timestamp,
    looked_at: Option<Timestamp>,
    list_complete: Option<bool>,
    sent_at: Option<Timestamp>,
    left_at: Option<i64>,
    completed_at: Option<Timestamp>,
    verified_at: Option<Timestamp>,
    confirms: Option<Uuid>,
    upstream_http_status: Option<i32>,
    upstream_request_id: Option<String>,
    upstream_task_id: Option<String>,
    upstream_evidence_url: Option<String>,
    upstream_error_code: Option<String>,
    upstream_error_message: Option<String>,
    problem: Option<Json<Problem>>,
    returned: Option<i32>,
    sessions: Json<Vec<Session>>,
}

/// A kill with what whoever settles it must know.
#[derive(FromRow)]
pub(super) struct OpenRow {
    #[sqlx(flatten)]
    kill: KillRow,
    request: Option<String>,
    dry_run: bool,
}

/// The kill a key stands for, and what was asked under it.
#[derive(FromRow)]
pub(super) struct KeyRow {
    #[sqlx(flatten)]
    kill: KillRow,
    fingerprint: Vec<u8>,
}

impl KillRow {
    pub(super) fn read(self) -> sqlx::Result<Kill> {
        let status = Status::parse(&self.status).ok_or_else(|| damaged("status"))?;
        let http_status = self.upstream_http_status.map(u16::try_from).transpose();
        let returned = self.returned.map(u32::try_from).transpose();
        Ok(Kill {
            id: self.id,
            status,
            target: self.target.map(|json| json.0),
            select: self.selector.map(|json| json.0),
            sessions: self.sessions.0,
            caller: self.caller,
            on_behalf_of: self.on_behalf_of,
            actor: self.actor,
            reason: self.reason,
            upstream: Upstream {
                http_status: http_status.map_err(|_| damaged("upstream_http_status"))?,
                request_id: self.upstream_request_id,
                task_id: self.upstream_task_id,
                evidence_url: self.upstream_evidence_url,
                error_code: self.upstream_error_code,
                error_message: self.upstream_error_message,
            },
            problem: self.problem.map(|json| json.0),
            look: self.looked_at.zip(self.list_complete).map(|(at, complete)| {
                // Until it is known when the last call left, it may have left from the mark on.
                let left_at = self.left_at.or_else(|| Some(unix_millis(self.sent_at?.0)));
                let to_kill_ms = left_at.map(|left| left - unix_millis(at.0)).filter(|time| *time >= 0);
                Look { at: at.0, complete, to_kill_ms }
            }),
            found: Found::new(),
            confirms: self.confirms,
            requested_at: self.requested_at.0,
            completed_at: self.completed_at.map(|at| at.0),
            verified_at: self.verified_at.map(|at| at.0),
            returned: returned.map_err(|_| damaged("returned"))?,
        })
    }
}

impl OpenRow {
    pub(super) fn read(self) -> sqlx::Result<Open> {
        let sent_at = self.kill.sent_at.map(|at| at.0);
        Ok(Open { kill: self.kill.read()?, request: self.request, dry_run: self.dry_run, sent_at })
    }
}

/// Said of an open kill that cannot be read.
pub(super) const NOT_SETTLED: &str = "an open kill cannot be read, so it is left alone";

impl KeyRow {
    pub(super) fn read(self, fingerprint: &[u8; 32]) -> sqlx::Result<super::Begun> {
        let same_request = self.fingerprint == fingerprint;
        Ok(super::Begun::Existing { kill: Box::new(self.kill.read()?), same_request })
    }
}

/// What those rows hold, as far as each can be read. One that cannot, such as one that a newer gateway wrote in words of
/// its own, is logged as `left_out` says and left alone, and keeps no other from being read.
pub(super) fn readable<'r, R, T, O>(rows: &'r [R], read: fn(T) -> sqlx::Result<O>, left_out: &str) -> Vec<O>
where
    R: Row,
    T: FromRow<'r, R>,
    KillId: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    let read = |row: &'r R| {
        T::from_row(row).and_then(read).inspect_err(|error| {
            let kill_id = row.try_get::<KillId, _>("id").ok().map(tracing::field::display);
            tracing::error!(kill_id, %error, "{left_out}");
        })
    };
    rows.iter().filter_map(|row| read(row).ok()).collect()
}

fn damaged(column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: "not a known word or number".into() }
}

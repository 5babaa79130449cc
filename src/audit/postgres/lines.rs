//! Many kills with everything that is on record about them.
//!
//! The kills, their sessions and their events are three statements. One that gathers them as JSON takes almost three
//! times as long, and all that is recorded is read here once, to be sealed. The statements name the lowest and the
//! highest id too: else each of the ids is looked for in every month.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, postgres::PgArguments, query::QueryAs, types::Json};
use uuid::Uuid;

use crate::audit::{
    line::{Line, LineEvent, LineRow, LineSession, line_columns, written},
    sealed::Standing,
    timestamp::Timestamp,
};

/// The kills that are there; as of one moment only where nobody else can change them, or in a transaction that sees one.
pub(super) async fn lines(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Line>> {
    let kills: Vec<LineRow> = by_ids(KILLS, ids).fetch_all(&mut *connection).await?;
    let mut rest = Rest::of(connection, ids).await?;
    Ok(kills.into_iter().map(|kill| rest.complete(kill)).collect())
}

/// How those that are there stand, in such a transaction.
pub(super) async fn standing(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Standing>> {
    let kills: Vec<StandingRow> = by_ids(STANDING, ids).fetch_all(&mut *connection).await?;
    let mut rest = Rest::of(connection, ids).await?;
    Ok(kills
        .into_iter()
        .map(|StandingRow { line, waits, is_held }| Standing::Kill {
            line: Box::new(rest.complete(line)),
            waits,
            is_held,
        })
        .collect())
}

/// What belongs to kills, by kill.
struct Rest {
    sessions: HashMap<Uuid, Vec<LineSession>>,
    events: HashMap<Uuid, Vec<LineEvent>>,
}

impl Rest {
    async fn of(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Self> {
        let mut rest = Self { sessions: HashMap::with_capacity(ids.len()), events: HashMap::with_capacity(ids.len()) };
        let sessions: Vec<SessionRow> = by_ids(SESSIONS, ids).fetch_all(&mut *connection).await?;
        for SessionRow { kill_id, session_id: id, outcome, detail, identity } in sessions {
            let identity = identity.map(|json| json.0);
            rest.sessions.entry(kill_id).or_default().push(LineSession { id, outcome, detail, identity });
        }
        let events: Vec<EventRow> = by_ids(EVENTS, ids).fetch_all(connection).await?;
        for EventRow { kill_id, seq, at, kind, status, gateway, detail } in events {
            let (at, detail) = (written(at.0), detail.0);
            rest.events.entry(kill_id).or_default().push(LineEvent { seq, at, kind, status, gateway, detail });
        }
        Ok(rest)
    }

    fn complete(&mut self, kill: LineRow) -> Line {
        let id = kill.id;
        kill.with(self.sessions.remove(&id).unwrap_or_default(), self.events.remove(&id).unwrap_or_default())
    }
}

/// `$1` are the ids, `$2` the lowest of them, `$3` the highest.
fn by_ids<'q, R>(sql: &'static str, ids: &'q [Uuid]) -> QueryAs<'q, Postgres, R, PgArguments>
where
    R: for<'r> FromRow<'r, sqlx::postgres::PgRow>,
{
    sqlx::query_as(sql).bind(ids).bind(ids.iter().min()).bind(ids.iter().max())
}

#[derive(FromRow)]
struct StandingRow {
    #[sqlx(flatten)]
    line: LineRow,
    waits: bool,
    is_held: bool,
}

#[derive(FromRow)]
struct SessionRow {
    kill_id: Uuid,
    session_id: String,
    outcome: String,
    detail: Option<String>,
    identity: Option<Json<Value>>,
}

#[derive(FromRow)]
struct EventRow {
    kill_id: Uuid,
    seq: i32,
    at: Timestamp,
    kind: String,
    status: String,
    gateway: Option<String>,
    detail: Json<Value>,
}

const KILLS: &str =
    concat!("SELECT ", line_columns!(), " FROM kills k WHERE k.id = ANY($1) AND k.id BETWEEN $2 AND $3");

/// The same, and whether a kill is to be sealed, as all are before there is a key, or still worked on.
const STANDING: &str = concat!(
    "SELECT ",
    line_columns!(),
    ", u.entry_id IS NOT NULL \
       OR NOT EXISTS (SELECT FROM blocks) AND NOT EXISTS (SELECT FROM sealing WHERE since IS NOT NULL) AS waits, \
     l.kill_id IS NOT NULL AS is_held FROM kills k \
     LEFT JOIN unsealed u ON u.entry_id = k.id LEFT JOIN kill_leases l ON l.kill_id = k.id \
     WHERE k.id = ANY($1) AND k.id BETWEEN $2 AND $3"
);

const SESSIONS: &str = "
    SELECT kill_id, session_id, outcome, detail, identity FROM kill_sessions
    WHERE kill_id = ANY($1) AND kill_id BETWEEN $2 AND $3 ORDER BY kill_id, position, session_id";

const EVENTS: &str = "
    SELECT kill_id, seq, at, kind, status, gateway, detail FROM kill_events
    WHERE kill_id = ANY($1) AND kill_id BETWEEN $2 AND $3 ORDER BY kill_id, seq";

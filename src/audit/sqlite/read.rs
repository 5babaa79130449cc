//! Reading and claiming on SQLite.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{BEGIN, columns, select};
use crate::{
    audit::{
        Count, Filter, Grouping, Line, Open, Page,
        line::{WholeRow, line_columns, whole_columns},
        page::{Dialect, PageRow},
        row::{KillRow, NOT_SETTLED, OpenRow, kill_columns, readable},
        stats::CountRow,
        timestamp::Timestamp,
    },
    domain::{Kill, KillId},
};

pub(in crate::audit) async fn find(connection: &mut SqliteConnection, id: KillId) -> sqlx::Result<Option<Kill>> {
    let row: Option<KillRow> = sqlx::query_as(FIND).bind(id).fetch_optional(connection).await?;
    row.map(KillRow::read).transpose()
}

const FIND: &str = select!(" FROM kills k WHERE k.id = $1");

pub(in crate::audit) async fn page(
    connection: &mut SqliteConnection,
    filter: &Filter,
    limit: u32,
) -> sqlx::Result<Page> {
    let mut query = filter.query::<sqlx::Sqlite>(columns!(), &DIALECT, limit);
    let rows: Vec<PageRow<KillRow>> = query.build_query_as().fetch_all(connection).await?;
    Page::of(rows, filter, KillRow::read, |kill| kill.id)
}

pub(in crate::audit) async fn lines(
    connection: &mut SqliteConnection,
    filter: &Filter,
    limit: u32,
) -> sqlx::Result<Page<Line>> {
    let mut query = filter.query::<sqlx::Sqlite>(LINE, &DIALECT, limit);
    let rows: Vec<PageRow<WholeRow>> = query.build_query_as().fetch_all(connection).await?;
    Page::of(rows, filter, |row| Ok(row.read()), |line| line.id)
}

pub(in crate::audit) async fn stats(
    connection: &mut SqliteConnection,
    filter: &Filter,
    grouping: &Grouping,
    limit: u32,
    within: Duration,
) -> sqlx::Result<Option<Vec<Count>>> {
    let deadline = Instant::now() + within;
    connection.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < deadline);
    let mut query = filter.count_query::<sqlx::Sqlite>(grouping, &DIALECT, limit);
    let counted = query.build_query_as().fetch_all(&mut *connection).await;
    connection.lock_handle().await?.remove_progress_handler();
    match counted {
        Ok(rows) => Ok(Some(rows.into_iter().map(CountRow::read).collect())),
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some(INTERRUPTED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// After so many steps of SQLite's machine it is asked whether there is time left.
const STEPS: i32 = 1000;
/// <https://www.sqlite.org/rescode.html#interrupt>
const INTERRUPTED: &str = "9";

/// There is one writer and no row is ever removed, so rows are numbered in the order of their commits.
pub(super) const DIALECT: Dialect = Dialect {
    seen: "(SELECT (unixepoch('now') * 1000) || ':0:' || (max(rowid) + 1) || ':' FROM kills)",
    mark: "k.rowid",
    session_mark: "(SELECT rowid FROM kills WHERE id = s.kill_id)",
    words: [" AND k.rowid IN (SELECT rowid FROM kill_reasons WHERE kill_reasons MATCH ", ")"],
    one_text: |words| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" "),
    hour: "k.requested_at / 3600000 * 3600000",
    day: "k.requested_at / 86400000 * 86400000",
};

/// The columns of a line.
macro_rules! line {
    () => {
        whole_columns!(
            "(SELECT json_group_array(json_object('id', s.session_id, 'outcome', s.outcome, 'detail', s.detail, \
              'identity', json(s.identity)) \
             ORDER BY s.position, s.session_id) FROM kill_sessions s WHERE s.kill_id = k.id)",
            "(SELECT json_group_array(json_object('seq', e.seq, 'at', e.at * 1000, 'kind', e.kind, 'status', e.status, \
             'gateway', e.gateway, 'detail', json(e.detail)) ORDER BY e.seq) \
             FROM kill_events e WHERE e.kill_id = k.id)"
        )
    };
}

pub(super) const LINE: &str = line!();

/// The lines of kills by their ids, which are given as JSON.
pub(super) const LINES_OF: &str =
    concat!("SELECT ", line!(), " FROM kills k WHERE k.id IN (SELECT unhex(value) FROM json_each($1))");

/// The same, and whether a kill is to be sealed, as all are before there is a key, or still worked on; as of one moment.
pub(super) const STANDING: &str = concat!(
    "SELECT ",
    line!(),
    ", EXISTS (SELECT 1 FROM unsealed WHERE entry_id = k.id) \
       OR NOT EXISTS (SELECT 1 FROM blocks) AND NOT EXISTS (SELECT 1 FROM sealing) AS waits, \
     EXISTS (SELECT 1 FROM kill_leases WHERE kill_id = k.id) AS is_held FROM kills k WHERE k.id IN (SELECT unhex(value) FROM json_each($1))"
);

/// One file holds all months.
pub(in crate::audit) async fn make_months(_: &mut SqliteConnection, _: OffsetDateTime) -> sqlx::Result<()> {
    Ok(())
}

pub(in crate::audit) async fn claim(
    connection: &mut SqliteConnection,
    gateway: &str,
    now: OffsetDateTime,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Open>> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let mut taken: Vec<KillId> = sqlx::query_scalar(CLAIM)
        .bind(gateway)
        .bind(Timestamp(now))
        .bind(Timestamp(now + lease))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    taken.sort_unstable();
    let mut rows = Vec::with_capacity(taken.len());
    for id in taken {
        rows.push(sqlx::query(CLAIMED).bind(id).fetch_one(&mut *tx).await?);
    }
    tx.commit().await?;
    Ok(readable(&rows, OpenRow::read, NOT_SETTLED))
}

const CLAIM: &str = "
    UPDATE kill_leases SET gateway = $1, due_at = $3
    WHERE kill_id IN (SELECT kill_id FROM kill_leases WHERE due_at <= $2 ORDER BY due_at LIMIT $4)
    RETURNING kill_id";

const CLAIMED: &str = select!(", k.request, k.dry_run FROM kills k WHERE k.id = $1");

pub(in crate::audit) async fn forget_keys(connection: &mut SqliteConnection, now: OffsetDateTime) -> sqlx::Result<u64> {
    Ok(sqlx::query(FORGET_KEYS).bind(Timestamp(now)).execute(connection).await?.rows_affected())
}

const FORGET_KEYS: &str = "DELETE FROM idempotency_keys WHERE expires_at <= $1";

/// Looks at the tables that a kill is written into and commits a row of bookkeeping, as each kill does.
pub(in crate::audit) async fn ping(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut tx = connection.begin_with(BEGIN).await?;
    sqlx::query(FIND).bind(KillId::nil()).fetch_optional(&mut *tx).await?;
    sqlx::query(TRY).execute(&mut *tx).await?;
    tx.commit().await
}

/// A disk that has room for a row may have none for a kill, whose request alone may have 64 KiB.
const TRY: &str = "UPDATE serving SET tried_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), room = zeroblob(65536)";

/// The version of the tables, and from which one on they may be served.
pub(in crate::audit) async fn versions(connection: &mut SqliteConnection) -> sqlx::Result<(Option<i64>, i64)> {
    sqlx::query_as(VERSIONS).fetch_one(connection).await
}

const VERSIONS: &str = "SELECT (SELECT max(version) FROM _sqlx_migrations WHERE success), from_version FROM serving";

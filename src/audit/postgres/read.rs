//! Reading and claiming on Postgres.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use super::{attempts::record_together, columns, select, write::conclude};
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

pub(in crate::audit) async fn find(connection: &mut PgConnection, id: KillId) -> sqlx::Result<Option<Kill>> {
    let row: Option<KillRow> = sqlx::query_as(FIND).bind(id).fetch_optional(connection).await?;
    row.map(KillRow::read).transpose()
}

const FIND: &str = select!(" FROM kills k WHERE k.id = $1");

pub(in crate::audit) async fn page(connection: &mut PgConnection, filter: &Filter, limit: u32) -> sqlx::Result<Page> {
    let mut query = filter.query::<sqlx::Postgres>(columns!(), &DIALECT, limit);
    let rows: Vec<PageRow<KillRow>> = query.build_query_as().fetch_all(connection).await?;
    Page::of(rows, filter, KillRow::read, |kill| kill.id)
}

/// The statement of a page, with `$1` and so on where its values go.
pub(in crate::audit) fn page_sql(filter: &Filter, limit: u32) -> String {
    filter.query::<sqlx::Postgres>(columns!(), &DIALECT, limit).sql().as_str().to_owned()
}

pub(in crate::audit) async fn lines(
    connection: &mut PgConnection,
    filter: &Filter,
    limit: u32,
) -> sqlx::Result<Page<Line>> {
    let mut query = filter.query::<sqlx::Postgres>(LINE, &DIALECT, limit);
    let rows: Vec<PageRow<WholeRow>> = query.build_query_as().fetch_all(connection).await?;
    Page::of(rows, filter, |row| Ok(row.read()), |line| line.id)
}

pub(in crate::audit) async fn stats(
    connection: &mut PgConnection,
    filter: &Filter,
    grouping: &Grouping,
    limit: u32,
    within: Duration,
) -> sqlx::Result<Option<Vec<Count>>> {
    let mut tx = connection.begin_with("BEGIN READ ONLY").await?;
    sqlx::query(WITHIN).bind(i32::try_from(within.as_millis()).unwrap_or(i32::MAX)).execute(&mut *tx).await?;
    let mut query = filter.count_query::<sqlx::Postgres>(grouping, &DIALECT, limit);
    let counted = query.build_query_as().fetch_all(&mut *tx).await;
    tx.rollback().await?;
    match counted {
        Ok(rows) => Ok(Some(rows.into_iter().map(CountRow::read).collect())),
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some("57014") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Cancels what takes longer, where nothing else does sooner.
const WITHIN: &str = "
    SELECT set_config('statement_timeout', least($1, setting::integer)::text, true)
    FROM pg_settings WHERE name = 'statement_timeout'";

/// What a page sees is what its statement's own snapshot holds.
pub(super) const DIALECT: Dialect = Dialect {
    seen: "(SELECT (extract(epoch FROM now()) * 1000)::bigint || ':' || pg_current_snapshot())",
    mark: "k.recorded_in",
    session_mark: "s.recorded_in",
    words: [" AND k.words <> '{}' AND k.words @> string_to_array(", ", ' ')"],
    one_text: |words| words.join(" "),
    hour: "floor(extract(epoch FROM k.requested_at) / 3600)::bigint * 3600000",
    day: "floor(extract(epoch FROM k.requested_at) / 86400)::bigint * 86400000",
};

const LINE: &str = whole_columns!(
    "coalesce((SELECT json_agg(json_build_object('id', s.session_id, 'outcome', s.outcome, 'detail', s.detail, 'identity', s.identity) \
     ORDER BY s.position, s.session_id) FROM kill_sessions s WHERE s.kill_id = k.id), '[]')",
    "coalesce((SELECT json_agg(json_build_object('seq', e.seq, 'at', (extract(epoch FROM e.at) * 1000000)::bigint, \
     'kind', e.kind, 'status', e.status, 'gateway', e.gateway, 'detail', e.detail) ORDER BY e.seq) \
     FROM kill_events e WHERE e.kill_id = k.id), '[]')"
);

/// How many months there is room for: this one and the next ones.
const MONTHS: i32 = 3;

pub(in crate::audit) async fn make_months(connection: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(MAKE_MONTHS).bind(Timestamp(now)).bind(MONTHS).execute(connection).await?;
    Ok(())
}

/// Waiting for those who read the tables would hold up everybody who comes after.
pub(super) const MAKE_MONTHS: &str =
    "SELECT make_months($1, $2) FROM set_config('lock_timeout', '2s', true) AS patience";

pub(in crate::audit) async fn claim(
    connection: &mut PgConnection,
    gateway: &str,
    now: OffsetDateTime,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Open>> {
    let mut tx = connection.begin().await?;
    let taken: Vec<KillId> = sqlx::query_scalar(CLAIM)
        .bind(gateway)
        .bind(Timestamp(now))
        .bind(Timestamp(now + lease))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    let rows = sqlx::query(CLAIMED).bind(taken).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(readable(&rows, OpenRow::read, NOT_SETTLED))
}

const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT kill_id FROM kill_leases WHERE due_at <= $2 ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
    )
    UPDATE kill_leases SET gateway = $1, due_at = $3 FROM due WHERE kill_leases.kill_id = due.kill_id
    RETURNING kill_leases.kill_id";

const CLAIMED: &str = select!(", k.request, k.dry_run FROM kills k WHERE k.id = ANY($1) ORDER BY k.id");

pub(in crate::audit) async fn forget_keys(connection: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<u64> {
    Ok(sqlx::query(FORGET_KEYS).bind(Timestamp(now)).execute(connection).await?.rows_affected())
}

/// Those that somebody is just about to claim or release are left for another time.
const FORGET_KEYS: &str = "
    DELETE FROM idempotency_keys WHERE (caller, key) IN (
        SELECT caller, key FROM idempotency_keys WHERE expires_at <= $1 FOR UPDATE SKIP LOCKED
    )";

/// Does everything that recording and concluding do, with no kill, and commits a row of bookkeeping: so all tables are there
/// with their columns, may be written, are not locked, and a commit is done in time.
pub(in crate::audit) async fn ping(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut tx = connection.begin().await?;
    record_together(&mut tx, &[], Duration::ZERO).await?;
    conclude(&mut tx, &[]).await?;
    sqlx::query(TRY).execute(&mut *tx).await?;
    tx.commit().await
}

/// More than a page: a table that cannot grow any more takes no kills, and may still have room for a small row.
const TRY: &str = "UPDATE serving SET tried_at = clock_timestamp(), room = decode(repeat('00', 8192), 'hex')";

/// The version of the tables, and from which one on they may be served.
pub(super) const VERSIONS: &str =
    "SELECT (SELECT max(version) FROM _sqlx_migrations WHERE success), from_version FROM serving";

//! Reading and claiming on SQLite.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use time::OffsetDateTime;

use super::{BEGIN, select};
use crate::{
    audit::{
        Filter, Open, Page,
        moment::Moment,
        row::{KillRow, OpenRow, kill_columns},
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
    let mut query = filter.query::<sqlx::Sqlite>(select!(" FROM kills k"), limit.saturating_add(1));
    let rows: Vec<KillRow> = query.build_query_as().fetch_all(connection).await?;
    Ok(Page::of(rows.into_iter().map(KillRow::read).collect::<sqlx::Result<_>>()?, limit))
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
        .bind(Moment(now))
        .bind(Moment(now + lease))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    taken.sort_unstable();
    let mut open = Vec::with_capacity(taken.len());
    for id in taken {
        let row: OpenRow = sqlx::query_as(CLAIMED).bind(id).fetch_one(&mut *tx).await?;
        open.push(row.read()?);
    }
    tx.commit().await?;
    Ok(open)
}

const CLAIM: &str = "
    UPDATE kill_leases SET gateway = $1, due_at = $3
    WHERE kill_id IN (SELECT kill_id FROM kill_leases WHERE due_at <= $2 ORDER BY due_at LIMIT $4)
    RETURNING kill_id";

const CLAIMED: &str = select!(", k.request, k.dry_run, k.sent_at FROM kills k WHERE k.id = $1");

pub(in crate::audit) async fn forget_keys(connection: &mut SqliteConnection, now: OffsetDateTime) -> sqlx::Result<u64> {
    Ok(sqlx::query(FORGET_KEYS).bind(Moment(now)).execute(connection).await?.rows_affected())
}

const FORGET_KEYS: &str = "DELETE FROM idempotency_keys WHERE expires_at <= $1";

/// True where kills could be written: takes the write lock for a moment and looks at the table.
pub(in crate::audit) async fn ping(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let mut tx = connection.begin_with(BEGIN).await?;
    sqlx::query(PING).fetch_optional(&mut *tx).await?;
    tx.rollback().await?;
    Ok(true)
}

const PING: &str = "SELECT 1 FROM kills LIMIT 1";

//! Sealing on Postgres, and reading what was sealed.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    audit::{
        Removal,
        moment::Moment,
        removal::RemovalRow,
        sealed::{BlockRow, HeadRow, head_columns},
    },
    seal::{Block, Checkpoint},
};

pub(in crate::audit) async fn blocks(
    connection: &mut PgConnection,
    after: i64,
    limit: u32,
) -> sqlx::Result<Vec<Block>> {
    let rows: Vec<BlockRow> = sqlx::query_as(BLOCKS).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.into_iter().map(BlockRow::read).collect()
}

const BLOCKS: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", cardinality(entries)::bigint AS count, entries, versions, leaves \
     FROM blocks WHERE number > $1 ORDER BY number LIMIT $2"
);

pub(in crate::audit) async fn heads(
    connection: &mut PgConnection,
    after: i64,
    limit: u32,
) -> sqlx::Result<Vec<Checkpoint>> {
    let rows: Vec<HeadRow> = sqlx::query_as(HEADS).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.into_iter().map(HeadRow::read).collect()
}

const HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", cardinality(entries)::bigint AS count FROM blocks WHERE number > $1 ORDER BY number LIMIT $2"
);

/// The number of the newest block; 0 where there is none.
pub(in crate::audit) async fn newest_block(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(NEWEST).fetch_one(connection).await
}

const NEWEST: &str = "SELECT coalesce(max(number), 0) FROM blocks";

/// The number of the last block before the first one that was sealed at that time or later.
pub(in crate::audit) async fn block_before(connection: &mut PgConnection, at: OffsetDateTime) -> sqlx::Result<i64> {
    sqlx::query_scalar(BEFORE).bind(Moment(at)).fetch_one(connection).await
}

const BEFORE: &str =
    "SELECT coalesce(min(number) - 1, (SELECT coalesce(max(number), 0) FROM blocks)) FROM blocks WHERE sealed_at >= $1";

pub(in crate::audit) async fn removals(connection: &mut PgConnection) -> sqlx::Result<Vec<Removal>> {
    let rows: Vec<RemovalRow> = sqlx::query_as(REMOVALS).fetch_all(connection).await?;
    Ok(rows.into_iter().map(RemovalRow::read).collect())
}

const REMOVALS: &str = "
    SELECT id, month::text AS month, kills, first_kill, last_kill, removed_at, removed_by, reason
    FROM removals ORDER BY month";

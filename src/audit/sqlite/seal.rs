//! Sealing on SQLite, and reading what was sealed.

use sqlx::SqliteConnection;
use time::OffsetDateTime;

use crate::{
    audit::{
        Removal,
        moment::Moment,
        sealed::{BlockRow, HeadRow, head_columns},
    },
    seal::{Block, Checkpoint},
};

pub(in crate::audit) async fn blocks(
    connection: &mut SqliteConnection,
    after: i64,
    limit: u32,
) -> sqlx::Result<Vec<Block>> {
    let rows: Vec<BlockRow> = sqlx::query_as(BLOCKS).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.into_iter().map(BlockRow::read).collect()
}

const BLOCKS: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", length(entries) / 16 AS count, entries, versions, leaves \
     FROM blocks WHERE number > $1 ORDER BY number LIMIT $2"
);

pub(in crate::audit) async fn heads(
    connection: &mut SqliteConnection,
    after: i64,
    limit: u32,
) -> sqlx::Result<Vec<Checkpoint>> {
    let rows: Vec<HeadRow> = sqlx::query_as(HEADS).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.into_iter().map(HeadRow::read).collect()
}

const HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", length(entries) / 16 AS count FROM blocks WHERE number > $1 ORDER BY number LIMIT $2"
);

/// There are no months to remove in one file.
/// The number of the newest block; 0 where there is none.
pub(in crate::audit) async fn newest_block(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(NEWEST).fetch_one(connection).await
}

const NEWEST: &str = "SELECT coalesce(max(number), 0) FROM blocks";

/// The number of the last block before the first one that was sealed at that time or later.
pub(in crate::audit) async fn block_before(connection: &mut SqliteConnection, at: OffsetDateTime) -> sqlx::Result<i64> {
    sqlx::query_scalar(BEFORE).bind(Moment(at)).fetch_one(connection).await
}

const BEFORE: &str =
    "SELECT coalesce(min(number) - 1, (SELECT coalesce(max(number), 0) FROM blocks)) FROM blocks WHERE sealed_at >= $1";

pub(in crate::audit) async fn removals(_: &mut SqliteConnection) -> sqlx::Result<Vec<Removal>> {
    Ok(Vec::new())
}

//! Sealing on SQLite, and reading what was sealed.

use sqlx::SqliteConnection;

use crate::{
    audit::{
        Removal,
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
pub(in crate::audit) async fn removals(_: &mut SqliteConnection) -> sqlx::Result<Vec<Removal>> {
    Ok(Vec::new())
}

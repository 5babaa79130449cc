//! Sealing on Postgres, and reading what was sealed.

use sqlx::PgConnection;

use crate::{
    audit::{
        Removal,
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

pub(in crate::audit) async fn removals(connection: &mut PgConnection) -> sqlx::Result<Vec<Removal>> {
    let rows: Vec<RemovalRow> = sqlx::query_as(REMOVALS).fetch_all(connection).await?;
    Ok(rows.into_iter().map(RemovalRow::read).collect())
}

const REMOVALS: &str = "
    SELECT id, month::text AS month, kills, first_kill, last_kill, removed_at, removed_by, reason
    FROM removals ORDER BY month";

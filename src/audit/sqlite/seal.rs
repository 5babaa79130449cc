//! Sealing on SQLite, and reading what was sealed.

use sqlx::{Connection, SqliteConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    BEGIN,
    read::{among, as_json},
};
use crate::{
    audit::{
        Removal, Sealing,
        sealed::{BlockRow, HeadRow, add_block, hashes, head_columns, is_sound, leaves},
        sql::BLOCK_BEFORE,
        timestamp::Timestamp,
    },
    chain::{Block, Checkpoint, Leaf},
};

/// What is to be sealed, as it stood when it was read.
#[derive(Debug)]
pub(in crate::audit) struct Due {
    entries: Vec<Uuid>,
    pub(in crate::audit) leaves: Vec<Leaf>,
    pub(in crate::audit) last: Option<Checkpoint>,
}

/// Reads up to `most` of what is to be sealed. Nobody is kept from writing meanwhile.
pub(in crate::audit) async fn due(connection: &mut SqliteConnection, most: u32) -> sqlx::Result<Option<Due>> {
    let mut tx = connection.begin().await?;
    let entries: Vec<Uuid> = sqlx::query_scalar(DUE).bind(i64::from(most)).fetch_all(&mut *tx).await?;
    let found = among(&mut tx, &entries).await?;
    let lines: Vec<_> = found.into_iter().filter_map(|(_, folded)| Some(folded.ok()?.line())).collect();
    let last = last_head(&mut tx).await?;
    tx.rollback().await?;
    if entries.is_empty() {
        return Ok(None);
    }
    is_sound(last.as_ref())?;
    Ok(Some(Due { leaves: leaves(lines, Vec::new(), &entries).await, entries, last }))
}

/// Lets everything that nobody works on wait to be sealed from now on, what was recorded so far included; true if nothing did
/// until now.
pub(in crate::audit) async fn begin_sealing(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let begun = sqlx::query(BEGIN_SEALING).execute(&mut *tx).await?.rows_affected() > 0;
    if begun {
        sqlx::query(ALL_REST).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(begun)
}

const BEGIN_SEALING: &str = "
    INSERT INTO sealing (turn, since) VALUES (1, CAST(unixepoch('subsec') * 1000 AS INTEGER)) ON CONFLICT DO NOTHING";

const ALL_REST: &str = "
    INSERT INTO unsealed (entry_id)
    SELECT kill_id FROM kill_log WHERE seq = 1 AND kill_id NOT IN (SELECT kill_id FROM kill_leases)
    ON CONFLICT DO NOTHING";

const DUE: &str = "SELECT entry_id FROM unsealed ORDER BY entry_id LIMIT $1";

const LAST: &str =
    concat!("SELECT ", head_columns!(), ", length(entries) / 16 AS count FROM blocks ORDER BY number DESC LIMIT 1");

/// Adds the block, unless anything it is made of has changed since it was read; then nothing happens.
pub(in crate::audit) async fn add(
    connection: &mut SqliteConnection,
    due: &Due,
    block: &Block,
) -> sqlx::Result<Sealing> {
    let Block { head, signature, leaves } = block;
    let mut tx = connection.begin_with(BEGIN).await?;
    let taken = sqlx::query(TAKE).bind(as_json(&due.entries)).execute(&mut *tx).await?;
    let last: Option<i64> = sqlx::query_scalar(LAST_NUMBER).fetch_one(&mut *tx).await?;
    if taken.rows_affected() != due.entries.len() as u64 || last.unwrap_or(0) + 1 != head.number {
        tx.rollback().await?;
        return Ok(Sealing::Elsewhere);
    }
    sqlx::query(add_block!())
        .bind(head.number)
        .bind(Timestamp(head.sealed_at))
        .bind(head.total)
        .bind(head.listing.as_slice())
        .bind(head.root.as_slice())
        .bind(head.previous.as_slice())
        .bind(head.public_key.as_slice())
        .bind(signature.as_slice())
        .bind(leaves.iter().flat_map(|leaf| *leaf.id.as_bytes()).collect::<Vec<u8>>())
        .bind(Json(leaves.iter().map(|leaf| leaf.version).collect::<Vec<_>>()))
        .bind(hashes(leaves))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Sealing::Sealed { block: head.number, entries: i64::try_from(due.entries.len()).unwrap_or(i64::MAX) })
}

const TAKE: &str = "DELETE FROM unsealed WHERE entry_id IN (SELECT unhex(value) FROM json_each($1))";

const LAST_NUMBER: &str = "SELECT max(number) FROM blocks";

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

/// The number of the last block before the first one that was sealed at that time or later.
pub(in crate::audit) async fn block_before(connection: &mut SqliteConnection, at: OffsetDateTime) -> sqlx::Result<i64> {
    sqlx::query_scalar(BLOCK_BEFORE).bind(Timestamp(at)).fetch_one(connection).await
}

/// There are no months to remove in one file.
pub(in crate::audit) async fn removals(_: &mut SqliteConnection) -> sqlx::Result<Vec<Removal>> {
    Ok(Vec::new())
}

/// The last block's head.
pub(in crate::audit) async fn last_head(connection: &mut SqliteConnection) -> sqlx::Result<Option<Checkpoint>> {
    let row: Option<HeadRow> = sqlx::query_as(LAST).fetch_optional(connection).await?;
    row.map(HeadRow::read).transpose()
}

/// For how many seconds the oldest of up to `most` entries that are to be sealed next has waited; `None` if none waits.
pub(in crate::audit) async fn waits_for(connection: &mut SqliteConnection, most: u32) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(WAITS_FOR).bind(i64::from(most)).fetch_one(connection).await
}

const WAITS_FOR: &str = "
    SELECT max(unixepoch() - min(since) / 1000, 0) FROM (SELECT since FROM unsealed ORDER BY entry_id LIMIT $1)";

/// Those of them that are to be sealed.
pub(in crate::audit) async fn waiting(connection: &mut SqliteConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(WAITING).bind(as_json(ids)).fetch_all(connection).await
}

const WAITING: &str = "SELECT entry_id FROM unsealed WHERE entry_id IN (SELECT unhex(value) FROM json_each($1))";

//! Sealing on SQLite, and reading what was sealed.

use sqlx::{Connection, FromRow, SqliteConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    BEGIN,
    read::{LINES_OF, STANDING},
};
use crate::{
    audit::{
        Removal, Sealing, Standing,
        line::{Line, WholeRow},
        sealed::{BlockRow, HeadRow, add_block, hashes, head_columns, is_damage, is_sound, leaves},
        sql::{BLOCK_BEFORE, IDS, IDS_AFTER},
        timestamp::Timestamp,
    },
    chain::{Block, Checkpoint, Leaf},
    domain::KillId,
};

/// What is to be sealed, as it stood when it was read.
#[derive(Debug)]
pub(in crate::audit) struct Due {
    entries: Vec<Entry>,
    pub(in crate::audit) leaves: Vec<Leaf>,
    pub(in crate::audit) last: Option<Checkpoint>,
}

#[derive(Debug, FromRow)]
struct Entry {
    entry_id: Uuid,
    times: i64,
}

/// Reads up to `most` of what is to be sealed. Nobody is kept from writing meanwhile.
pub(in crate::audit) async fn due(connection: &mut SqliteConnection, most: u32) -> sqlx::Result<Option<Due>> {
    let mut tx = connection.begin().await?;
    let entries: Vec<Entry> = sqlx::query_as(DUE).bind(i64::from(most)).fetch_all(&mut *tx).await?;
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.entry_id).collect();
    let lines = lines(&mut tx, &ids).await?;
    let last = last_head(&mut tx).await?;
    tx.rollback().await?;
    if entries.is_empty() {
        return Ok(None);
    }
    is_sound(last.as_ref())?;
    Ok(Some(Due { leaves: leaves(lines, Vec::new(), &ids).await, entries, last }))
}

/// Those of these kills that are there and can be read. Where some cannot, each is read by itself.
async fn lines(connection: &mut SqliteConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Line>> {
    match try_lines(connection, ids).await {
        Err(error) if is_damage(&error) => {}
        lines => return lines,
    }
    let mut readable = Vec::with_capacity(ids.len());
    for id in ids {
        match try_lines(connection, &[*id]).await {
            Err(error) if is_damage(&error) => {}
            lines => readable.extend(lines?),
        }
    }
    Ok(readable)
}

async fn try_lines(connection: &mut SqliteConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Line>> {
    let rows: Vec<WholeRow> = sqlx::query_as(LINES_OF).bind(as_json(ids)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(WholeRow::read).collect())
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
    INSERT INTO unsealed (entry_id) SELECT id FROM kills WHERE id NOT IN (SELECT kill_id FROM kill_leases)
    ON CONFLICT DO NOTHING";

const DUE: &str = "SELECT entry_id, times FROM unsealed ORDER BY entry_id LIMIT $1";

const LAST: &str =
    concat!("SELECT ", head_columns!(), ", length(entries) / 16 AS count FROM blocks ORDER BY number DESC LIMIT 1");

/// Ids as a statement takes many of them.
pub(super) fn as_json(ids: &[Uuid]) -> Json<Vec<String>> {
    Json(ids.iter().map(|id| id.simple().to_string()).collect())
}

/// Adds the block, unless anything it is made of has changed since it was read; then nothing happens.
pub(in crate::audit) async fn add(
    connection: &mut SqliteConnection,
    due: &Due,
    block: &Block,
) -> sqlx::Result<Sealing> {
    let Block { head, signature, leaves } = block;
    let mut tx = connection.begin_with(BEGIN).await?;
    let entries = due.entries.iter().map(|entry| (entry.entry_id.simple().to_string(), entry.times));
    let taken = sqlx::query(TAKE).bind(Json(entries.collect::<Vec<_>>())).execute(&mut *tx).await?;
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

const TAKE: &str = "
    DELETE FROM unsealed WHERE (entry_id, times) IN (SELECT unhex(value ->> 0), value ->> 1 FROM json_each($1))";

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

/// Up to `limit` ids of kills above `after`, or from the lowest on.
pub(in crate::audit) async fn ids(
    connection: &mut SqliteConnection,
    after: Option<KillId>,
    limit: u32,
) -> sqlx::Result<Vec<KillId>> {
    let limit = i64::from(limit);
    match after {
        Some(after) => sqlx::query_scalar(IDS_AFTER).bind(limit).bind(after).fetch_all(connection).await,
        None => sqlx::query_scalar(IDS).bind(limit).fetch_all(connection).await,
    }
}

/// How these kills stand; those that are not there are left out. Where some cannot be read, each is read by itself.
pub(in crate::audit) async fn standing(
    connection: &mut SqliteConnection,
    ids: &[KillId],
) -> sqlx::Result<Vec<Standing>> {
    match try_standing(connection, ids).await {
        Err(error) if is_damage(&error) => {}
        standing => return standing,
    }
    let mut standing = Vec::with_capacity(ids.len());
    for id in ids {
        match try_standing(connection, &[*id]).await {
            Err(error) if is_damage(&error) => standing.push(Standing::Unreadable(*id)),
            one => standing.extend(one?),
        }
    }
    Ok(standing)
}

#[derive(FromRow)]
struct StandingRow {
    #[sqlx(flatten)]
    line: WholeRow,
    waits: bool,
    is_held: bool,
}

async fn try_standing(connection: &mut SqliteConnection, ids: &[KillId]) -> sqlx::Result<Vec<Standing>> {
    let rows: Vec<StandingRow> = sqlx::query_as(STANDING).bind(as_json(ids)).fetch_all(connection).await?;
    let standing =
        |StandingRow { line, waits, is_held }| Standing::Kill { line: Box::new(line.read()), waits, is_held };
    Ok(rows.into_iter().map(standing).collect())
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

//! Sealing on Postgres, and reading what was sealed.

use sqlx::{Connection, PgConnection};

use super::read::given;
use crate::{
    audit::{
        Removal, Sealing,
        removal::RemovalRow,
        sealed::{is_sound, leaves, seal_functions, unsigned},
    },
    chain::{Leaf, SealKey},
    domain::KillId,
};

seal_functions!(
    PgConnection,
    count: "cardinality(entries)::bigint",
    entries: entries,
    among: "= ANY($1)",
    ids: given,
    waits_for: WAITS_FOR
);

/// The entries of a block, as its row has them.
fn entries(leaves: &[Leaf]) -> Vec<Uuid> {
    leaves.iter().map(|leaf| leaf.id).collect()
}

/// Closes up to `most` of what is to be sealed into the next block; what cannot be returned is sealed as absent.
///
/// What waits to be sealed has ended, so nobody changes it meanwhile; no kill is locked.
pub(in crate::audit) async fn seal(
    connection: &mut PgConnection,
    key: &SealKey,
    now: OffsetDateTime,
    most: u32,
    unreturned: &BTreeSet<KillId>,
) -> sqlx::Result<Sealing> {
    match try_seal(connection, key, now, most, unreturned).await {
        Err(error) if is_overtaken(&error) => Ok(Sealing::Elsewhere),
        sealed => sealed,
    }
}

/// Lets everything that nobody works on wait to be sealed from now on, what was recorded so far included; true if nothing did
/// until now.
pub(in crate::audit) async fn begin_sealing(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT begin_sealing()").fetch_one(connection).await
}

/// Whether somebody changed what was to be sealed after this transaction had begun to look.
fn is_overtaken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| refusal.code().as_deref() == Some("40001"))
}

async fn try_seal(
    connection: &mut PgConnection,
    key: &SealKey,
    now: OffsetDateTime,
    most: u32,
    unreturned: &BTreeSet<KillId>,
) -> sqlx::Result<Sealing> {
    // The lines are read by several statements, and all see the same moment.
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    if !sqlx::query_scalar::<_, bool>(ANY).fetch_one(&mut *tx).await? {
        tx.rollback().await?;
        return Ok(Sealing::Nothing);
    }
    if sqlx::query_scalar::<_, bool>(ALONE).fetch_optional(&mut *tx).await?.is_none() {
        tx.rollback().await?;
        return Ok(Sealing::Elsewhere);
    }
    let taken: Vec<Uuid> = sqlx::query_scalar(TAKE).bind(i64::from(most)).fetch_all(&mut *tx).await?;
    if taken.is_empty() {
        tx.rollback().await?;
        return Ok(Sealing::Nothing);
    }
    let lines = lines_of(&mut tx, &taken, unreturned).await?;
    let others: Vec<Leaf> = if lines.len() == taken.len() { Vec::new() } else { removed(&mut tx, &taken).await? };
    let leaves = leaves(lines, others, &taken).await;
    let last = last_head(&mut tx).await?;
    is_sound(last.as_ref())?;
    let block = Block::seal(leaves, last.as_ref().map(|last| &last.head), now, key).map_err(unsigned)?;
    add_block(&mut tx, &block).await?;
    tx.commit().await?;
    Ok(Sealing::Sealed { block: block.head.number, entries: i64::try_from(taken.len()).unwrap_or(i64::MAX) })
}

/// One gateway at a time, for each record; the lock ends with the transaction. It is a row, so that it takes the right
/// to seal to keep others from sealing.
const ALONE: &str = "SELECT turn FROM sealing FOR UPDATE SKIP LOCKED";

/// Whether there is anything: else nothing is locked, and so nothing written.
const ANY: &str = "SELECT EXISTS (SELECT FROM unsealed)";

const TAKE: &str = "
    WITH due AS MATERIALIZED (
        SELECT entry_id FROM unsealed ORDER BY entry_id LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM unsealed USING due WHERE unsealed.entry_id = due.entry_id
    RETURNING unsealed.entry_id";

async fn removed(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Leaf>> {
    Ok(removals(connection).await?.iter().filter(|removal| ids.contains(&removal.id)).map(Removal::leaf).collect())
}

pub(in crate::audit) async fn removals(connection: &mut PgConnection) -> sqlx::Result<Vec<Removal>> {
    let rows: Vec<RemovalRow> = sqlx::query_as(REMOVALS).fetch_all(connection).await?;
    Ok(rows.into_iter().map(RemovalRow::read).collect())
}

const REMOVALS: &str = "
    SELECT id, month::text AS month, kills, first_kill, last_kill, removed_at, removed_by, reason
    FROM removals ORDER BY month";

const WAITS_FOR: &str = "
    SELECT CASE WHEN min(since) <= now() THEN extract(epoch FROM now() - min(since))::bigint
        WHEN min(since) IS NOT NULL THEN 0 END
    FROM (SELECT since FROM unsealed ORDER BY entry_id LIMIT $1) AS next";

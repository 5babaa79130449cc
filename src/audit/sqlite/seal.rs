//! Sealing on SQLite, and reading what was sealed.

use sqlx::{Connection, SqliteConnection};

use super::{BEGIN, read::as_json};
use crate::{
    audit::{
        Removal, Sealing,
        sealed::{is_sound, leaves, seal_functions},
    },
    chain::Leaf,
    domain::KillId,
};

seal_functions!(
    SqliteConnection,
    count: "length(entries) / 16",
    entries: entries,
    among: "IN (SELECT unhex(value) FROM json_each($1))",
    ids: as_json,
    waits_for: WAITS_FOR
);

/// The entries of a block, as its row has them.
fn entries(leaves: &[Leaf]) -> Vec<u8> {
    leaves.iter().flat_map(|leaf| *leaf.id.as_bytes()).collect()
}

/// What is to be sealed, as it stood when it was read.
#[derive(Debug)]
pub(in crate::audit) struct Due {
    entries: Vec<Uuid>,
    pub(in crate::audit) leaves: Vec<Leaf>,
    pub(in crate::audit) last: Option<Checkpoint>,
}

/// Reads up to `most` of what is to be sealed; what cannot be returned is sealed as absent. Nobody is kept from writing meanwhile.
pub(in crate::audit) async fn due(
    connection: &mut SqliteConnection,
    most: u32,
    unreturned: &BTreeSet<KillId>,
) -> sqlx::Result<Option<Due>> {
    let mut tx = connection.begin().await?;
    let entries = next_to_seal(&mut tx, most).await?;
    let lines = lines_of(&mut tx, &entries, unreturned).await?;
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

/// Adds the block, unless anything it is made of has changed since it was read; then nothing happens.
pub(in crate::audit) async fn add(
    connection: &mut SqliteConnection,
    due: &Due,
    block: &Block,
) -> sqlx::Result<Sealing> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let taken = sqlx::query(TAKE).bind(as_json(&due.entries)).execute(&mut *tx).await?;
    let last: Option<i64> = sqlx::query_scalar(LAST_NUMBER).fetch_one(&mut *tx).await?;
    if taken.rows_affected() != due.entries.len() as u64 || last.unwrap_or(0) + 1 != block.head.number {
        tx.rollback().await?;
        return Ok(Sealing::Elsewhere);
    }
    add_block(&mut tx, block).await?;
    tx.commit().await?;
    Ok(Sealing::Sealed { block: block.head.number, entries: i64::try_from(due.entries.len()).unwrap_or(i64::MAX) })
}

const TAKE: &str = "DELETE FROM unsealed WHERE entry_id IN (SELECT unhex(value) FROM json_each($1))";

const LAST_NUMBER: &str = "SELECT max(number) FROM blocks";

/// There are no months to remove in one file.
pub(in crate::audit) async fn removals(_: &mut SqliteConnection) -> sqlx::Result<Vec<Removal>> {
    Ok(Vec::new())
}

const WAITS_FOR: &str = "
    SELECT max(unixepoch() - min(since) / 1000, 0) FROM (SELECT since FROM unsealed ORDER BY entry_id LIMIT $1)";

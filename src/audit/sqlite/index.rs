//! Making the index on SQLite.

use sqlx::{SqliteConnection, types::Json};

use super::{BEGIN, read::as_json};
use crate::audit::index::{AT_ONCE, Taken, index_functions};

index_functions!(
    SqliteConnection,
    among: "IN (SELECT unhex(value) FROM json_each($1))",
    ids: as_json,
    words: "k.words",
    list: ["", ""],
    size: "octet_length(e.body)"
);

/// The rows of a batch of kills that have ended. Nothing of them changes any more, so whoever writes need not wait for it.
pub(in crate::audit) async fn ready(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> sqlx::Result<(Vec<IndexRow>, Taken)> {
    let mut tx = connection.begin().await?;
    let ended = ended(&mut tx, batch).await?;
    let rows = if ended.is_empty() { Vec::new() } else { rows(&mut tx, &ended, batch).await? };
    tx.rollback().await?;
    let taken = Taken::of(&ended, rows.len(), 0);
    Ok((rows, taken))
}

/// Puts those of them that still wait into the index, and lets them wait to be sealed; answers how many.
pub(in crate::audit) async fn index(connection: &mut SqliteConnection, rows: &[IndexRow]) -> sqlx::Result<u64> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let mut indexed = 0;
    for row in rows {
        if sqlx::query(END).bind(row.id).execute(&mut *tx).await?.rows_affected() > 0 {
            add(&mut tx, row).await?;
            sqlx::query(REST).bind(row.id).execute(&mut *tx).await?;
            indexed += 1;
        }
    }
    tx.commit().await?;
    Ok(indexed)
}

/// The kills of a batch that have ended.
pub(in crate::audit) async fn ended(connection: &mut SqliteConnection, batch: &Batch) -> sqlx::Result<Vec<KillId>> {
    let ended = match batch {
        Batch::First(others) => sqlx::query_scalar(ENDED).bind(i64::from(AT_ONCE)).bind(as_json(others)),
        Batch::These(ids) => sqlx::query_scalar(ENDED_OF).bind(as_json(ids)),
        Batch::Damaged(id) => sqlx::query_scalar(ENDED_OF).bind(as_json(&[*id])),
    };
    ended.fetch_all(connection).await
}

const ENDED: &str = "SELECT kill_id FROM kill_leases WHERE ended \
     AND kill_id NOT IN (SELECT unhex(value) FROM json_each($2)) ORDER BY kill_id LIMIT $1";
const ENDED_OF: &str = "SELECT kill_id FROM kill_leases WHERE kill_id IN (SELECT unhex(value) FROM json_each($1)) \
     AND ended ORDER BY kill_id";

const END: &str = "DELETE FROM kill_leases WHERE kill_id = $1 AND ended";

const REST: &str = "
    INSERT INTO unsealed (entry_id) SELECT $1 WHERE EXISTS (SELECT 1 FROM sealing) ON CONFLICT DO NOTHING";

/// Adds a row; one that is there stays as it is, and verifying tells of it.
async fn add(connection: &mut SqliteConnection, row: &IndexRow) -> sqlx::Result<()> {
    sqlx::query(ADD)
        .bind(row.id)
        .bind(&row.status)
        .bind(&row.caller)
        .bind(&row.on_behalf_of)
        .bind(&row.vendor)
        .bind(&row.account)
        .bind(&row.alias)
        .bind(&row.instance_id)
        .bind(Json(&row.users))
        .bind(Json(&row.databases))
        .bind(Json(&row.outcomes))
        .bind(row.ever_unknown)
        .bind(Timestamp(row.requested_at))
        .bind(row.size)
        .bind(row.words.join(" "))
        .bind(row.recorded_in)
        .execute(&mut *connection)
        .await?;
    sqlx::query(ADD_SESSIONS).bind(Json(&row.sessions)).bind(row.id).bind(row.recorded_in).execute(connection).await?;
    Ok(())
}

const ADD: &str = "
    INSERT INTO kill_index (id, status, caller, on_behalf_of, vendor, account, alias, instance_id, users, databases,
        outcomes, ever_unknown, requested_at, size, words, recorded_in)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (id) DO NOTHING";

const ADD_SESSIONS: &str = "INSERT INTO kill_index_sessions (session_id, kill_id, recorded_in) \
     SELECT value, $2, $3 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING";

/// Makes the rows of kills above one id and up to another anew where they are not what the log says; answers how many were
/// not.
pub(in crate::audit) async fn reindex(
    connection: &mut SqliteConnection,
    after: Option<KillId>,
    upto: Option<KillId>,
) -> sqlx::Result<u64> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let compared = compared(&mut tx, after, upto).await?;
    let differing = compared.differing();
    sqlx::query(REMOVE_SESSIONS).bind(as_json(&differing)).execute(&mut *tx).await?;
    sqlx::query(REMOVE).bind(as_json(&differing)).execute(&mut *tx).await?;
    for row in differing.iter().filter_map(|id| compared.expected.get(id)) {
        add(&mut tx, row).await?;
    }
    tx.commit().await?;
    Ok(differing.len() as u64)
}

const REMOVE_SESSIONS: &str =
    "DELETE FROM kill_index_sessions WHERE kill_id IN (SELECT unhex(value) FROM json_each($1))";
const REMOVE: &str = "DELETE FROM kill_index WHERE id IN (SELECT unhex(value) FROM json_each($1))";

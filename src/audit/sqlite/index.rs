//! Making the index on SQLite.

use sqlx::{Connection as _, SqliteConnection, types::Json};

use super::{
    BEGIN,
    read::{among, as_json, compared},
};
use crate::{
    audit::{
        AT_ONCE,
        index::{IndexRow, rows_of},
        timestamp::Timestamp,
    },
    domain::KillId,
};

/// Puts some of the kills that have ended into the index, and lets them wait to be sealed; answers how many.
pub(in crate::audit) async fn index(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let ended: Vec<KillId> = sqlx::query_scalar(ENDED).bind(i64::from(AT_ONCE)).fetch_all(&mut *tx).await?;
    if ended.is_empty() {
        tx.rollback().await?;
        return Ok(0);
    }
    let found = among(&mut tx, &ended).await?;
    let rows = rows_of(&ended, found);
    for row in &rows {
        add(&mut tx, row).await?;
        sqlx::query(REST).bind(row.id).execute(&mut *tx).await?;
        sqlx::query(END).bind(row.id).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(rows.len() as u64)
}

const ENDED: &str = "SELECT kill_id FROM kill_leases WHERE ended ORDER BY kill_id LIMIT $1";

const END: &str = "DELETE FROM kill_leases WHERE kill_id = $1";

const REST: &str = "
    INSERT INTO unsealed (entry_id) SELECT $1 WHERE EXISTS (SELECT 1 FROM sealing) ON CONFLICT DO NOTHING";

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
    INSERT INTO kill_index (id, status, caller, on_behalf_of, vendor, account, alias, instance_id, requested_at, size,
        words, recorded_in)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

const ADD_SESSIONS: &str =
    "INSERT INTO kill_index_sessions (session_id, kill_id, recorded_in) SELECT value, $2, $3 FROM json_each($1)";

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

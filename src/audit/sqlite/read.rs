//! Reading on SQLite.

use std::time::Duration;

use sqlx::{SqliteConnection, types::Json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::{filter::Dialect, reading::reading};

reading!(
    sqlx::Sqlite, SqliteConnection, DIALECT,
    snapshot: "BEGIN",
    number: "e.number",
    among: "IN (SELECT unhex(value) FROM json_each($1))",
    ids: as_json
);

/// Ids as a statement takes many of them.
pub(super) fn as_json(ids: &[Uuid]) -> Json<Vec<String>> {
    Json(ids.iter().map(|id| id.simple().to_string()).collect())
}

pub(in crate::audit) async fn stats(
    connection: &mut SqliteConnection,
    filter: &Filter,
    grouping: &Grouping,
    limit: u32,
    within: Duration,
) -> sqlx::Result<Option<Vec<Count>>> {
    let deadline = Instant::now() + within;
    connection.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < deadline);
    let counted = count(connection, filter, grouping, limit, deadline).await;
    connection.lock_handle().await?.remove_progress_handler();
    match counted {
        Ok(counts) => Ok(counts),
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some(INTERRUPTED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// After so many steps of SQLite's machine it is asked whether there is time left.
const STEPS: i32 = 1000;
/// <https://www.sqlite.org/rescode.html#interrupt>
const INTERRUPTED: &str = "9";

/// There is one writer and no row is ever removed, so entries are numbered in the order of their commits.
const DIALECT: Dialect = Dialect {
    seen: "SELECT (unixepoch('now') * 1000) || ':0:' || (coalesce(max(number), 0) + 1) || ':' FROM kill_log",
    words: [" AND k.number IN (SELECT rowid FROM kill_reasons WHERE kill_reasons MATCH ", ")"],
    one_text: |words| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" "),
    has_any: |column| [format!("EXISTS (SELECT 1 FROM json_each({column}) WHERE value IN ("), "))".to_owned()],
    each: [" LEFT JOIN json_each(", ") AS ", " ON TRUE"],
    forbidden: "(k.status = 'refused' AND EXISTS (SELECT 1 FROM kill_log f WHERE f.kill_id = k.id AND f.seq = 1 \
        AND f.body ->> '$.problem.code' = 'forbidden' AND f.body ->> '$.problem.field' = 'target'))",
    finds: ["instr(e.body, ", ") > 0"],
    hour: "k.requested_at / 3600000 * 3600000",
    day: "k.requested_at / 86400000 * 86400000",
};

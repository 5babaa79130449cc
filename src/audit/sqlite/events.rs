//! Following kills on SQLite.

use sqlx::SqliteConnection;

use super::seal::as_json;
use crate::{
    audit::{
        KillEvent, Progress,
        events::{EVENTS, EventRow, ProgressRow, progress_of},
    },
    domain::KillId,
};

pub(in crate::audit) async fn events(
    connection: &mut SqliteConnection,
    kill: KillId,
    after: i32,
) -> sqlx::Result<Vec<KillEvent>> {
    let rows: Vec<EventRow> = sqlx::query_as(EVENTS).bind(kill).bind(after).fetch_all(connection).await?;
    Ok(rows.into_iter().map(EventRow::read).collect())
}

pub(in crate::audit) async fn progress(
    connection: &mut SqliteConnection,
    kills: &[KillId],
) -> sqlx::Result<Vec<Progress>> {
    let rows: Vec<ProgressRow> = sqlx::query_as(PROGRESS).bind(as_json(kills)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(ProgressRow::read).collect())
}

const PROGRESS: &str = progress_of!("IN (SELECT unhex(value) FROM json_each($1))");

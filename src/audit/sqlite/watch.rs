//! Watches over kills on SQLite.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection, types::Json};
use time::OffsetDateTime;

use super::BEGIN;
use crate::{
    audit::{
        sql::{END_WATCH, NOTE_RETURNED, WATCH, WATCH_ON},
        timestamp::Timestamp,
        watch::{Returned, Watch, WatchRow},
    },
    domain::KillId,
};

pub(in crate::audit) async fn watch(connection: &mut SqliteConnection, watch: &Watch) -> sqlx::Result<()> {
    sqlx::query(WATCH)
        .bind(watch.kill_id)
        .bind(&watch.gateway)
        .bind(Timestamp(watch.due_at))
        .bind(watch.looks)
        .bind(Json(&watch.sightings))
        .execute(connection)
        .await?;
    Ok(())
}

pub(in crate::audit) async fn claim_watches(
    connection: &mut SqliteConnection,
    gateway: &str,
    now: OffsetDateTime,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Watch>> {
    let rows: Vec<WatchRow> = sqlx::query_as(CLAIM)
        .bind(gateway)
        .bind(Timestamp(now))
        .bind(Timestamp(now + lease))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(WatchRow::read).collect())
}

const CLAIM: &str = "
    UPDATE kill_watches SET gateway = $1, due_at = $3
    WHERE kill_id IN (SELECT kill_id FROM kill_watches WHERE due_at <= $2 ORDER BY due_at LIMIT $4)
    RETURNING kill_id, gateway, due_at, looks, sightings";

pub(in crate::audit) async fn note_look(
    connection: &mut SqliteConnection,
    id: KillId,
    returned: Option<Returned>,
    on: Option<&Watch>,
) -> sqlx::Result<()> {
    let mut tx = connection.begin_with(BEGIN).await?;
    if let Some(Returned { look, at, count, complete }) = returned {
        sqlx::query(NOTE_RETURNED)
            .bind(id)
            .bind(look)
            .bind(Timestamp(at))
            .bind(i32::try_from(count).unwrap_or(i32::MAX))
            .bind(complete)
            .execute(&mut *tx)
            .await?;
    }
    match on {
        Some(on) => {
            sqlx::query(WATCH_ON)
                .bind(id)
                .bind(&on.gateway)
                .bind(Timestamp(on.due_at))
                .bind(on.looks)
                .bind(Json(&on.sightings))
                .execute(&mut *tx)
                .await?
        }
        None => sqlx::query(END_WATCH).bind(id).execute(&mut *tx).await?,
    };
    tx.commit().await
}

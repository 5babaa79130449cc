//! Deliveries to webhooks on SQLite.

use sqlx::{Connection, SqliteConnection, types::Json};
use time::OffsetDateTime;

use super::{BEGIN, read::among};
use crate::{
    audit::{
        Delivery, Unwanted,
        delivery::{Claimed, DELIVERED, LATER, deliveries},
        timestamp::Timestamp,
    },
    domain::KillId,
};

pub(in crate::audit) async fn claim_deliveries(
    connection: &mut SqliteConnection,
    webhook: &str,
    now: OffsetDateTime,
    until: OffsetDateTime,
    limit: u32,
) -> sqlx::Result<Vec<Delivery>> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let taken: Vec<Claimed> = sqlx::query_as(CLAIM)
        .bind(webhook)
        .bind(Timestamp(now))
        .bind(Timestamp(until))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    let ids: Vec<KillId> = taken.iter().map(|(kill, _)| *kill).collect();
    let found = among(&mut tx, &ids).await?;
    tx.commit().await?;
    Ok(deliveries(taken, found))
}

const CLAIM: &str = "
    UPDATE webhook_deliveries SET due_at = $3, tries = tries + 1
    WHERE webhook = $1 AND kill_id IN (
        SELECT d.kill_id FROM webhook_deliveries d WHERE d.webhook = $1 AND d.due_at <= $2
            AND NOT EXISTS (SELECT 1 FROM kill_leases l WHERE l.kill_id = d.kill_id AND NOT l.ended)
        ORDER BY d.due_at LIMIT $4
    )
    RETURNING kill_id, tries";

pub(in crate::audit) async fn delivered(
    connection: &mut SqliteConnection,
    webhook: &str,
    kill: KillId,
    tries: i32,
) -> sqlx::Result<bool> {
    let done = sqlx::query(DELIVERED).bind(webhook).bind(kill).bind(tries).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

pub(in crate::audit) async fn deliver_later(
    connection: &mut SqliteConnection,
    webhook: &str,
    kill: KillId,
    tries: i32,
    due_at: OffsetDateTime,
) -> sqlx::Result<bool> {
    let left =
        sqlx::query(LATER).bind(webhook).bind(kill).bind(tries).bind(Timestamp(due_at)).execute(connection).await?;
    Ok(left.rows_affected() > 0)
}

pub(in crate::audit) async fn drop_deliveries(
    connection: &mut SqliteConnection,
    unwanted: &Unwanted,
) -> sqlx::Result<Vec<(String, KillId)>> {
    sqlx::query_as(DROP)
        .bind(Json(&unwanted.webhooks))
        .bind(Timestamp(unwanted.unknown_since))
        .bind(unwanted.overdue_since.map(Timestamp))
        .fetch_all(connection)
        .await
}

const DROP: &str = "
    DELETE FROM webhook_deliveries
    WHERE webhook NOT IN (SELECT value FROM json_each($1)) AND due_at <= $2 OR due_at <= $3
    RETURNING webhook, kill_id";

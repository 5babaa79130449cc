//! Deliveries to webhooks on Postgres.

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use super::read::among;
use crate::{
    audit::{
        Delivery, Unwanted,
        delivery::{Claimed, DELIVERED, LATER, deliveries},
        timestamp::Timestamp,
    },
    domain::KillId,
};

pub(in crate::audit) async fn claim_deliveries(
    connection: &mut PgConnection,
    webhook: &str,
    now: OffsetDateTime,
    until: OffsetDateTime,
    limit: u32,
) -> sqlx::Result<Vec<Delivery>> {
    let mut tx = connection.begin().await?;
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
    WITH due AS MATERIALIZED (
        SELECT d.kill_id FROM webhook_deliveries d WHERE d.webhook = $1 AND d.due_at <= $2
            AND NOT EXISTS (SELECT FROM kill_leases l WHERE l.kill_id = d.kill_id AND NOT l.ended)
        ORDER BY d.due_at LIMIT $4 FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE webhook_deliveries d SET due_at = $3, tries = d.tries + 1 FROM due
    WHERE d.webhook = $1 AND d.kill_id = due.kill_id
    RETURNING d.kill_id, d.tries";

pub(in crate::audit) async fn delivered(
    connection: &mut PgConnection,
    webhook: &str,
    kill: KillId,
    tries: i32,
) -> sqlx::Result<bool> {
    let done = sqlx::query(DELIVERED).bind(webhook).bind(kill).bind(tries).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

pub(in crate::audit) async fn deliver_later(
    connection: &mut PgConnection,
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
    connection: &mut PgConnection,
    unwanted: &Unwanted,
) -> sqlx::Result<Vec<(String, KillId)>> {
    sqlx::query_as(DROP)
        .bind(&unwanted.webhooks)
        .bind(Timestamp(unwanted.unknown_since))
        .bind(unwanted.overdue_since.map(Timestamp))
        .fetch_all(connection)
        .await
}

/// What somebody is just about to take is left for another time.
const DROP: &str = "
    DELETE FROM webhook_deliveries WHERE (webhook, kill_id) IN (
        SELECT webhook, kill_id FROM webhook_deliveries
        WHERE webhook <> ALL($1) AND due_at <= $2 OR due_at <= $3 FOR UPDATE SKIP LOCKED
    ) RETURNING webhook, kill_id";

//! Permits that gateways share, from the table of their turns: one round trip for those that are of use at once.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

use crate::audit::{Ask, Heard, Slot};

/// Takes permits; `before` is what was heard of the same budget the last time.
pub(in crate::audit) async fn take_permits(
    connection: &mut PgConnection,
    budget: &str,
    ask: Ask,
    before: Option<Heard>,
) -> sqlx::Result<(Heard, Slot)> {
    let asked = Instant::now();
    let number = |permits: u32| i32::try_from(permits).unwrap_or(i32::MAX);
    let (taken, wait, left, at): (i32, i64, i32, i64) = sqlx::query_as(TAKE)
        .bind(budget)
        .bind(i16::from(ask.class))
        .bind(ask.most.map(number))
        .bind(number(ask.many))
        .bind(ask.patience)
        .bind(ask.span)
        .bind(ask.longer.map(|longer| longer.most.map(number)))
        .bind(ask.longer.map(|longer| longer.span))
        .bind(before.map(|before| before.at))
        .bind(before.map(|before| micros(asked.saturating_duration_since(before.asked))))
        .bind(before.map(|before| micros(asked.saturating_duration_since(before.heard))))
        .fetch_one(connection)
        .await?;
    let number = |permits: i32| u32::try_from(permits).unwrap_or(0);
    let heard = Heard { at, asked, heard: Instant::now() };
    Ok((heard, Slot { taken: number(taken), wait, left: number(left) }))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

const TAKE: &str = "SELECT taken, wait, remaining, heard FROM take_turns($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

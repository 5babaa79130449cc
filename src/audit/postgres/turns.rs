//! Turns that gateways share: one round trip each.

use sqlx::PgConnection;

use crate::window::{Ask, Slot};

pub(in crate::audit) async fn take_turn(connection: &mut PgConnection, budget: &str, ask: Ask) -> sqlx::Result<Slot> {
    let most = ask.most.map(|turns| i32::try_from(turns).unwrap_or(i32::MAX));
    let (taken, wait, left): (bool, i64, i32) = sqlx::query_as(TAKE_TURN)
        .bind(budget)
        .bind(i16::from(ask.class))
        .bind(most)
        .bind(ask.patience)
        .bind(ask.span)
        .fetch_one(connection)
        .await?;
    Ok(Slot { taken, wait, left: u32::try_from(left).unwrap_or(0) })
}

const TAKE_TURN: &str = "SELECT taken, wait, remaining FROM take_turn($1, $2, $3, $4, $5)";

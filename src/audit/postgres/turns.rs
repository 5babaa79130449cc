//! Turns that gateways share: one round trip for those that are of use at once.

use sqlx::PgConnection;

use crate::window::{Ask, Slot};

pub(in crate::audit) async fn take_turns(connection: &mut PgConnection, budget: &str, ask: Ask) -> sqlx::Result<Slot> {
    let number = |turns: u32| i32::try_from(turns).unwrap_or(i32::MAX);
    let (taken, wait, left): (i32, i64, i32) = sqlx::query_as(TAKE_TURNS)
        .bind(budget)
        .bind(i16::from(ask.class))
        .bind(ask.most.map(number))
        .bind(number(ask.many))
        .bind(ask.patience)
        .bind(ask.span)
        .fetch_one(connection)
        .await?;
    let number = |turns: i32| u32::try_from(turns).unwrap_or(0);
    Ok(Slot { taken: number(taken), wait, left: number(left) })
}

const TAKE_TURNS: &str = "SELECT taken, wait, remaining FROM take_turns($1, $2, $3, $4, $5, $6)";

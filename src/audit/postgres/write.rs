//! Writing many entries at once on Postgres: one statement, one round trip and one commit for all of a kind.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{begin::record_all, upkeep::MAKE_MONTHS};
use crate::{
    audit::{
        batch_writer::Entry,
        record::{FirstEntry, NextEntry},
        timestamp::Timestamp,
    },
    domain::KillId,
};

/// Writes entries of different kills; for each it answers whether anything was written.
pub(super) async fn write(connection: &mut PgConnection, entries: &[Entry]) -> sqlx::Result<Vec<bool>> {
    let (mut firsts, mut nexts) = (Vec::<&FirstEntry>::new(), Vec::<&NextEntry>::new());
    for entry in entries {
        match entry {
            Entry::First(first) => firsts.push(first),
            Entry::Next(next) => nexts.push(next),
        }
    }
    let mut written: HashSet<KillId> = HashSet::with_capacity(entries.len());
    if !firsts.is_empty() {
        written.extend(record_all(connection, &firsts).await?);
    }
    if !nexts.is_empty() {
        // In the order in which everybody locks leases.
        nexts.sort_unstable_by_key(|next| next.kill);
        written.extend(append(connection, &nexts).await?);
    }
    Ok(entries.iter().map(|entry| written.contains(&entry.kill())).collect())
}

/// True where a kill belongs into a month that was not made ahead of time.
pub(super) fn has_no_month(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error();
    // A row that fits no partition is a check violation of no constraint.
    refusal.is_some_and(|it| it.code().as_deref() == Some("23514") && it.constraint().is_none())
}

pub(super) async fn make_month(connection: &mut PgConnection, at: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(MAKE_MONTHS).bind(Timestamp(at)).bind(1).execute(connection).await?;
    Ok(())
}

/// One column of rows.
pub(super) fn column<'r, R, C>(rows: &[&'r R], of: impl Fn(&'r R) -> C) -> Vec<C> {
    rows.iter().map(|row| of(row)).collect()
}

/// Answers the kills that had not ended, of which entries were added.
pub(super) async fn append(connection: &mut PgConnection, nexts: &[&NextEntry]) -> sqlx::Result<Vec<KillId>> {
    sqlx::query_scalar(APPEND)
        .bind(column(nexts, |next| next.kill))
        .bind(column(nexts, |next| Timestamp(next.at)))
        .bind(column(nexts, |next| next.kind.as_str()))
        .bind(column(nexts, |next| next.status.as_str()))
        .bind(column(nexts, |next| next.ends))
        .bind(column(nexts, |next| next.due.map(Timestamp)))
        .bind(column(nexts, |next| next.body.as_str()))
        .bind(column(nexts, |next| next.owner.as_deref()))
        .bind(column(nexts, |next| next.releases))
        .fetch_all(connection)
        .await
}

const APPEND: &str = "SELECT append_to_kills($1, $2, $3, $4, $5, $6, $7, $8, $9)";

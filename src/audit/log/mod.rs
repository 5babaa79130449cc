//! The log: what an entry holds, and what all entries of a kill make of it.
//!
//! The first entry of a kill has what was asked, each has all that was known when it was added: so the first and the last
//! that learned anything are the kill, and the ones between are how it came about. The invariant: what is read of a kill
//! depends on its entries alone, so it reads the same from either engine, indexed or not, for ever.

mod body;
mod fold;

pub(super) use body::{asked, learned};
pub(super) use fold::{Folded, fold};

use serde_json::Value;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type, types::Json};

use super::timestamp::Timestamp;
use crate::domain::KillId;

/// An entry as either engine reads it.
#[derive(Debug, FromRow)]
pub(super) struct LogRow {
    pub(super) kill_id: KillId,
    pub(super) seq: i32,
    pub(super) at: Timestamp,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) gateway: String,
    pub(super) ends: bool,
    pub(super) body: Json<Value>,
    /// The number under which it was recorded.
    pub(super) recorded_in: i64,
    /// How many sessions came back, where that is known.
    pub(super) returned: Option<i32>,
}

/// The columns of an entry from `kill_log e`; `$number` is the one that tells the order of commits.
macro_rules! log_columns {
    ($number:literal) => {
        concat!(
            "e.kill_id, e.seq, e.at, e.kind, e.status, e.gateway, e.ends, e.body, ",
            $number,
            " AS recorded_in, CASE WHEN e.seq = 1 THEN (SELECT r.returned FROM kill_returns r \
             WHERE r.kill_id = e.kill_id ORDER BY r.look DESC LIMIT 1) END AS returned"
        )
    };
}
pub(super) use log_columns;

/// A kill of the log, or why it does not read as one.
pub(super) type Found = (KillId, sqlx::Result<Folded>);

/// The kills whose entries these rows are, which must be in their order. One that does not read keeps no other from being
/// read.
///
/// # Errors
/// Not even whose entries they are can be read.
pub(super) fn kills<'r, R>(rows: &'r [R]) -> sqlx::Result<Vec<Found>>
where
    R: Row,
    LogRow: FromRow<'r, R>,
    KillId: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    let ids: Vec<KillId> = rows.iter().map(|row| row.try_get("kill_id")).collect::<sqlx::Result<_>>()?;
    let mut kills = Vec::new();
    let mut from = 0;
    for of_one in ids.chunk_by(|one, next| one == next) {
        let rows = &rows[from..from + of_one.len()];
        from += of_one.len();
        let entries: sqlx::Result<Vec<LogRow>> = rows.iter().map(LogRow::from_row).collect();
        kills.push((of_one[0], entries.map(fold)));
    }
    Ok(kills)
}

/// Those of them that can be read. One that cannot, such as one that a newer gateway wrote in words of its own, is logged as
/// `left_out` says and left alone.
pub(super) fn readable<T>(found: Vec<Found>, read: impl Fn(Folded) -> sqlx::Result<T>, left_out: &str) -> Vec<T> {
    let one = |(kill_id, folded): Found| {
        let read = folded.and_then(&read);
        read.inspect_err(|error| tracing::error!(%kill_id, %error, "{left_out}")).ok()
    };
    found.into_iter().filter_map(one).collect()
}

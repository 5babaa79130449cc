//! Reading the record page by page, newest first.
//!
//! Ids sort by time, so a page is "the next ones below this id", a time window is a range of ids, and no kill is
//! skipped or repeated while new ones are written above.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{Database, Encode, QueryBuilder, Type};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    clock::unix_millis,
    domain::{Kill, KillId, Status},
};

/// Which kills to read; what is `None` does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub vendor: Option<String>,
    pub account: Option<String>,
    /// The alias that was used.
    pub target: Option<String>,
    pub instance_id: Option<String>,
    pub session_id: Option<String>,
    pub caller: Option<String>,
    pub status: Option<Status>,
    /// Asked at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Asked before this time.
    pub until: Option<OffsetDateTime>,
    /// Only what follows this place.
    pub before: Option<Cursor>,
    /// The only caller whose kills may be seen, whatever `caller` asks for.
    pub only_caller: Option<String>,
}

/// Some kills, newest first, and where to go on if there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub items: Vec<Kill>,
    pub next: Option<Cursor>,
}

/// A place in the list; opaque text to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(KillId);

/// The text is not a cursor that was ever given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a cursor of this list")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        Uuid::from_slice(&bytes).map(Self).map_err(|_| CursorError)
    }
}

impl Page {
    /// Makes a page of at most `limit` from one kill more than that, if there is one.
    pub(super) fn of(mut items: Vec<Kill>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|kill| Cursor(kill.id)) } else { None };
        Self { items, next }
    }
}

impl Filter {
    /// The query for up to `limit` kills; `select` is the engine's `SELECT … FROM kills k`.
    pub(super) fn query<DB>(&self, select: &str, limit: u32) -> QueryBuilder<DB>
    where
        DB: Database<Arguments: Default>,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        let limit = i64::from(limit);
        let mut query = QueryBuilder::new("");
        if let Some(session_id) = &self.session_id {
            // The narrow table first, as a step of its own: a planner that walked kills from the newest on and tried
            // each for the session would read the whole history for a rare id.
            query.push("WITH hits AS MATERIALIZED (SELECT s.kill_id FROM kill_sessions s WHERE s.session_id = ");
            query.push_bind(session_id.clone());
            self.push_range(&mut query, "s.kill_id");
            query.push(" ORDER BY s.kill_id DESC");
            if self.columns().next().is_none() {
                query.push(" LIMIT ").push_bind(limit);
            }
            query.push(") ").push(select).push(" JOIN hits ON hits.kill_id = k.id WHERE 1 = 1");
        } else {
            query.push(select).push(" WHERE 1 = 1");
        }
        for (column, wanted) in self.columns() {
            query.push(" AND ").push(column).push(" = ").push_bind(wanted.to_owned());
        }
        self.push_range(&mut query, "k.id");
        query.push(" ORDER BY k.id DESC LIMIT ").push_bind(limit);
        query
    }

    /// The columns of `kills` that must have a certain value.
    fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("k.caller", self.only_caller.as_deref()),
            ("k.caller", self.caller.as_deref()),
            ("k.instance_id", self.instance_id.as_deref()),
            ("k.alias", self.target.as_deref()),
            ("k.vendor", self.vendor.as_deref()),
            ("k.account", self.account.as_deref()),
            ("k.status", self.status.map(Status::as_str)),
        ]
        .into_iter()
        .filter_map(|(column, wanted)| wanted.map(|wanted| (column, wanted)))
    }

    fn push_range<DB>(&self, query: &mut QueryBuilder<DB>, column: &str)
    where
        DB: Database,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    {
        for (comparison, bound) in [
            (" >= ", self.since.map(first_id_from)),
            (" < ", self.until.map(first_id_from)),
            (" < ", self.before.map(|cursor| cursor.0)),
        ] {
            if let Some(bound) = bound {
                query.push(" AND ").push(column).push(comparison).push_bind(bound);
            }
        }
    }
}

/// The lowest id a kill asked at `at` or later can have. Kills are asked at whole milliseconds.
fn first_id_from(at: OffsetDateTime) -> Uuid {
    let millis = unix_millis(at) + i64::from(!at.nanosecond().is_multiple_of(1_000_000));
    let millis = u64::try_from(millis).unwrap_or(0).min(0xffff_ffff_ffff);
    Uuid::from_u128(u128::from(millis) << 80)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::clock::id_at;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let cursor = Cursor(id_at(datetime!(2026-01-02 03:04:05.678 UTC)));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "AAAA", "not a cursor", &format!("{cursor}A"), &format!("{cursor}=")] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn the_bounds_of_a_time_window_lie_between_the_ids() {
        let at = datetime!(2026-01-02 03:04:05.678 UTC);
        let id = id_at(at);
        let a_little_later = at + time::Duration::microseconds(1);
        assert!(first_id_from(at) <= id);
        assert!(first_id_from(a_little_later) > id);
        assert_eq!(first_id_from(datetime!(1900-01-01 0:00 UTC)), Uuid::nil());
    }
}

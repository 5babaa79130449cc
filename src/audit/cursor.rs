//! A place in a list, and what could be seen when the list was begun.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Audit, AuditError, index::IndexRow, on_engine, page::first_id_from, postgres, sqlite};
use crate::{
    clock::{from_unix_millis, unix_millis},
    domain::KillId,
};

/// A place in the list; opaque text to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) after: KillId,
    pub(super) seen: Snapshot,
    /// In which order the list goes: in the other one it is no place.
    pub(super) oldest_first: bool,
}

/// What had been committed at some moment, by the numbers under which kills are recorded: transactions on Postgres,
/// rows on SQLite, which has one writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The moment, by the database's clock.
    pub(super) at: OffsetDateTime,
    /// Nothing from this number on.
    pub(super) end: i64,
    /// Nor any of these, which were under way.
    pub(super) open: Vec<i64>,
}

impl Snapshot {
    /// How long before it a kill may have been asked that was not committed yet: far longer than any write may take or
    /// clocks differ. Older ones are seen whatever their numbers, which mean nothing once a database was restored.
    pub(super) const REACH: Duration = Duration::HOUR;

    /// Whether it held that kill.
    pub(super) fn holds(&self, row: &IndexRow) -> bool {
        row.id < first_id_from(self.at.saturating_sub(Self::REACH))
            || row.recorded_in < self.end && !self.open.contains(&row.recorded_in)
    }

    /// Reads `milliseconds:first:end:open,…`, the latter three as Postgres writes a snapshot.
    pub(super) fn read(text: &str) -> sqlx::Result<Self> {
        let number = |text: &str| text.parse::<i64>().ok();
        let read = || {
            let mut parts = text.split(':');
            let (at, _, end) = (number(parts.next()?)?, parts.next()?, number(parts.next()?)?);
            let open = parts.next()?.split(',').filter(|text| !text.is_empty()).map(number).collect::<Option<_>>()?;
            Some(Self { at: from_unix_millis(at), end, open })
        };
        read().ok_or_else(|| sqlx::Error::Decode("not a snapshot".into()))
    }
}

/// The times that a cursor may tell: those of the years that the record takes.
const MILLIS: std::ops::Range<i64> = 0..unix_seconds_of_9999() * 1000;

/// Most writes that were under way: far more than a database has connections.
const MOST_OPEN: usize = 10_000;

const fn unix_seconds_of_9999() -> i64 {
    time::macros::datetime!(9999-01-01 0:00 UTC).unix_timestamp()
}

/// The text is not a cursor that was ever given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a cursor of this list")]
pub struct CursorError;

impl Cursor {
    /// Whether it is a place of the list that goes from the oldest on.
    #[must_use]
    pub const fn is_oldest_first(&self) -> bool {
        self.oldest_first
    }
}

impl Audit {
    /// The place before all kills that are committed by now, newest first: from there on, pages show these and no others.
    pub async fn newest_place(&self) -> Result<Cursor, AuditError> {
        on_engine!(self, readers / readers, newest_place())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot { at, end, open } = &self.seen;
        let mut bytes = vec![u8::from(self.oldest_first)];
        bytes.extend(self.after.as_bytes());
        bytes.extend(unix_millis(*at).to_be_bytes());
        bytes.extend(end.to_be_bytes());
        for number in open {
            // What is under way began a short while ago.
            bytes.extend(u32::try_from(end - number).unwrap_or(u32::MAX).to_be_bytes());
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (order, rest) = bytes.split_first().ok_or(CursorError)?;
        let (after, rest) = rest.split_first_chunk::<16>().ok_or(CursorError)?;
        let (at, rest) = rest.split_first_chunk::<8>().ok_or(CursorError)?;
        let (end, rest) = rest.split_first_chunk::<8>().ok_or(CursorError)?;
        let end = i64::from_be_bytes(*end);
        let at = i64::from_be_bytes(*at);
        let (before_end, []) = rest.as_chunks::<4>() else { return Err(CursorError) };
        if *order > 1 || !MILLIS.contains(&at) || end < 0 || before_end.len() > MOST_OPEN {
            return Err(CursorError);
        }
        let open = before_end.iter().map(|bytes| end.checked_sub(u32::from_be_bytes(*bytes).into()));
        let open = open.collect::<Option<_>>().ok_or(CursorError)?;
        let seen = Snapshot { at: from_unix_millis(at), end, open };
        Ok(Self { after: Uuid::from_bytes(*after), seen, oldest_first: *order == 1 })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{audit::Filter, clock::id_at};

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let at = datetime!(2026-01-02 03:04:05.678 UTC);
        let seen = Snapshot::read(&format!("{}:97:102:97,99", unix_millis(at))).unwrap();
        assert_eq!(seen, Snapshot { at, end: 102, open: vec![97, 99] });
        for oldest_first in [false, true] {
            let cursor = Cursor { after: id_at(at), seen: seen.clone(), oldest_first };
            assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
            for text in
                ["", "AAAA", "not a cursor", &format!("{cursor}A"), &format!("{cursor}="), &cursor.to_string()[3..]]
            {
                assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_cursor_does_any_harm(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(cursor) = URL_SAFE_NO_PAD.encode(bytes).parse::<Cursor>() {
                let filter = Filter { place: Some(cursor.clone()), ..Filter::default() };
                prop_assert!(Audit::page_sql(&filter, 10)[0].contains("kill_index"));
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }

        #[test]
        fn whatever_a_cursor_says_it_saw_is_a_filter_or_no_cursor(at: i64, end: i64, open in vec(any::<u32>(), 0..4)) {
            let mut bytes = vec![0];
            bytes.extend(id_at(datetime!(2026-01-02 0:00 UTC)).as_bytes());
            bytes.extend(at.to_be_bytes());
            bytes.extend(end.to_be_bytes());
            bytes.extend(open.iter().flat_map(|number| number.to_be_bytes()));
            if let Ok(cursor) = URL_SAFE_NO_PAD.encode(bytes).parse::<Cursor>() {
                let filter = Filter { place: Some(cursor), ..Filter::default() };
                prop_assert!(Audit::page_sql(&filter, 10)[0].contains("kill_index"));
            } else {
                prop_assert!(!MILLIS.contains(&at) || end < 0);
            }
        }
    }

    #[test]
    fn a_text_that_is_no_snapshot_is_damage() {
        for text in ["", "1", "1:2", "1:2:x:", "1:2:3:4,x"] {
            assert!(Snapshot::read(text).is_err(), "{text}");
        }
        assert_eq!(Snapshot::read("1:2:3:").unwrap().open, Vec::<i64>::new());
    }
}

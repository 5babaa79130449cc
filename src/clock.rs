//! The one place that asks what time it is.
//!
//! Times are UTC and whole milliseconds, and written in one form, so that what is answered is what every store keeps and an id made at
//! an instant sorts with it.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use time::{
    OffsetDateTime, UtcOffset,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};
use uuid::{NoContext, Timestamp, Uuid};

/// Tells the time; a manual one stands still until a test moves it.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `at` until [`Clock::set`].
    #[must_use]
    pub fn manual(at: OffsetDateTime) -> Self {
        Self(Some(Arc::new(AtomicI64::new(unix_millis(at)))))
    }

    /// Moves a manual clock; the machine's own is left alone.
    pub fn set(&self, at: OffsetDateTime) {
        if let Some(hand) = &self.0 {
            hand.store(unix_millis(at), Ordering::SeqCst);
        }
    }

    /// Now, in UTC, cut to the millisecond.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let millis = self.0.as_ref().map(|hand| hand.load(Ordering::SeqCst));
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let now = OffsetDateTime::now_utc();
        from_unix_millis(millis.unwrap_or_else(|| unix_millis(now)))
    }
}

/// The years of times that callers may give: before and after them is no room for what is added or taken away here, nor
/// for every form that times are written in.
const YEARS: RangeInclusive<i32> = 1970..=9998;
/// What [`read_time`] takes, for errors.
pub const TIME: &str = "must be a time of the years 1970 to 9998 such as 2026-01-02T03:04:05Z";

/// A time as callers write it (RFC 3339), in UTC; `None` where it is none of the years 1970 to 9998.
#[must_use]
pub fn read_time(text: &str) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
    YEARS.contains(&time.year()).then_some(time)
}

/// The one form of times: three digits of a second, whatever they are.
const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A time as everything that is answered, exported or told writes it: RFC 3339, UTC, to the millisecond, such as
/// `2026-01-02T03:04:05.000Z`. Texts of this form sort as their times do.
#[must_use]
pub fn written(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(FORM).unwrap_or_else(|_| at.unix_timestamp_nanos().to_string())
}

/// The same with all digits that it has: of what is evidence, a change of the smallest of them is a change.
#[must_use]
pub fn written_whole(at: OffsetDateTime) -> String {
    if at.nanosecond().is_multiple_of(1_000_000) {
        return written(at);
    }
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp_nanos().to_string())
}

/// Times as [`written`], for `#[serde(with = "…")]`; read as RFC 3339.
pub mod rfc3339 {
    use serde::Serializer;
    use time::OffsetDateTime;

    pub use time::serde::rfc3339::deserialize;

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::written(*at))
    }

    /// The same where there may be none.
    pub mod option {
        use serde::Serializer;
        use time::OffsetDateTime;

        pub use time::serde::rfc3339::option::deserialize;

        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, serializer),
                None => serializer.serialize_none(),
            }
        }
    }
}

/// A new UUIDv7 that sorts at the instant `at`.
#[must_use]
pub fn id_at(at: OffsetDateTime) -> Uuid {
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.nanosecond()))
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn unix_millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// The instant that many milliseconds after the Unix epoch; the epoch itself where the calendar has no such day.
#[must_use]
pub fn from_unix_millis(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_manual_clock_stands_still_and_ids_sort_by_time() {
        let clock = Clock::manual(datetime!(2026-01-02 03:04:05.678 UTC));
        assert_eq!(clock.now(), datetime!(2026-01-02 03:04:05.678 UTC));
        let earlier = id_at(clock.now());
        clock.set(datetime!(2026-01-02 03:04:05.679 UTC));
        assert!(earlier < id_at(clock.now()));
    }

    #[test]
    fn every_time_has_the_same_form_and_only_evidence_has_more_digits() {
        for (at, expected, whole) in [
            (datetime!(2026-01-02 03:04:05 UTC), "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.000Z"),
            (datetime!(2026-01-02 03:04:05.06 +08:00), "2026-01-01T19:04:05.060Z", "2026-01-01T19:04:05.060Z"),
            (datetime!(0001-01-01 0:00:00.9996 UTC), "0001-01-01T00:00:00.999Z", "0001-01-01T00:00:00.9996Z"),
        ] {
            assert_eq!((written(at).as_str(), written_whole(at).as_str()), (expected, whole));
            assert_eq!(OffsetDateTime::parse(expected, &Rfc3339).unwrap(), from_unix_millis(unix_millis(at)));
        }
    }
}

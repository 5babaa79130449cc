//! `Retry-After`: how long a peer asks to wait (RFC 9110, 10.2.3).

use std::time::Duration;

use time::OffsetDateTime;

/// The longest wait that is read; more is cut to it, so that no sum with a time can overflow.
const LONGEST: Duration = Duration::from_hours(24);

/// The wait that a value of the header asks for, in whole seconds: a number, also with a fraction, which is rounded up,
/// or a date, of which those that are over mean now. `None` for anything else.
pub(super) fn wait(value: &str, now: OffsetDateTime) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|first: char| first.is_ascii_digit()) {
        return seconds(value);
    }
    let at = OffsetDateTime::from(httpdate::parse_http_date(value).ok()?);
    let left = Duration::try_from(at - now).unwrap_or_default();
    Some(whole(left.as_secs(), left.subsec_nanos() > 0))
}

fn seconds(value: &str) -> Option<Duration> {
    let (number, fraction) = value.split_once('.').unwrap_or((value, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are a very long time.
    let seconds = number.parse().unwrap_or(u64::MAX);
    (are_digits(number) && are_digits(fraction)).then(|| whole(seconds, fraction.bytes().any(|digit| digit != b'0')))
}

fn whole(seconds: u64, and_a_part: bool) -> Duration {
    Duration::from_secs(seconds.saturating_add(u64::from(and_a_part))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-28 12:00:00.25 UTC);

    #[test]
    fn numbers_fractions_and_dates_are_waits_in_whole_seconds() {
        for (value, seconds) in [
            ("7", 7),
            (" 7 ", 7),
            ("0", 0),
            ("7.0", 7),
            ("7.01", 8),
            ("0.5", 1),
            ("Sat, 28 Nov 2026 12:01:00 GMT", 60),
            ("Saturday, 28-Nov-26 12:01:00 GMT", 60),
            ("Sat Nov 28 12:01:00 2026", 60),
            ("Sat, 28 Nov 2026 11:00:00 GMT", 0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ] {
            assert_eq!(wait(value, NOW), Some(Duration::from_secs(seconds)), "{value}");
        }
        for value in ["", "soon", "-1", "+1", "1e9", "7.x", "7,5", "1.2.3", "tomorrow 12:00", "Sat, 28 Nov 2026"] {
            assert_eq!(wait(value, NOW), None, "{value}");
        }
    }

    #[test]
    fn no_value_is_longer_than_a_day() {
        let digits = "9".repeat(1000);
        for value in
            ["86401", "18446744073709551615.5", "18446744073709551616", &digits, "Fri, 31 Dec 9999 23:59:59 GMT"]
        {
            assert_eq!(wait(value, NOW), Some(LONGEST), "{value}");
        }
    }
}

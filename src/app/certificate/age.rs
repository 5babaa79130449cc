//! When it is to be told that a certificate ends.

use time::{Duration, OffsetDateTime};

/// From so long before its end on, and no longer than the last quarter of its time: some are made for a day.
const BEFORE: Duration = Duration::days(14);
/// How often.
const EVERY: Duration = Duration::DAY;

/// When that was told last.
#[derive(Debug, Default)]
pub(super) struct Age {
    told: Option<OffsetDateTime>,
}

impl Age {
    /// Whether it is to be told now of a certificate that is good from and until then; if so, it counts as told.
    pub(super) fn is_to_be_told(
        &mut self,
        (not_before, not_after): (OffsetDateTime, OffsetDateTime),
        now: OffsetDateTime,
    ) -> bool {
        let before = BEFORE.min((not_after - not_before) / 4);
        let is_worth_it = now < not_before || now >= not_after - before;
        let is_due = is_worth_it && self.told.is_none_or(|told| now - told >= EVERY);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_day_from_some_days_before_the_end_on() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let told = |length: Duration, step: Duration, until: Duration| {
            let (mut age, mut all, mut now) = (Age::default(), vec![], Duration::ZERO);
            while now < until {
                if age.is_to_be_told((start, start + length), start + now) {
                    all.push(now);
                }
                now += step;
            }
            all
        };
        let (days, hours) = (Duration::days, Duration::hours);
        let of_ninety = told(days(90), hours(1), days(92));
        assert_eq!(of_ninety, (76..92).map(days).collect::<Vec<_>>());
        assert_eq!(told(hours(24), Duration::minutes(10), hours(47)), [hours(18), hours(42)]);
        let mut age = Age::default();
        assert!(age.is_to_be_told((start + days(1), start + days(90)), start));
        assert!(!age.is_to_be_told((start, start + days(90)), start + days(1)));
    }
}

//! How long to wait between tries.

use std::time::Duration;

/// The wait after the first try.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const LONGEST: Duration = Duration::from_hours(1);
/// How often a delivery is tried: about a day in all.
const TRIES: i32 = 35;

/// How long to wait after so many tries, and nobody knows exactly: of many that failed at once not all come again at
/// once. `None` where it is given up. `luck` is any number.
pub(super) fn after(tries: i32, luck: u32) -> Option<Duration> {
    let doubled = u32::try_from(tries.clamp(1, TRIES) - 1).unwrap_or(0);
    let wait = FIRST.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST);
    // From four fifths of it to six fifths.
    let jittered = wait * 4 / 5 + wait * 2 / 5 * (luck % 1024) / 1024;
    (tries < TRIES).then_some(jittered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: u32 = 512;

    #[test]
    fn waits_grow_from_seconds_to_an_hour_and_last_about_a_day() {
        assert_eq!(after(1, MEAN), Some(FIRST));
        assert_eq!(after(2, MEAN), Some(2 * FIRST));
        assert_eq!(after(20, MEAN), Some(LONGEST));
        let all: Duration = (1..).map_while(|tries| after(tries, MEAN)).sum();
        assert!((23..=26).contains(&(all.as_secs() / 3600)), "{all:?}");
        assert_eq!((after(35, 0), after(i32::MAX, 0)), (None, None));
    }

    #[test]
    fn no_two_need_come_at_once() {
        let all: Vec<_> = (0..1024).filter_map(|luck| after(5, luck)).collect();
        let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!(*least == Duration::from_millis(25_600) && *most > Duration::from_secs(38), "{least:?} {most:?}");
    }
}

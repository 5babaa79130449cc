//! Slowing down for a vendor that throttles below its limit, and recovering.

use std::time::Duration;

use tokio::time::Instant;

/// How long it takes to get back from half the limit to all of it, when the vendor throttles no more.
const RECOVERY: Duration = Duration::from_secs(30);
/// The least part of a limit, in thousandths.
const LEAST: u32 = 50;

/// What part of a limit is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    limit: u32,
    /// The part in thousandths right after the vendor last throttled, and when that was.
    slowed: Option<(u32, Instant)>,
}

impl Pace {
    /// All of the limit.
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, slowed: None }
    }

    /// Halves the pace; calls that were throttled together count once.
    pub(crate) fn throttled(&mut self, now: Instant) {
        let together = self.slowed.is_some_and(|(_, at)| now.saturating_duration_since(at) < Duration::from_secs(1));
        if !together {
            self.slowed = Some(((self.thousandths(now) / 2).max(LEAST), now));
        }
    }

    /// Calls a second now, at least one.
    pub(crate) fn now(&self, now: Instant) -> u32 {
        let calls = u64::from(self.limit) * u64::from(self.thousandths(now)) / 1000;
        u32::try_from(calls).unwrap_or(self.limit).max(1)
    }

    fn thousandths(&self, now: Instant) -> u32 {
        self.slowed.map_or(1000, |(part, at)| {
            let since = now.saturating_duration_since(at).as_millis();
            let regained = 500 * since / RECOVERY.as_millis();
            u32::try_from(regained).unwrap_or(1000).saturating_add(part).min(1000)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_budget_halves_and_recovers() {
        let (mut pace, start) = (Pace::new(20), Instant::now());
        assert_eq!(pace.now(start), 20);
        pace.throttled(start);
        pace.throttled(start + Duration::from_millis(900));
        assert_eq!(pace.now(start), 10);
        assert_eq!(pace.now(start + RECOVERY / 2), 15);
        assert_eq!(pace.now(start + RECOVERY), 20);
        for second in 2..20 {
            pace.throttled(start + Duration::from_secs(second));
        }
        assert_eq!(pace.now(start + Duration::from_secs(19)), 1);
    }
}

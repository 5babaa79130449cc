//! When failures in a row mean that something is left alone, and when it is probed.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which something is left alone.
pub(super) const FAILURES: u32 = 5;
/// How long nothing is sent, before one call probes.
pub(super) const REST: Duration = Duration::from_secs(5);

/// Failures in a row, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    pub(super) failures: u32,
    /// When the next probe may go, where it is open.
    open_until: Option<Instant>,
}

impl Circuit {
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.open_until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// Whether it is left alone, or only probed.
    pub(super) const fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    pub(super) fn probed(&mut self, now: Instant) {
        self.open_until = self.open_until.map(|_| now + REST);
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.open_until = Some(now + REST);
        }
    }
}

//! Keeps a wrong key from locking itself.
//!
//! Huawei Cloud locks an access key for five minutes after more than five bad signatures in a row, and with it
//! everybody who shares the key. So after three the account answers for itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

/// Refusals in a row after which nothing is sent for [`PAUSE`].
const LIMIT: u32 = 3;
const PAUSE: Duration = Duration::seconds(60);

/// Counts the refusals of one key.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    refusals: u32,
    closed_until: Option<OffsetDateTime>,
    /// A call is trying whether the key is taken again.
    trying: bool,
}

impl Guard {
    /// Lets a call pass, or not: all of them while the key is in good standing, none while it is closed, and one
    /// at a time after that until the cloud has taken one.
    pub(super) fn admit(&self, now: OffsetDateTime) -> Option<Pass<'_>> {
        let mut state = self.state();
        let suspect = state.refusals >= LIMIT;
        if suspect && (state.trying || state.closed_until.is_some_and(|until| now < until)) {
            return None;
        }
        state.trying = suspect;
        Some(Pass { guard: self, suspect })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on its way; without an answer it counts neither way.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    guard: &'a Guard,
    suspect: bool,
}

impl Pass<'_> {
    /// Notes how the key fared.
    pub(super) fn answered(self, refused: bool, now: OffsetDateTime) {
        let mut state = self.guard.state();
        state.refusals = if refused { state.refusals.saturating_add(1) } else { 0 };
        state.closed_until = (state.refusals >= LIMIT).then(|| now + PAUSE);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.suspect {
            self.guard.state().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);

    #[test]
    fn three_refusals_close_for_a_minute_and_then_one_call_tries_at_a_time() {
        let guard = Guard::default();
        for _ in 0..3 {
            guard.admit(NOON).unwrap().answered(true, NOON);
        }
        assert!(guard.admit(NOON + Duration::seconds(59)).is_none());

        let later = NOON + PAUSE;
        let trying = guard.admit(later).unwrap();
        assert!(guard.admit(later).is_none());
        trying.answered(true, later);
        assert!(guard.admit(later + Duration::seconds(59)).is_none());

        let unanswered = guard.admit(later + PAUSE).unwrap();
        drop(unanswered);
        guard.admit(later + PAUSE).unwrap().answered(false, later + PAUSE);
        let (_one, _other) = (guard.admit(later + PAUSE).unwrap(), guard.admit(later + PAUSE).unwrap());
    }

    #[test]
    fn refusals_that_are_not_in_a_row_close_nothing() {
        let guard = Guard::default();
        for refused in [true, true, false, true, true] {
            guard.admit(NOON).unwrap().answered(refused, NOON);
        }
        assert!(guard.admit(NOON).is_some());
    }
}

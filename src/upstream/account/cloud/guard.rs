//! Keeps a wrong key from locking itself.
//!
//! Where a cloud locks a key, as Huawei Cloud does for five minutes after more than five bad signatures in a row, it locks
//! everybody who shares it. So the account answers for itself after three from one endpoint, which may be the wrong
//! one, and after five from all of them, which speak against the key.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use time::{Duration, OffsetDateTime};

use crate::lock::lock;

/// Refusals in a row by one endpoint after which nothing is sent to it for [`PAUSE`].
const LIMIT: u32 = 3;
/// Refusals after which nothing is sent to any; of one endpoint no more than [`LIMIT`] count.
const KEY_LIMIT: u32 = 5;
const PAUSE: Duration = Duration::seconds(60);

/// Counts the refusals of one key at each endpoint.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<HashMap<&'static str, State>>);

#[derive(Debug, Default)]
struct State {
    refusals: u32,
    refused_at: Option<OffsetDateTime>,
    /// A call is trying whether the key is taken again.
    trying: bool,
}

impl Guard {
    /// Lets a call to that endpoint pass, or not: all of them while the key is in good standing there, none while it is
    /// closed, and one at a time after that until the endpoint has taken one.
    pub(super) fn admit(&self, endpoint: &'static str, now: OffsetDateTime) -> Option<Pass<'_>> {
        let mut states = self.states();
        let all: u32 = states.values().map(|state| state.refusals.min(LIMIT)).sum();
        // Where they all speak against the key it is tried at one of them at a time, a while after the last refusal.
        let last = |state: &State| state.refused_at;
        let last_of_all = states.values().filter_map(last).max();
        let trying = all >= KEY_LIMIT && states.values().any(|state| state.trying);
        let state = states.entry(endpoint).or_default();
        let suspect = state.refusals >= LIMIT || all >= KEY_LIMIT;
        let last = if all >= KEY_LIMIT { last_of_all } else { state.refused_at };
        if suspect && (state.trying || trying || last.is_some_and(|at| now < at + PAUSE)) {
            return None;
        }
        state.trying = suspect;
        Some(Pass { guard: self, endpoint, suspect })
    }

    fn states(&self) -> MutexGuard<'_, HashMap<&'static str, State>> {
        lock(&self.0)
    }
}

/// A call on its way; without an answer it counts neither way.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    guard: &'a Guard,
    endpoint: &'static str,
    suspect: bool,
}

impl Pass<'_> {
    /// Notes how the key fared.
    pub(super) fn answered(self, refused: bool, now: OffsetDateTime) {
        let mut states = self.guard.states();
        let state = states.entry(self.endpoint).or_default();
        state.refusals = if refused { state.refusals.saturating_add(1) } else { 0 };
        state.refused_at = refused.then_some(now);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.suspect {
            self.guard.states().entry(self.endpoint).or_default().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);
    const DAS: &str = "das";

    fn refused(guard: &Guard, endpoint: &'static str, times: u32) {
        for _ in 0..times {
            guard.admit(endpoint, NOON).unwrap().answered(true, NOON);
        }
    }

    #[test]
    fn three_refusals_close_for_a_minute_and_then_one_call_tries_at_a_time() {
        let guard = Guard::default();
        refused(&guard, DAS, 3);
        assert!(guard.admit(DAS, NOON + Duration::seconds(59)).is_none());

        let later = NOON + PAUSE;
        let trying = guard.admit(DAS, later).unwrap();
        assert!(guard.admit(DAS, later).is_none());
        trying.answered(true, later);
        assert!(guard.admit(DAS, later + Duration::seconds(59)).is_none());

        let unanswered = guard.admit(DAS, later + PAUSE).unwrap();
        drop(unanswered);
        guard.admit(DAS, later + PAUSE).unwrap().answered(false, later + PAUSE);
        let (_one, _other) = (guard.admit(DAS, later + PAUSE).unwrap(), guard.admit(DAS, later + PAUSE).unwrap());
    }

    #[test]
    fn refusals_that_are_not_in_a_row_close_nothing() {
        let guard = Guard::default();
        for refused in [true, true, false, true, true] {
            guard.admit(DAS, NOON).unwrap().answered(refused, NOON);
        }
        assert!(guard.admit(DAS, NOON).is_some());
    }

    #[test]
    fn a_wrong_endpoint_closes_no_other_and_a_wrong_key_all() {
        let guard = Guard::default();
        refused(&guard, DAS, 3);
        for _ in 0..10 {
            guard.admit("gaussdb", NOON).unwrap().answered(false, NOON);
        }
        assert!(guard.admit(DAS, NOON).is_none());
        refused(&guard, "gaussdb", 2);
        for endpoint in [DAS, "gaussdb", "taurusdb"] {
            assert!(guard.admit(endpoint, NOON + Duration::seconds(59)).is_none(), "{endpoint}");
        }
        let later = NOON + PAUSE;
        let trying = guard.admit("taurusdb", later).unwrap();
        assert!(guard.admit("gaussdb", later).is_none(), "one at a time");
        drop(trying);
        guard.admit("gaussdb", later).unwrap().answered(false, later);
        let _others = [guard.admit("gaussdb", later).unwrap(), guard.admit("taurusdb", later).unwrap()];
    }
}

//! A vendor endpoint that is down fails fast, and is probed until it is back.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::upstream::Effect;

/// Calls in a row that must fail before the breaker opens.
const FAILURES: u32 = 5;
/// How long nothing is sent, before one call probes the endpoint.
const REST: Duration = Duration::from_secs(5);

/// Counts failures of one endpoint: no connection, no answer, an answer of 500 or more.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row, of kills and of reads: that lists are answered does not say that kills are.
    failures: [u32; 2],
    /// When the next probe may go, where the breaker is open.
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether a call may go now; otherwise how long nothing will. A call that may go through an open breaker is
    /// its probe, and no other one goes until the probe has ended or another rest has passed.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        match state.open_until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                state.open_until = Some(now + REST);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How long nothing will be sent, where the endpoint is left alone; the next call after that is a probe.
    pub(crate) fn rest(&self, now: Instant) -> Option<Duration> {
        self.state().open_until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// A call of that kind has ended. A probe that went well closes it, of whichever kind it was.
    pub(crate) fn ended(&self, effect: Effect, well: bool, now: Instant) {
        let mut state = self.state();
        if well && state.open_until.is_some() {
            *state = State::default();
            return;
        }
        let failures = &mut state.failures[usize::from(effect == Effect::Read)];
        *failures = if well { 0 } else { failures.saturating_add(1) };
        if *failures >= FAILURES {
            state.open_until = Some(now + REST);
        }
    }

    /// True while nothing but probes is sent.
    pub(crate) fn is_open(&self) -> bool {
        self.state().open_until.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_probe_that_goes_well() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES {
            breaker.ended(Effect::Kill, false, start);
        }
        breaker.ended(Effect::Kill, true, start);
        for _ in 0..FAILURES {
            breaker.ended(Effect::Read, true, start);
            assert_eq!(breaker.admit(start), Ok(()));
            breaker.ended(Effect::Kill, false, start);
        }
        assert_eq!((breaker.admit(start), breaker.rest(start)), (Err(REST), Some(REST)));
        let later = start + REST;
        assert_eq!(breaker.rest(later), None);
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(REST), "one probe at a time");
        breaker.ended(Effect::Read, true, later);
        assert_eq!((breaker.admit(later), breaker.is_open()), (Ok(()), false));
    }
}

//! A limit for each caller, so that one bot in a loop cannot starve the DBA on call.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use crate::domain::{Problem, ProblemCode};

/// How many kills one caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimit {
    pub kills_per_second: NonZeroU32,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

impl CallerLimit {
    /// The time in which a caller that has used up its burst gets it back, in whole seconds.
    #[must_use]
    pub fn window_seconds(&self) -> u32 {
        self.burst.get().div_ceil(self.kills_per_second.get())
    }
}

/// What one attempt left of a caller's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    pub limit: CallerLimit,
    /// Kills that the caller may ask for at once.
    pub remaining: u32,
    /// How long until the caller may ask again, where it may not now.
    pub wait: Option<Duration>,
}

impl Allowance {
    /// # Errors
    /// `rate_limited` where the caller has to wait.
    pub fn check(&self) -> Result<(), Problem> {
        let Some(wait) = self.wait else { return Ok(()) };
        let sentence = "this caller asks for too many kills; nothing was killed";
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(Problem::new(ProblemCode::RateLimited, sentence).retry_after(seconds.max(1)))
    }
}

type Limiter = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The allowances of all callers of this gateway.
#[derive(Debug)]
pub(in crate::kill) struct Callers {
    limit: CallerLimit,
    limiter: Limiter,
    clock: DefaultClock,
}

impl Callers {
    pub(in crate::kill) fn new(limit: CallerLimit) -> Self {
        let quota = Quota::per_second(limit.kills_per_second).allow_burst(limit.burst);
        let limiter = RateLimiter::keyed(quota).with_middleware();
        Self { limit, limiter, clock: DefaultClock::default() }
    }

    /// Counts one attempt of `caller`, the subject of its token.
    pub(in crate::kill) fn admit(&self, caller: &str) -> Allowance {
        match self.limiter.check_key(&caller.to_owned()) {
            Ok(state) => Allowance { limit: self.limit, remaining: state.remaining_burst_capacity(), wait: None },
            Err(not_yet) => {
                let wait = not_yet.wait_time_from(self.clock.now());
                Allowance { limit: self.limit, remaining: 0, wait: Some(wait) }
            }
        }
    }

    /// Forgets callers that have their whole burst again.
    pub(in crate::kill) fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_uses_up_its_own_burst_only() {
        let limit = |n| NonZeroU32::new(n).unwrap();
        let callers = Callers::new(CallerLimit { kills_per_second: limit(1), burst: limit(3) });
        let remaining: Vec<_> = (0..3).map(|_| callers.admit("bot").remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = callers.admit("bot").check().unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (ProblemCode::RateLimited, Some(1)));
        assert_eq!(callers.admit("dba").check(), Ok(()));
    }
}

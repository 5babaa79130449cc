//! Limits for each caller, so that one bot in a loop cannot starve the DBA on call, nor a dashboard the bot.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use crate::domain::{Problem, ProblemCode};

/// What one caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimits {
    pub kills: CallerLimit,
    /// Lists of sessions, of which a preview is one too.
    pub lists: CallerLimit,
}

/// What is counted against which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Kill,
    List,
}

impl Counted {
    /// The name of the limit in `RateLimit` headers.
    #[must_use]
    pub const fn policy(self) -> &'static str {
        match self {
            Self::Kill => "caller",
            Self::List => "lists",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Kill => "this caller asks for too many kills; nothing was killed",
            Self::List => "this caller asks for too many lists and previews; no vendor was asked",
        }
    }
}

/// How much of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimit {
    pub per_second: NonZeroU32,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

impl CallerLimit {
    /// The time in which a caller that has used up its burst gets it back, in whole seconds.
    #[must_use]
    pub fn window_seconds(&self) -> u32 {
        self.burst.get().div_ceil(self.per_second.get())
    }
}

/// What one attempt left of a caller's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    pub counted: Counted,
    pub limit: CallerLimit,
    /// How many the caller may ask for at once.
    pub remaining: u32,
    /// How long until the caller may ask again, where it may not now.
    pub wait: Option<Duration>,
}

impl Allowance {
    /// # Errors
    /// `rate_limited` where the caller has to wait.
    pub fn check(&self) -> Result<(), Problem> {
        let Some(seconds) = self.wait_seconds() else { return Ok(()) };
        Err(Problem::new(ProblemCode::RateLimited, self.counted.sentence()).retry_after(seconds.max(1)))
    }

    /// The wait in whole seconds.
    #[must_use]
    pub fn wait_seconds(&self) -> Option<u64> {
        self.wait.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

type Limiter = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The allowances of all callers of this gateway.
#[derive(Debug)]
pub(in crate::kill) struct Callers {
    limits: CallerLimits,
    kills: Limiter,
    lists: Limiter,
    clock: DefaultClock,
}

impl Callers {
    pub(in crate::kill) fn new(limits: CallerLimits) -> Self {
        let limiter = |limit: CallerLimit| {
            RateLimiter::keyed(Quota::per_second(limit.per_second).allow_burst(limit.burst)).with_middleware()
        };
        Self { limits, kills: limiter(limits.kills), lists: limiter(limits.lists), clock: DefaultClock::default() }
    }

    /// Counts one attempt of `caller`, the subject of its token.
    pub(in crate::kill) fn admit(&self, caller: &str, counted: Counted) -> Allowance {
        let (limit, limiter) = match counted {
            Counted::Kill => (self.limits.kills, &self.kills),
            Counted::List => (self.limits.lists, &self.lists),
        };
        let (remaining, wait) = match limiter.check_key(&caller.to_owned()) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(not_yet) => (0, Some(not_yet.wait_time_from(self.clock.now()))),
        };
        Allowance { counted, limit, remaining, wait }
    }

    /// Forgets callers that have their whole burst again.
    pub(in crate::kill) fn forget_idle(&self) {
        for limiter in [&self.kills, &self.lists] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_uses_up_its_own_burst_only() {
        let callers = callers();
        let remaining: Vec<_> = (0..3).map(|_| callers.admit("bot", Counted::Kill).remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = callers.admit("bot", Counted::Kill).check().unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (ProblemCode::RateLimited, Some(1)));
        assert_eq!(callers.admit("dba", Counted::Kill).check(), Ok(()));
    }

    #[test]
    fn lists_use_up_nothing_of_what_there_is_for_kills() {
        let callers = callers();
        while callers.admit("bot", Counted::List).check().is_ok() {}
        assert_eq!(callers.admit("bot", Counted::Kill).remaining, 2);
    }

    fn callers() -> Callers {
        let limit = |burst| CallerLimit { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(burst).unwrap() };
        Callers::new(CallerLimits { kills: limit(3), lists: limit(5) })
    }
}

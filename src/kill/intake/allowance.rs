//! Limits for each caller, so that one bot in a loop cannot starve the DBA on call, nor a dashboard the bot.
//!
//! A repetition of a key takes nothing of them: it asks for a kill that there is. It has a limit of its own, as high as the
//! one for kills, so that no flood of keys reads the record without end; beyond it a repetition counts as what it repeats.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::Mutex,
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use crate::{
    domain::{Problem, ProblemCode},
    lock::lock,
};

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
    kills: Limited,
    lists: Limited,
    repetitions: Limited,
}

impl Callers {
    pub(in crate::kill) fn new(limits: CallerLimits) -> Self {
        let CallerLimits { kills, lists } = limits;
        Self { kills: Limited::new(kills), lists: Limited::new(lists), repetitions: Limited::new(kills) }
    }

    pub(in crate::kill) const fn limits(&self) -> CallerLimits {
        CallerLimits { kills: self.kills.limit, lists: self.lists.limit }
    }

    /// Counts one attempt of `caller`, the subject of its token.
    pub(in crate::kill) fn admit(&self, caller: &str, counted: Counted) -> Allowance {
        let limited = self.of(counted);
        let (remaining, wait) = match limited.take(caller) {
            Ok(remaining) => (remaining, None),
            Err(wait) => (0, Some(wait)),
        };
        Allowance { counted, limit: limited.limit, remaining, wait }
    }

    /// Takes back that an attempt was counted.
    pub(in crate::kill) fn give_back(&self, caller: &str, taken: &Allowance) -> Allowance {
        self.of(taken.counted).give_back(caller, Instant::now());
        Allowance { remaining: (taken.remaining + 1).min(taken.limit.burst.get()), ..taken.clone() }
    }

    /// Counts one repetition of a key; whether it is within its limit.
    pub(in crate::kill) fn may_repeat(&self, caller: &str) -> bool {
        self.repetitions.take(caller).is_ok()
    }

    /// Forgets callers that have their whole burst again.
    pub(in crate::kill) fn forget_idle(&self) {
        for limited in [&self.kills, &self.lists, &self.repetitions] {
            limited.limiter.retain_recent();
            limited.limiter.shrink_to_fit();
            lock(&limited.returned).retain(|_, (_, until)| *until > Instant::now());
        }
    }

    const fn of(&self, counted: Counted) -> &Limited {
        match counted {
            Counted::Kill => &self.kills,
            Counted::List => &self.lists,
        }
    }
}

/// One limit, and what each caller has left of it.
#[derive(Debug)]
struct Limited {
    limit: CallerLimit,
    limiter: Limiter,
    clock: DefaultClock,
    /// What was given back to a caller, until its whole burst would have come back anyway.
    returned: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Limited {
    fn new(limit: CallerLimit) -> Self {
        let quota = Quota::per_second(limit.per_second).allow_burst(limit.burst);
        let limiter = RateLimiter::keyed(quota).with_middleware();
        Self { limit, limiter, clock: DefaultClock::default(), returned: Mutex::default() }
    }

    /// Takes one: how many are left.
    ///
    /// # Errors
    /// How long until there is one, where there is none.
    fn take(&self, caller: &str) -> Result<u32, Duration> {
        let taken = self.limiter.check_key(&caller.to_owned());
        let mut returned = lock(&self.returned);
        let own = returned.get_mut(caller).filter(|(_, until)| *until > Instant::now()).map(|(many, _)| many);
        match (taken, own) {
            (Ok(state), own) => {
                let all = state.remaining_burst_capacity() + own.map_or(0, |many| *many);
                Ok(all.min(self.limit.burst.get().saturating_sub(1)))
            }
            (Err(_), Some(many)) if *many > 0 => {
                *many -= 1;
                Ok(*many)
            }
            (Err(not_yet), _) => Err(not_yet.wait_time_from(self.clock.now())),
        }
    }

    fn give_back(&self, caller: &str, now: Instant) {
        let until = now + Duration::from_secs(self.limit.window_seconds().into());
        let mut returned = lock(&self.returned);
        let own = returned.entry(caller.to_owned()).or_insert((0, until));
        let (many, until) = if own.1 > now { *own } else { (0, until) };
        *own = ((many + 1).min(self.limit.burst.get()), until);
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

    #[test]
    fn what_was_given_back_can_be_taken_again_and_no_more() {
        let callers = callers();
        let taken = callers.admit("bot", Counted::Kill);
        assert_eq!(callers.give_back("bot", &taken).remaining, 3);
        let remaining: Vec<_> = (0..4).map(|_| callers.admit("bot", Counted::Kill)).collect();
        let told: Vec<_> = remaining.iter().map(|one| (one.remaining, one.wait.is_none())).collect();
        assert_eq!(told, [(2, true), (1, true), (0, true), (0, false)]);
        assert!(callers.admit("dba", Counted::Kill).wait.is_none());
    }

    #[test]
    fn repetitions_are_counted_by_themselves_and_not_without_end() {
        let callers = callers();
        while callers.admit("bot", Counted::Kill).check().is_ok() {}
        assert_eq!((0..1000).filter(|_| callers.may_repeat("bot")).count(), 3);
        assert!(callers.may_repeat("dba"));
    }

    fn callers() -> Callers {
        let limit = |burst| CallerLimit { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(burst).unwrap() };
        Callers::new(CallerLimits { kills: limit(3), lists: limit(5) })
    }
}

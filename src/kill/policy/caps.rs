//! How many sessions may be ended: by one kill, and at one target within a minute.
//!
//! Counted when they are about to be sent, in this gateway alone. The invariant: within no minute more sessions of a
//! target are let through than its cap.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

use time::{Duration, OffsetDateTime};

use crate::{
    dispatch::report::seconds,
    domain::{Problem, ProblemCode, Target},
    kill::intake::request::MAX_IDS,
    lock::lock,
    upstream::may_be_same_place,
};

/// The caps of every target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCaps {
    /// Most sessions of one kill.
    pub per_kill: usize,
    /// Most sessions of one target within a minute; 0: as many as come.
    pub per_target_minute: usize,
}

impl Default for SessionCaps {
    fn default() -> Self {
        Self { per_kill: MAX_IDS, per_target_minute: 0 }
    }
}

/// What was let through within the last minute, by target.
#[derive(Debug)]
pub(in crate::kill) struct Caps {
    caps: SessionCaps,
    counted: Mutex<Counted>,
}

impl Caps {
    pub(in crate::kill) fn new(caps: SessionCaps) -> Self {
        Self { caps, counted: Mutex::default() }
    }

    /// Whether it matters how many sessions a kill is about.
    pub(in crate::kill) const fn depend_on_count(&self) -> bool {
        self.caps.per_kill < MAX_IDS || self.caps.per_target_minute > 0
    }

    /// Whether a target has a share of each minute.
    pub(in crate::kill) const fn limit_targets(&self) -> bool {
        self.caps.per_target_minute > 0
    }

    /// Whether one kill may end so many.
    ///
    /// # Errors
    /// `invalid` where it may not.
    pub(in crate::kill) fn check_kill(&self, sessions: usize) -> Result<(), Problem> {
        let most = self.caps.per_kill;
        if sessions <= most {
            return Ok(());
        }
        Err(Problem::invalid("select", format!("is about {sessions} sessions, and a kill may end at most {most}")))
    }

    /// Lets so many sessions of a target through now; what may be the same place is counted together.
    ///
    /// # Errors
    /// `rate_limited` until the minute has room for them; `invalid` where no minute ever has.
    pub(in crate::kill) fn take(&self, target: &Target, sessions: usize, now: OffsetDateTime) -> Result<(), Problem> {
        let most = self.caps.per_target_minute;
        if most == 0 {
            return Ok(());
        }
        if sessions > most {
            let sentence =
                format!("is about {sessions} sessions, and of this target at most {most} may end in a minute");
            return Err(Problem::invalid("select", sentence));
        }
        let mut counted = self.counted();
        let mut taken: Vec<_> = counted
            .iter_mut()
            .filter(|(place, _)| may_be_same_place(place, target))
            .flat_map(|(_, taken)| {
                forget(taken, now);
                taken.iter().copied()
            })
            .collect();
        let mut over = (taken.iter().map(|(_, sessions)| sessions).sum::<usize>() + sessions).saturating_sub(most);
        if over == 0 {
            let place = Target { alias: None, ..target.clone() };
            counted.entry(place).or_default().push_back((now, sessions));
            return Ok(());
        }
        taken.sort_unstable();
        let mut room_at = now;
        for (at, sessions) in &taken {
            room_at = *at + Duration::MINUTE;
            over = over.saturating_sub(*sessions);
            if over == 0 {
                break;
            }
        }
        let wait = std::time::Duration::try_from(room_at - now).unwrap_or_default();
        let sentence = format!("of this target at most {most} sessions may end in a minute; nothing was killed");
        Err(Problem::new(ProblemCode::RateLimited, sentence).retry_after(seconds(wait)))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        lock(&self.counted)
    }

    /// Forgets targets of which nothing was let through within the last minute.
    pub(in crate::kill) fn forget_idle(&self, now: OffsetDateTime) {
        self.counted().retain(|_, taken| {
            forget(taken, now);
            !taken.is_empty()
        });
    }
}

type Counted = HashMap<Target, VecDeque<(OffsetDateTime, usize)>>;

fn forget(taken: &mut VecDeque<(OffsetDateTime, usize)>, now: OffsetDateTime) {
    taken.retain(|(at, _)| *at + Duration::MINUTE > now);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use crate::domain::VendorName;

    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);

    fn target(alias: Option<&str>, node: &str) -> Target {
        let (vendor, account) = (VendorName("taurusdb"), "huawei".to_owned());
        Target { alias: alias.map(str::to_owned), vendor, account, coordinates: [("node_id", node.to_owned())].into() }
    }

    fn caps(per_target_minute: usize) -> Caps {
        Caps::new(SessionCaps { per_target_minute, ..SessionCaps::default() })
    }

    #[test]
    fn a_target_has_so_many_sessions_a_minute_however_it_is_named() {
        let caps = caps(5);
        let take = |alias, sessions, after| {
            let problem = caps.take(&target(alias, "1"), sessions, NOON + Duration::seconds(after)).err()?;
            Some((problem.code, problem.retry_after))
        };
        assert_eq!(take(Some("a"), 3, 0), None);
        assert_eq!(take(None, 2, 10), None);
        assert_eq!(take(Some("b"), 1, 10), Some((ProblemCode::RateLimited, Some(50))));
        assert_eq!(take(None, 4, 59), Some((ProblemCode::RateLimited, Some(11))), "three are not enough");
        assert_eq!(take(None, 3, 60), None);
        assert_eq!(take(None, 6, 300), Some((ProblemCode::Invalid, None)));
        assert_eq!(caps.take(&target(None, "2"), 5, NOON), Ok(()));
        caps.forget_idle(NOON + Duration::MINUTE);
        assert_eq!(caps.counted().len(), 1);
        assert_eq!(super::tests::caps(0).take(&target(None, "1"), 1000, NOON), Ok(()));
    }

    #[test]
    fn a_kill_has_so_many_sessions() {
        let caps = Caps::new(SessionCaps { per_kill: 2, per_target_minute: 0 });
        assert_eq!(caps.check_kill(2), Ok(()));
        let problem = caps.check_kill(3).unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::Invalid, Some("select")));
    }

    proptest! {
        #[test]
        fn no_minute_ever_has_more(kills in prop::collection::vec((0_i64..40_000, 1_usize..8), 1..60)) {
            let (caps, mut now, mut through) = (caps(10), NOON, vec![]);
            for (pause, sessions) in kills {
                now += Duration::milliseconds(pause);
                if caps.take(&target(None, "1"), sessions, now).is_ok() {
                    through.push((now, sessions));
                }
            }
            for (end, _) in &through {
                let within = through.iter().filter(|(at, _)| at <= end && *at + Duration::MINUTE > *end);
                prop_assert!(within.map(|(_, sessions)| sessions).sum::<usize>() <= 10);
            }
        }
    }
}

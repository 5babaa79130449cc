//! What may be sent again, how often, and after which pause.
//!
//! The invariants: a kill is sent again only after a call that surely did nothing: throttled, never connected, too late
//! for its permit, or with a token that has been renewed since. A read may be repeated also where nobody knows whether it
//! ran. Nothing is repeated for ever.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    dispatch::{
        GRACE,
        batch::{Batch, Waiting},
        rate::limiter::SPAN,
        report::Stop,
    },
    domain::Status,
    upstream::{Effect, Fault, FaultKind, Replay},
};

/// How often a kill is sent again after no connection could be made.
const RECONNECTS: u32 = 2;
/// The pause before a kill is sent again, where the vendor names none.
const PAUSE: Duration = Duration::from_millis(250);
/// Pauses before a read is repeated: the first, and the longest; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The longest that a vendor is left alone because it asked for it: by then it is asked again, whatever it said.
pub(super) const LONGEST_HOLD: Duration = Duration::from_mins(10);

/// How long nothing is sent after a fault that surely did nothing.
fn pause_after(fault: &Fault) -> Duration {
    fault.retry_after.unwrap_or(PAUSE).min(LONGEST_HOLD)
}

/// What becomes of a batch whose call brought no report.
#[derive(Debug)]
pub(super) struct Retry {
    /// Wait for another permit.
    pub(super) again: Batch,
    /// Are told why not.
    pub(super) over: Batch,
    pub(super) stop: Stop,
    /// Until when nothing at all is to be sent.
    pub(super) hold: Option<Instant>,
}

impl Retry {
    /// Parts a batch into kills that may be sent again and others.
    pub(super) fn of(batch: Batch, stop: Stop, now: Instant) -> Self {
        match stop {
            Stop::Renewed(fault) => Self::renewed(batch, &fault),
            Stop::Fault(fault) => match (fault.kind.replay(), fault.kind) {
                (Replay::AfterPause, FaultKind::TooLate) => Self::too_late(batch, now),
                (Replay::AfterPause, FaultKind::NotConnected | FaultKind::Credentials) => {
                    Self::unconnected(batch, &fault, now)
                }
                (Replay::AfterPause, _) => Self::held(batch, &fault, now),
                (Replay::AfterRenewal | Replay::Never, _) => Self::new(batch, Stop::Fault(fault), |_| false),
            },
            stop => Self::new(batch, stop, |_| false),
        }
    }

    fn new(batch: Batch, stop: Stop, is_again: impl FnMut(&mut Waiting) -> bool) -> Self {
        let (again, over) = batch.partition(is_again);
        Self { again, over, stop, hold: None }
    }

    /// The vendor has not taken the token and there is a new one: once, each kill waits for another permit.
    fn renewed(batch: Batch, fault: &Fault) -> Self {
        Self::new(batch, Stop::Fault(fault.clone()), |kill| {
            kill.fault = Some(fault.clone());
            !std::mem::replace(&mut kill.renewed, true)
        })
    }

    /// The permit passed before the call could begin: all but those who have left wait for another one.
    fn too_late(batch: Batch, now: Instant) -> Self {
        Self::new(batch, Stop::NoPermit(SPAN), |kill| kill.until + GRACE > now)
    }

    /// No connection was made, or there are no credentials: these kills rest, and others may go meanwhile.
    fn unconnected(batch: Batch, fault: &Fault, now: Instant) -> Self {
        let at = now + pause_after(fault);
        let retry = Self::new(batch, Stop::Fault(fault.clone()), |kill| {
            kill.reconnects += 1;
            kill.fault = Some(fault.clone());
            kill.until > at && kill.reconnects <= RECONNECTS
        });
        Self { again: retry.again.resting_until(at), ..retry }
    }

    /// The vendor wants a pause, of everybody.
    fn held(batch: Batch, fault: &Fault, now: Instant) -> Self {
        let at = now + pause_after(fault);
        let retry = Self::new(batch, Stop::Fault(fault.clone()), |kill| {
            kill.fault = Some(fault.clone());
            kill.until > at
        });
        Self { hold: Some(at), ..retry }
    }
}

/// How often the calls of one script were repeated, and why.
#[derive(Debug, Default)]
pub(super) struct Again {
    pauses: u32,
    renewed: bool,
}

/// What a script does after a fault.
pub(super) enum Next {
    At(Instant),
    Renewed(Fault),
    Stop(Fault),
}

impl Again {
    /// When the call that met `fault` may be made again within its script: one that may kill after a renewal only, a read
    /// after a pause too, and also where nobody knows whether it ran.
    pub(super) fn when(&mut self, fault: Fault, effect: Effect, until: Instant) -> Next {
        match fault.kind.replay() {
            Replay::AfterRenewal if !self.renewed => {
                self.renewed = true;
                Next::Renewed(fault)
            }
            _ if effect == Effect::Kill => Next::Stop(fault),
            Replay::Never if fault.kind.status() != Status::Unknown => Next::Stop(fault),
            Replay::AfterPause | Replay::AfterRenewal | Replay::Never => {
                let doubled = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(8)).min(LONGEST_PAUSE);
                self.pauses += 1;
                // A vendor may name a time that no clock has.
                match Instant::now().checked_add(fault.retry_after.unwrap_or(doubled)) {
                    Some(moment) if moment <= until => Next::At(moment),
                    _ => Next::Stop(fault),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_the_vendor_asks_for_has_an_end() {
        let asked = |seconds| Fault { retry_after: seconds, ..Fault::new(FaultKind::Throttled, "kill") };
        assert_eq!(pause_after(&asked(None)), PAUSE);
        assert_eq!(pause_after(&asked(Some(Duration::from_secs(7)))), Duration::from_secs(7));
        assert_eq!(pause_after(&asked(Some(Duration::from_secs(999_999)))), LONGEST_HOLD);
    }
}

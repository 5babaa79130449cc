//! How long a kill may take, which is what others leave it alone for.

use std::time::Duration;

use crate::dispatch::{GRACE, rate::limiter::Limit};

/// What may pass between the request of a kill and the mark that its first call may leave, without its being told anew
/// how long the kill may take.
pub(super) const SLACK: Duration = Duration::from_millis(500);
/// How much longer than the longest kill an idempotency key gives the same kill.
pub(super) const KEY_MARGIN: Duration = Duration::from_mins(15);

/// The longest time that a kill of so many sessions can take: every call of it, and every step of one, may wait for its
/// turn and then for its answer, and a look before it may take as long again.
pub(super) fn longest(limit: Limit, sessions: usize, looks: bool) -> Duration {
    calls_take(limit, sessions.div_ceil(limit.max_ids_per_call.max(1)).max(1), looks)
}

/// The longest time that so many calls can take.
pub(super) fn calls_take(limit: Limit, calls: usize, looks: bool) -> Duration {
    let one = (limit.max_wait + GRACE + limit.timeout) * limit.steps;
    one * u32::try_from(calls).unwrap_or(u32::MAX).saturating_mul(if looks { 2 } else { 1 })
}

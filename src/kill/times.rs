//! How long a kill may take, which is what others leave it alone for.

use std::{collections::HashMap, time::Duration};

use super::intake::request::MAX_IDS;
use crate::{
    dispatch::{GRACE, rate::limiter::Limit},
    domain::{MAX_PLACES, split_id},
    upstream,
};

/// What may pass between the request of a kill and the mark that its first call may leave, without its being told anew
/// how long the kill may take.
pub(super) const SLACK: Duration = Duration::from_millis(500);
/// How much longer than the longest kill an idempotency key gives the same kill.
pub(super) const KEY_MARGIN: Duration = Duration::from_mins(15);

/// The longest time that a kill of these sessions can take, or of a call that names none: every call of it, and every step of
/// one, may wait for its turn and then for its answer, and a look before it may take as long again.
pub(super) fn longest<'i>(limit: Limit, ids: impl IntoIterator<Item = &'i str>, looks: bool) -> Duration {
    let mut of_places: HashMap<Option<&str>, usize> = HashMap::new();
    for id in ids {
        *of_places.entry(split_id(id).0).or_default() += 1;
    }
    let calls: usize = of_places.values().map(|ids| calls_of(limit, *ids)).sum();
    calls_take(limit, calls.max(1), looks)
}

/// The longest time that any kill of a vendor with that limit can take.
pub(super) fn longest_of_all(limit: Limit, vendor: &str) -> Duration {
    let has_places = upstream::find(vendor).is_some_and(|vendor| vendor.capabilities().division().is_some());
    // The sessions that fill no call in each of its places.
    let beside = if has_places { MAX_PLACES - 1 } else { 0 };
    calls_take(limit, calls_of(limit, MAX_IDS) + beside, true)
}

/// How many calls so many sessions of one place take.
fn calls_of(limit: Limit, sessions: usize) -> usize {
    sessions.div_ceil(limit.max_ids_per_call.max(1))
}

/// The longest time that so many calls can take.
pub(super) fn calls_take(limit: Limit, calls: usize, looks: bool) -> Duration {
    let one = (limit.max_wait + GRACE + limit.timeout) * limit.steps;
    one * u32::try_from(calls).unwrap_or(u32::MAX).saturating_mul(if looks { 2 } else { 1 })
}

//! The kills that the index takes in no form, which must keep no other from it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{domain::KillId, lock::lock};

/// For how long the first of them is left out. Of many each is left out for longer, so that others have their turn before the
/// first comes again, however many they are.
const A_WHILE: Duration = Duration::from_mins(1);
const FOR_EACH: Duration = Duration::from_secs(1);

/// When each of them is tried again. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(in crate::audit) struct Refused(Arc<Mutex<BTreeMap<KillId, Instant>>>);

impl Refused {
    pub(super) fn add(&self, kill: KillId) {
        let mut refused = lock(&self.0);
        let many = u32::try_from(refused.len()).unwrap_or(u32::MAX);
        refused.insert(kill, Instant::now() + A_WHILE.max(FOR_EACH * many));
    }

    /// Those that are left out now, and whether one of the others was refused before.
    pub(super) fn left_out(&self) -> (Vec<KillId>, bool) {
        let (refused, now) = (lock(&self.0), Instant::now());
        let left_out: Vec<KillId> = refused.iter().filter(|(_, until)| **until > now).map(|(kill, _)| *kill).collect();
        let is_any_due = left_out.len() < refused.len();
        (left_out, is_any_due)
    }

    /// The index takes what it did not take: all are tried again.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}

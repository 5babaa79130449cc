//! How far a gateway's checkpoints have come, for whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use time::OffsetDateTime;

use crate::lock::lock;

/// What became of a gateway's checkpoints, by their destination; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Delivered(Arc<Mutex<BTreeMap<&'static str, Delivery>>>);

/// How far the checkpoints of one destination have come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The last block of which it has the checkpoint.
    pub number: Option<i64>,
    /// When this gateway delivered that one.
    pub at: Option<OffsetDateTime>,
    /// Whether the last try failed.
    pub is_failing: bool,
}

impl Delivered {
    /// Each destination, and how far it has come.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&'static str, Delivery> {
        lock(&self.0).clone()
    }

    /// There is such a destination, and before this gateway began it had the checkpoint of that block.
    pub(super) fn begins(&self, to: &'static str, number: Option<i64>) {
        lock(&self.0).insert(to, Delivery { number, ..Delivery::default() });
    }

    /// It has the checkpoint of that block from now on.
    pub(super) fn has(&self, to: &'static str, number: i64, now: OffsetDateTime) {
        lock(&self.0).insert(to, Delivery { number: Some(number), at: Some(now), is_failing: false });
    }

    /// Whether the last try failed.
    pub(super) fn fails(&self, to: &'static str, is_failing: bool) {
        lock(&self.0).entry(to).or_default().is_failing = is_failing;
    }
}

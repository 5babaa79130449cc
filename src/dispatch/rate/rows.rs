//! Reads that wait for permits: each caller's stand in a row.
//!
//! The invariant: of one caller, one read at a time waits for the next permit of a budget. So permits that are still to
//! come are divided among callers, however many kills each of them has looked at.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

use super::budget::Budget;
use crate::{dispatch::rounds::Caller, lock::lock};

/// Above so many rows, those in which nobody stands are forgotten.
const REMEMBERED: usize = 1000;

type Row = Arc<tokio::sync::Mutex<()>>;

/// The rows of every budget, by caller.
#[derive(Debug, Default)]
pub(crate) struct Rows(Mutex<HashMap<(Budget, Caller), Row>>);

/// The first place of a row, until it is dropped.
#[derive(Debug)]
pub(crate) struct First(#[expect(dead_code, reason = "held for what comes with its drop")] OwnedMutexGuard<()>);

impl Rows {
    /// Waits to be the first of that caller's reads, in the order in which they came; `None` where it is not by `until`.
    pub(crate) async fn first(&self, budget: &Budget, caller: &Caller, until: Instant) -> Option<First> {
        let row = {
            let mut rows = lock(&self.0);
            if rows.len() >= REMEMBERED {
                rows.retain(|_, row| Arc::strong_count(row) > 1);
            }
            Arc::clone(rows.entry((budget.clone(), Caller::clone(caller))).or_default())
        };
        timeout_at(until, row.lock_owned()).await.ok().map(First)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_caller_has_one_first_read_and_keeps_no_other_caller_back() {
        let (rows, budget, until) = (Rows::default(), Budget::sample(), Instant::now());
        let first = |caller: &str| rows.first(&budget, &caller.into(), until).now_or_never().flatten();
        let bot = first("bot").unwrap();
        assert!(first("bot").is_none());
        assert!(first("dba").is_some());
        drop(bot);
        assert!(first("bot").is_some());
    }

    #[tokio::test]
    async fn rows_in_which_nobody_stands_are_forgotten() {
        let (rows, budget) = (Rows::default(), Budget::sample());
        let held = rows.first(&budget, &"bot".into(), Instant::now()).await;
        for caller in 0..2 * REMEMBERED {
            drop(rows.first(&budget, &caller.to_string().into(), Instant::now()).await);
        }
        assert!(lock(&rows.0).len() <= REMEMBERED);
        assert!(rows.first(&budget, &"bot".into(), Instant::now()).now_or_never().flatten().is_none());
        drop(held);
    }
}

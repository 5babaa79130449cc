//! Attempts beyond their callers' limits: the first goes on record as it is, those that follow it together, once a second.
//!
//! The invariant: what was counted stays counted until it is on record.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    domain::Problem,
    kill::{Gate, run},
    lock::lock,
};

use super::submission::Submission;

/// The time between two records of one caller's attempts beyond its limit.
const EVERY: Duration = Duration::from_secs(1);

/// The attempts of each caller that are counted and not on record yet.
#[derive(Debug, Default)]
pub(in crate::kill) struct Tallies(Mutex<HashMap<String, Tally>>);

/// One caller's attempts since its last record.
#[derive(Debug, Default)]
struct Tally {
    /// The first of them.
    sample: Option<Box<Submission>>,
    attempts: u32,
}

impl Tally {
    fn add(&mut self, sample: Box<Submission>, attempts: u32) {
        self.sample.get_or_insert(sample);
        self.attempts = self.attempts.saturating_add(attempts);
    }
}

impl Tallies {
    /// Counts an attempt, unless it is the first for a while: that is given back to be recorded as it is.
    pub(in crate::kill) fn count(&self, mut attempt: Box<Submission>) -> Option<Box<Submission>> {
        match self.tallies().entry(attempt.context.caller.clone()) {
            Entry::Vacant(first) => {
                first.insert(Tally::default());
                Some(attempt)
            }
            Entry::Occupied(mut counted) => {
                attempt.abridge();
                counted.get_mut().add(attempt, 1);
                None
            }
        }
    }

    /// What was counted of that caller. With nothing its next attempt is a first one again.
    fn take(&self, caller: &str) -> Option<(Box<Submission>, u32)> {
        let mut tallies = self.tallies();
        let Tally { sample, attempts } = std::mem::take(tallies.get_mut(caller)?);
        if sample.is_none() {
            tallies.remove(caller);
        }
        Some((sample?, attempts))
    }

    fn put_back(&self, sample: Box<Submission>, attempts: u32) {
        self.tallies().entry(sample.context.caller.clone()).or_default().add(sample, attempts);
    }

    fn tallies(&self) -> MutexGuard<'_, HashMap<String, Tally>> {
        lock(&self.0)
    }

    fn callers(&self) -> Vec<String> {
        self.tallies().keys().cloned().collect()
    }
}

/// Records what is counted of a caller, once a second for as long as there is anything.
pub(in crate::kill) async fn record_tallies_of(gate: Arc<Gate>, caller: String) {
    loop {
        sleep(EVERY).await;
        if !record_tally(&gate, &caller).await {
            return;
        }
    }
}

/// Records all that is only counted so far.
pub(in crate::kill) async fn record_all(gate: &Arc<Gate>) {
    for caller in gate.tallies.callers() {
        record_tally(gate, &caller).await;
    }
}

/// Records what is counted of a caller; false where there is nothing.
async fn record_tally(gate: &Arc<Gate>, caller: &str) -> bool {
    let _under_way = gate.in_flight.enter();
    let Some((sample, attempts)) = gate.tallies.take(caller) else { return false };
    let mut counted = sample.clone();
    counted.asked = counted.asked.map_err(|limited| counting(limited, attempts));
    if let Err(problem) = Box::pin(run::begin(Arc::clone(gate), counted)).await {
        tracing::warn!(
            caller,
            attempts,
            problem = problem.code.as_str(),
            "attempts beyond a limit are not on record yet"
        );
        gate.tallies.put_back(sample, attempts);
    }
    true
}

/// The problem of a record that stands for so many attempts.
fn counting(mut limited: Problem, attempts: u32) -> Problem {
    if attempts > 1 {
        limited.detail =
            format!("{}; {attempts} attempts were turned away, and this is the record of all of them", limited.detail);
        limited.attempts = Some(attempts);
    }
    limited
}

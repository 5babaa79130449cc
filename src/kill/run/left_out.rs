//! Sessions that the vendor's answer left out: looked for once, before the kill is answered.
//!
//! The invariant: it sends nothing that changes anything, and a look that fails leaves what the vendor said.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    dispatch::{
        report::Report,
        runner::{Purpose, Reader},
    },
    kill::after::settle,
};

use super::Run;

/// The longest that a kill waits for this look.
const LOOK: Duration = Duration::from_secs(5);

impl Run {
    /// What is known of the kill after a list that was asked for after the vendor's answer, where the answer left out sessions
    /// that were seen before.
    pub(super) async fn settle_left_out(&self, mut report: Report) -> Report {
        let job = &self.job;
        // What went wrong with another call of the kill stands.
        let filters = settle::of_left_out(job.runner.able, &report.sessions).filter(|_| report.problem.is_none());
        let (Some(filters), Some((_, until))) = (filters, self.marked) else { return report };
        // No longer than others leave the kill alone.
        let left = Duration::try_from(until - job.gate.clock.now()).unwrap_or_default() / 2;
        let span = job.trace.step("look");
        let reader = Reader::new(Purpose::Kill(job.class), &self.kill.caller).within(span.trace());
        let left_out = settle::left_out(&report.sessions).map(|session| session.id.as_str());
        let place = job.asked.order.target.narrowed(left_out);
        let list = job.gate.looks.shared(&job.runner, &place, &filters, &reader);
        match timeout(LOOK.min(left), Box::pin(list)).await {
            Ok(Ok(seen)) => {
                settle::learn_of_left_out(&mut report.sessions, &self.calls, seen.list(true));
                report.status = self.kill.adds_up(&report.sessions);
            }
            Ok(Err(problem)) => {
                tracing::warn!(kill_id = %self.kill.id, detail = problem.detail, "no list after the kill");
            }
            Err(_) => tracing::warn!(kill_id = %self.kill.id, "no list after the kill in time"),
        }
        report
    }
}

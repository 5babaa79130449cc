//! Outcomes that could not be written at once: kept, tried again, and never lost without a word.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use crate::{
    audit::AuditError,
    domain::{Kill, Sent},
    kill::Kills,
};

/// The first pause before an outcome is written again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How long it is tried. A database that is away for longer has other gateways settle the kill by looking, or people.
const PATIENCE: Duration = Duration::from_hours(6);

/// An outcome as it is to be written. If it is dropped before it was, the log has it.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) kill: Kill,
    pub(super) calls: Vec<Sent>,
    pub(super) at: OffsetDateTime,
    pub(super) look_at: Option<OffsetDateTime>,
    is_settled: bool,
}

impl Unwritten {
    pub(super) fn new(kill: &Kill, calls: Vec<Sent>, at: OffsetDateTime, look_at: Option<OffsetDateTime>) -> Self {
        Self { kill: kill.clone(), calls, at, look_at, is_settled: false }
    }

    /// It is on record, or something else is.
    pub(super) fn settled(mut self) {
        self.is_settled = true;
    }
}

impl Kills {
    /// Writes an outcome; `false` if the kill was settled already.
    pub(super) async fn write(&self, outcome: &Unwritten) -> Result<bool, AuditError> {
        let Unwritten { kill, calls, at, look_at, .. } = outcome;
        self.0.audit.answer(kill, calls, *at, *look_at).await
    }

    /// What is on record of a kill that was to be settled here and is not open any more; `None` where there is nothing.
    pub(super) async fn recorded(&self, outcome: &Unwritten) -> Option<Kill> {
        let kill_id = outcome.kill.id;
        match self.0.audit.find(kill_id).await {
            Ok(Some(settled)) => Some(settled),
            Ok(None) => {
                self.0.metrics.outcome_lost();
                tracing::error!(%kill_id, "the record of a kill is gone: the database has lost what it had committed");
                None
            }
            Err(error) => {
                tracing::warn!(%kill_id, %error, "a settled kill could not be read");
                None
            }
        }
    }

    /// Keeps trying to write an outcome that the caller already knows, unless the database will never take it. Until it
    /// is written the row is pending, and another gateway may have called it unknown meanwhile: both may still become
    /// what is known here.
    pub(super) async fn record_later(&self, outcome: Unwritten, mut error: AuditError) {
        let (kill_id, until, mut pause) = (outcome.kill.id, Instant::now() + PATIENCE, PAUSE.0);
        loop {
            self.0.metrics.audit_failure();
            if !error.may_pass() || Instant::now() > until {
                self.0.metrics.outcome_lost();
                tracing::error!(%kill_id, %error, "an outcome is given up: the database does not take it");
                return;
            }
            tracing::error!(%kill_id, %error, "an outcome could not be written yet");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
            match self.write(&outcome).await {
                Ok(true) => return outcome.settled(),
                Ok(false) => {
                    if self.recorded(&outcome).await.is_some() {
                        outcome.settled();
                    }
                    return;
                }
                Err(next) => error = next,
            }
        }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let Kill { id, status, sessions, upstream, .. } = &self.kill;
        let outcomes: Vec<_> = sessions.iter().map(|it| format!("{}={}", it.id, it.outcome.as_str())).collect();
        tracing::error!(
            kill_id = %id,
            %status,
            outcomes = outcomes.join(" "),
            calls = self.calls.len(),
            upstream_request_id = upstream.request_id,
            "what became of a kill is not on record, and nobody here will write it any more"
        );
    }
}

//! What kills write and read of the record, and what is answered where they cannot.
//!
//! The invariants: without a record nothing is sent; and an outcome that could not be written at once is kept, tried again,
//! and never lost without a word.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use crate::{
    audit::{Attempt, Audit, AuditError, Begun, IdempotencyKey},
    domain::{Kill, KillId, Problem, ProblemCode, Sent},
    metrics::Metrics,
    notify::webhook::Webhooks,
    seats::Seats,
    spans::{Span, Trace},
};

use super::{
    after::settle,
    intake::{keyed::Keyed, submission::Context},
    policy::targets::Targets,
};

/// The first pause before an outcome is written again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How long it is tried. A database that is away for longer has other gateways settle the kill by looking, or people.
const PATIENCE: Duration = Duration::from_hours(6);

/// How long what was not heard to be committed may still be, or its database be away. Then others settle it, as `unknown`.
const IN_DOUBT: Duration = Duration::from_mins(1);

/// The record as kills see it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) audit: Audit,
    pub(super) webhooks: Webhooks,
    pub(super) targets: Arc<Targets>,
    pub(super) metrics: Arc<Metrics>,
    /// The name under which this gateway holds kills that it works on.
    pub(super) gateway: String,
    /// How long an idempotency key gives the same kill: always longer than any kill takes.
    pub(super) key_life: Duration,
    /// Attempts that may be committed and were not heard to be. What is beyond that is settled as `unknown`.
    pub(super) doubts: Seats,
}

/// An attempt that was not heard to be committed.
#[derive(Debug)]
pub(super) struct Unheard {
    pub(super) problem: Problem,
    /// Whether it may be committed all the same.
    pub(super) may_be_committed: bool,
}

impl Record {
    /// The webhooks that are to be told of an attempt: none where it names nothing that its caller may name.
    pub(super) fn concerned(&self, context: &Context, kill: &Kill) -> Vec<String> {
        let Some(named) = kill.target.as_ref().filter(|_| context.may_kill && !self.webhooks.is_empty()) else {
            return Vec::new();
        };
        let permitted = self.targets.permitted(&context.caller, named);
        permitted.map(|target| self.webhooks.concerned(&context.caller, &target)).unwrap_or_default()
    }

    /// Commits an attempt and who is to be told of it; without that nothing is sent.
    ///
    /// # Errors
    /// `audit_unavailable` where it cannot be committed.
    pub(super) async fn begin(&self, attempt: &Attempt) -> Result<Begun, Unheard> {
        self.audit.begin(attempt, self.key_life).await.map_err(|error| {
            self.metrics.audit_failure();
            tracing::error!(%error, "the record could not be written, so nothing was sent");
            Unheard { problem: unavailable(), may_be_committed: error.may_pass() }
        })
    }

    /// Records that nothing was sent of a kill whose attempt was to say at once that bytes may leave, and was not heard to be
    /// committed. Where it was, or still is, nobody would know.
    pub(super) async fn take_back(&self, mut kill: Kill, at: OffsetDateTime) {
        settle::never_sent(&mut kill, at);
        let (until, mut pause) = (Instant::now() + IN_DOUBT, PAUSE.0);
        while Instant::now() < until {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
            match self.audit.conclude(&kill, at, "answered", None).await {
                Ok(true) => return,
                Err(error) if !error.may_pass() => {
                    tracing::error!(kill_id = %kill.id, %error, "the record may not say that nothing was sent of a kill");
                    return;
                }
                // It was not committed, or it is not yet.
                Ok(false) | Err(_) => {}
            }
        }
    }

    /// Records that from now on bytes may leave; without that none does, and a kill that another gateway
    /// took over by now is not sent either. Nobody takes it over before `due`.
    ///
    /// # Errors
    /// It must not be sent.
    pub(super) async fn mark_sent(&self, kill: &Kill, at: OffsetDateTime, due: OffsetDateTime) -> Result<(), Problem> {
        let recorded = self.audit.mark_sent(kill.id, &self.gateway, at, due).await;
        self.may_go_on(kill, recorded)
    }

    /// Records what a look before a kill has shown and decided. Nobody takes the kill over before `due`.
    ///
    /// # Errors
    /// It must not be sent.
    pub(super) async fn looked(&self, kill: &Kill, at: OffsetDateTime, due: OffsetDateTime) -> Result<(), Problem> {
        let recorded = self.audit.conclude(kill, at, "looked", Some(due)).await;
        self.may_go_on(kill, recorded)
    }

    /// Whether a kill may go on after something of it was to be recorded before anything is sent.
    fn may_go_on(&self, kill: &Kill, recorded: Result<bool, AuditError>) -> Result<(), Problem> {
        match recorded {
            Ok(true) => Ok(()),
            Ok(false) => {
                let sentence = "this gateway was too slow and another one has settled the kill; nothing was killed";
                Err(Problem::new(ProblemCode::Overloaded, sentence).retry_after(1))
            }
            Err(error) => {
                self.metrics.audit_failure();
                tracing::error!(kill_id = %kill.id, %error, "the record could not be written, so nothing was sent");
                Err(unavailable())
            }
        }
    }

    /// What the key of that caller's attempt makes of it, where it stands for a kill.
    ///
    /// # Errors
    /// `audit_unavailable` where the record cannot be read.
    pub(super) async fn keyed(
        &self,
        caller: &str,
        key: &IdempotencyKey,
        at: OffsetDateTime,
    ) -> Result<Option<Keyed>, Problem> {
        let found = self.audit.keyed(caller, key, at).await.map_err(|error| self.unread(&error))?;
        Ok(found.map(|(kill, same_request)| Keyed::of(kill, same_request)))
    }

    /// A recorded kill, before another one that rests on it.
    ///
    /// # Errors
    /// `audit_unavailable` where the record cannot be read.
    pub(super) async fn find(&self, id: KillId) -> Result<Option<Kill>, Problem> {
        self.audit.find(id).await.map_err(|error| self.unread(&error))
    }

    fn unread(&self, error: &AuditError) -> Problem {
        self.metrics.audit_failure();
        tracing::error!(%error, "the record could not be read, so nothing was sent");
        unavailable()
    }

    /// Writes an outcome; `false` if the kill was settled already.
    pub(super) async fn write(&self, outcome: &Unwritten) -> Result<bool, AuditError> {
        let Unwritten { kill, calls, at, look_at, .. } = outcome;
        self.audit.answer(kill, calls, *at, *look_at).await
    }

    /// What is on record of a kill that was to be settled here and is not open any more; `None` where there is nothing.
    pub(super) async fn recorded(&self, outcome: &Unwritten) -> Option<Kill> {
        let kill_id = outcome.kill.id;
        match self.audit.find(kill_id).await {
            Ok(Some(settled)) => Some(settled),
            Ok(None) => {
                self.metrics.outcome_lost();
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
    pub(super) async fn write_later(&self, outcome: Unwritten, mut error: AuditError) {
        let (kill_id, until, mut pause) = (outcome.kill.id, Instant::now() + PATIENCE, PAUSE.0);
        loop {
            self.metrics.audit_failure();
            if !error.may_pass() || Instant::now() > until {
                self.metrics.outcome_lost();
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

/// What is told of writing an entry of that kind.
pub(super) fn step(trace: &Trace, entry: &'static str) -> Span {
    trace.step("record").with("killgate.entry", entry)
}

/// An outcome as it is to be written. If it is dropped before it was, the log has it.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) kill: Arc<Kill>,
    pub(super) calls: Vec<Sent>,
    pub(super) at: OffsetDateTime,
    pub(super) look_at: Option<OffsetDateTime>,
    is_settled: bool,
}

impl Unwritten {
    pub(super) fn new(kill: Arc<Kill>, calls: Vec<Sent>, at: OffsetDateTime, look_at: Option<OffsetDateTime>) -> Self {
        Self { kill, calls, at, look_at, is_settled: false }
    }

    /// It is on record, or something else is.
    pub(super) fn settled(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let Kill { id, status, sessions, upstream, .. } = &*self.kill;
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

fn unavailable() -> Problem {
    Problem::new(ProblemCode::AuditUnavailable, "the kill could not be recorded, so nothing was sent").retry_after(1)
}

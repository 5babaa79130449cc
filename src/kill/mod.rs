//! The use-case: record, wait for a turn, drive the vendor, record, answer.
//!
//! The invariants: no vendor sees a byte before the kill's row is committed; once it is committed the kill runs
//! to its end, whether or not its caller still listens; what is answered is what was recorded.

mod after;
pub mod handle;
mod in_flight;
pub mod intake;
pub mod look;
pub mod policy;
mod record;
mod run;
mod times;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{runtime::Handle, sync::watch};
use tracing::Instrument as _;

use crate::{
    audit::{Attempt, Audit, Begun},
    clock::Clock,
    dispatch::{
        rate::limiter::{Class, Limit},
        upstreams::Upstreams,
    },
    domain::{Kill, KillId, Problem, ProblemCode, Status},
    metrics::Metrics,
    notify::webhook::Webhooks,
    upstream::{self, account::Account},
};

use handle::Ticket;
use in_flight::InFlight;
use intake::{
    allowance::{Allowance, CallerLimit, Callers},
    request,
    submission::{Context, Submission, first_record},
};
use policy::{
    caps::{Caps, SessionCaps},
    confirming::Confirming,
    targets::Targets,
};
use run::Job;
use times::{KEY_MARGIN, SLACK, calls_take, longest};

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub audit: Audit,
    pub accounts: BTreeMap<String, Arc<Account>>,
    pub limits: HashMap<(String, &'static str), Limit>,
    pub caller_limit: CallerLimit,
    pub session_caps: SessionCaps,
    pub confirming: Confirming,
    pub targets: Targets,
    pub webhooks: Webhooks,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// The name under which this gateway holds kills that it works on.
    pub gateway: String,
    /// How long an idempotency key is kept.
    pub key_ttl: Duration,
    /// For how long after a kill is looked whether its sessions come back; zero is not at all.
    pub watch_for: Duration,
}

/// Takes kills and sees them through.
#[derive(Debug, Clone)]
pub struct Kills(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    audit: Audit,
    upstreams: Upstreams,
    callers: Callers,
    caps: Caps,
    confirming: Confirming,
    targets: Targets,
    webhooks: Webhooks,
    clock: Clock,
    metrics: Arc<Metrics>,
    gateway: String,
    key_ttl: Duration,
    watch_for: Duration,
    /// Kills outlive the request and its worker thread, so they run here.
    runtime: Handle,
    in_flight: watch::Sender<usize>,
    /// Whether the gateway is about to stop.
    is_leaving: AtomicBool,
}

impl Kills {
    /// The gateway is about to stop: others are to be asked from now on.
    pub fn leave(&self) {
        self.0.is_leaving.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Ordering::Relaxed)
    }

    /// Must be called on the runtime that kills shall run on, which must outlive the HTTP workers.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { audit, accounts, limits, caller_limit, session_caps, confirming, targets, webhooks, .. } = parts;
        let (clock, metrics, gateway, key_ttl) = (parts.clock, parts.metrics, parts.gateway, parts.key_ttl);
        let watch_for = parts.watch_for;
        let upstreams = Upstreams::new(accounts, limits, audit.clone(), clock.clone(), Arc::clone(&metrics));
        let (runtime, in_flight) = (Handle::current(), watch::Sender::new(0));
        Self(Arc::new(Inner {
            audit,
            upstreams,
            callers: Callers::new(caller_limit),
            caps: Caps::new(session_caps),
            confirming,
            targets,
            webhooks,
            clock,
            metrics,
            gateway,
            key_ttl,
            watch_for,
            runtime,
            in_flight,
            is_leaving: AtomicBool::new(false),
        }))
    }

    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.0.targets
    }

    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        &self.0.upstreams
    }

    /// The text that a scraper reads.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.0.upstreams.measure();
        self.0.metrics.text()
    }

    /// Counts one attempt of that caller; whether it may go on is for [`Allowance::check`].
    #[must_use]
    pub fn admit(&self, caller: &str) -> Allowance {
        self.0.callers.admit(caller)
    }

    /// Records an attempt and, where it is a valid kill, starts it.
    ///
    /// # Errors
    /// `audit_unavailable` where the record could not be written: then nothing was sent. `in_progress` for an
    /// idempotency key that is being worked on.
    pub async fn submit(&self, submission: Submission) -> Result<Ticket, Problem> {
        let kills = self.clone();
        let guard = InFlight::enter(&self.0);
        let begun = async move { kills.begin(submission, guard).await }.in_current_span();
        let internal = |_| Problem::new(ProblemCode::Internal, "the gateway failed; see its log");
        self.0.runtime.spawn(begun).await.map_err(internal)?
    }

    /// Waits until no kill is being worked on.
    pub async fn idle(&self) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = self.0.in_flight.subscribe().wait_for(|kills| *kills == 0).await;
    }

    async fn begin(self, submission: Submission, guard: InFlight) -> Result<Ticket, Problem> {
        let inner = &*self.0;
        let submission = self.vetted(submission).await?;
        let now = inner.clock.now();
        let kill = first_record(&submission, now);
        let literals = submission.context.literals;
        let (mut driver, mut plan, mut patience) = (None, None, Duration::ZERO);
        if let Ok(asked) = &submission.asked {
            let script = inner.upstreams.runner(&asked.order.target)?;
            if !asked.dry_run {
                plan = match self.look_needed(&script, asked) {
                    Ok(plan) => plan,
                    Err(problem) => return self.refuse(submission, problem, guard).await,
                };
            }
            // Until the look there is no telling how many calls there will be; then it is told anew. A preview is a look or
            // two.
            patience = match &plan {
                _ if asked.dry_run => longest(script.limit, 1, false) * 2,
                Some(_) => longest(script.limit, 1, false),
                None => longest(script.limit, kill.sessions.len(), false),
            };
            driver = Some(script);
        }
        let mut attempt = Attempt {
            request: submission.request.as_ref().map(ToString::to_string),
            client_address: submission.context.client_address,
            client_id: submission.context.client_id,
            token_id: submission.context.token_id,
            request_id: submission.context.request_id,
            dry_run: submission.asked.as_ref().is_ok_and(|asked| asked.dry_run),
            key: submission.context.key,
            gateway: inner.gateway.clone(),
            deadline: now + patience + SLACK,
            webhooks: Vec::new(),
            kill,
        };
        match inner.record(&mut attempt).await? {
            Begun::New => {}
            Begun::Existing { kill, same_request: true } => return inner.taken_key(*kill),
            Begun::Existing { kill, same_request: false } => {
                let mut attempt = key_reused(attempt, kill.id, now);
                inner.record(&mut attempt).await?;
                inner.report(&attempt, Duration::ZERO);
                return Ok(Ticket::new(attempt.kill, inner.audit.clone()).1);
            }
        }
        let (updates, ticket) = Ticket::new(attempt.kill.clone(), inner.audit.clone());
        match (driver, submission.asked) {
            (Some(driver), Ok(asked)) => {
                let class = if submission.context.urgent { Class::Urgent } else { Class::Kill };
                let job = Job { driver, asked, plan, class, literals };
                let work = async move { self.work(job, attempt, updates, guard).await };
                Handle::current().spawn(work.in_current_span());
            }
            _ => inner.report(&attempt, Duration::ZERO),
        }
        Ok(ticket)
    }

    /// Records an attempt that turned out to be one that cannot be done.
    async fn refuse(self, submission: Submission, problem: Problem, guard: InFlight) -> Result<Ticket, Problem> {
        let context = Context { key: None, ..submission.context };
        let refused = Submission { context, asked: Err(problem), request: submission.request };
        Box::pin(self.begin(refused, guard)).await
    }
}

impl Inner {
    /// Commits an attempt and who is to be told of it; without that nothing is sent.
    async fn record(&self, attempt: &mut Attempt) -> Result<Begun, Problem> {
        // A preview is nobody's news.
        attempt.webhooks =
            if attempt.dry_run { Vec::new() } else { self.webhooks.concerned(&attempt.kill, &self.targets) };
        self.audit.begin(attempt, self.key_life()).await.map_err(|error| {
            self.metrics.audit_failure();
            tracing::error!(%error, "the record could not be written, so nothing was sent");
            unavailable()
        })
    }

    /// How long an idempotency key gives the same kill: always longer than any kill takes.
    fn key_life(&self) -> Duration {
        let longest = self.upstreams.limits().map(|limit| longest(limit, request::MAX_IDS, true)).max();
        self.key_ttl.max(longest.unwrap_or_default() + KEY_MARGIN)
    }

    /// The answer to a key that stands for this very request.
    fn taken_key(&self, kill: Kill) -> Result<Ticket, Problem> {
        if kill.status == Status::Pending {
            let sentence = "the kill with this Idempotency-Key is being worked on";
            return Err(Problem::new(ProblemCode::InProgress, sentence).retry_after(1).kill(kill.id));
        }
        Ok(Ticket::replayed(kill, self.audit.clone()))
    }

    /// One line and one count for each kill.
    fn report(&self, attempt: &Attempt, took: Duration) {
        let kill = &attempt.kill;
        // A request that was not understood may name anything: a label only where it is one of the table's.
        let vendor = kill.target.as_ref().and_then(|target| upstream::find(target["vendor"].as_str()?));
        let vendor = vendor.map(|vendor| vendor.name().as_str());
        self.metrics.kill(vendor, kill.status.as_str());
        tracing::info!(
            kill_id = %kill.id,
            status = %kill.status,
            caller = kill.caller,
            on_behalf_of = kill.on_behalf_of,
            actor = kill.actor,
            vendor,
            account = kill.target.as_ref().and_then(|target| target["account"].as_str()),
            sessions = kill.sessions.len(),
            problem = kill.problem.as_ref().map(|problem| problem.code.as_str()),
            upstream_request_id = kill.upstream.request_id,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "kill"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Another request under a key that stands for `taken`: an attempt of its own, on record without the key.
fn key_reused(mut attempt: Attempt, taken: KillId, now: OffsetDateTime) -> Attempt {
    let sentence = format!("this Idempotency-Key stands for another request, the kill {taken}");
    attempt.key = None;
    attempt.kill.status = Status::Failed;
    attempt.kill.sessions.clear();
    attempt.kill.problem = Some(Problem::new(ProblemCode::KeyReused, sentence).at("Idempotency-Key"));
    attempt.kill.completed_at = Some(now);
    attempt
}

fn unavailable() -> Problem {
    Problem::new(ProblemCode::AuditUnavailable, "the kill could not be recorded, so nothing was sent").retry_after(1)
}

//! The use-case: record, wait for a turn, call the vendor, record, answer.
//!
//! The invariants: no vendor sees a byte before what was asked is committed; once it is, the kill runs
//! to its end, whether or not its caller still listens; what is answered is what was recorded.
//!
//! A kill is one task, `run`, and each room has what it goes through: [`intake`], [`policy`], [`look`], the dispatch of its
//! calls ([`crate::dispatch`]), and `after` what is learned later.

mod after;
mod freshness;
pub mod handle;
mod in_flight;
pub mod intake;
pub mod look;
pub mod policy;
mod record;
mod run;
mod times;
mod upkeep;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot, task::JoinSet};
use tracing::Instrument as _;

use crate::{
    audit::Audit,
    clock::Clock,
    dispatch::{rate::limiter::Limit, upstreams::Upstreams},
    domain::{Kill, Problem, ProblemCode},
    metrics::{Exposition, Metrics},
    notify::webhook::Webhooks,
    seats::{Seat, Seats},
    spans::Tracer,
    upstream::account::Account,
};

use after::{reconcile::Reconciler, recurrence::Recurrence};
use freshness::Freshness;
use handle::Ticket;
use in_flight::InFlight;
use intake::{
    allowance::{Allowance, CallerLimits, Callers, Counted},
    keyed::Keyed,
    submission::Submission,
    tally::{self, Tallies},
};
use look::{
    Looks,
    list::{Looked, Question},
};
use policy::{
    Policy,
    caps::{Caps, SessionCaps},
    confirming::{Confirm, Confirming},
    targets::Targets,
};
use record::Record;
use times::{KEY_MARGIN, longest_of_all};

/// The most attempts of one caller that wait for the record: a fifth of what can wait there.
const BEGINNING: usize = 2000;

/// The most attempts that are taken back at once, half of them of one caller, while it is in doubt what is on record.
const DOUBTS: usize = 256;

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    pub audit: Audit,
    pub accounts: BTreeMap<String, Arc<Account>>,
    pub limits: HashMap<(String, &'static str), Limit>,
    pub caller_limits: CallerLimits,
    pub session_caps: SessionCaps,
    pub confirming: Confirming,
    pub targets: Targets,
    pub webhooks: Webhooks,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub tracer: Tracer,
    /// The name under which this gateway holds kills that it works on.
    pub gateway: String,
    /// How long an idempotency key is kept.
    pub key_ttl: Duration,
    /// For how long after a kill is looked whether its sessions come back; zero is not at all.
    pub watch_for: Duration,
}

/// Takes kills and sees them through. Clones are the same.
#[derive(Debug, Clone)]
pub struct Kills(Arc<Gate>);

/// What every kill goes through.
#[derive(Debug)]
struct Gate {
    callers: Callers,
    tallies: Tallies,
    /// Attempts that wait for the record.
    beginning: Seats,
    policy: Arc<Policy>,
    record: Arc<Record>,
    /// The record for those who only read it.
    reading: Audit,
    upstreams: Arc<Upstreams>,
    looks: Looks,
    reconciler: Arc<Reconciler>,
    clock: Clock,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    owed: Freshness,
    /// Kills outlive the request and its worker thread, so they run here.
    runtime: Handle,
    in_flight: InFlight,
    /// Whether the gateway is about to stop.
    is_leaving: AtomicBool,
}

impl Kills {
    /// Must be called on the runtime that kills shall run on, which must outlive the HTTP workers.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { audit, accounts, limits, session_caps, confirming, webhooks, clock, metrics, gateway, .. } = parts;
        let tracer = parts.tracer;
        let longest = limits.iter().map(|((_, vendor), limit)| longest_of_all(*limit, vendor)).max();
        let key_life = parts.key_ttl.max(longest.unwrap_or_default() + KEY_MARGIN);
        let targets = Arc::new(parts.targets);
        let upstreams = Upstreams::new(accounts, limits, audit.clone(), clock.clone(), Arc::clone(&metrics));
        let upstreams = Arc::new(upstreams);
        let (audit, reading) = (audit.for_kills(), audit);
        let recurrence =
            Recurrence::new(audit.clone(), Arc::clone(&upstreams), clock.clone(), gateway.clone(), parts.watch_for);
        let seen = (Arc::clone(&metrics), tracer.clone());
        let reconciler = Reconciler::new(audit.clone(), Arc::clone(&upstreams), clock.clone(), &gateway, seen);
        let policy = Policy { targets: Arc::clone(&targets), caps: Caps::new(session_caps), confirming };
        let doubts = Seats::new(DOUBTS, DOUBTS / 2);
        let record = Record { audit, webhooks, targets, metrics: Arc::clone(&metrics), gateway, key_life, doubts };
        let (policy, record) = (Arc::new(policy), Arc::new(record));
        let looks = Looks {
            upstreams: Arc::clone(&upstreams),
            policy: Arc::clone(&policy),
            record: Arc::clone(&record),
            recurrence: Arc::new(recurrence),
            clock: clock.clone(),
            rounds: <_>::default(),
        };
        let (callers, runtime) = (Callers::new(parts.caller_limits), Handle::current());
        let in_flight = InFlight::new(metrics.in_flight().clone());
        let is_leaving = AtomicBool::new(false);
        Self(Arc::new(Gate {
            callers,
            tallies: Tallies::default(),
            beginning: Seats::for_each(BEGINNING),
            policy,
            record,
            reading,
            upstreams,
            looks,
            reconciler: Arc::new(reconciler),
            clock,
            metrics,
            tracer,
            owed: Freshness::default(),
            runtime,
            in_flight,
            is_leaving,
        }))
    }

    /// Counts one attempt of that caller; whether it may go on is for [`Allowance::check`].
    #[must_use]
    pub fn admit(&self, caller: &str, counted: Counted) -> Allowance {
        self.0.callers.admit(caller, counted)
    }

    /// Takes one attempt of a caller, as far as its allowance goes: what came of it, and what is left of that. What
    /// repeats a key takes nothing of it, within a limit of its own.
    ///
    /// The attempt may fail with `audit_unavailable` where the record could not be written: then nothing was sent; with
    /// `overloaded` where too many attempts of the caller wait for it; with `in_progress` for an idempotency key that is
    /// being worked on; and with `rate_limited` where it has no record of its own.
    pub async fn attempt(
        &self,
        mut attempt: Box<Submission>,
        counted: Counted,
    ) -> (Result<Ticket, Problem>, Allowance) {
        let caller = attempt.context.caller.clone();
        attempt.read(self.targets());
        let allowance = self.admit(&caller, counted);
        if let Err(limited) = allowance.check() {
            return (Box::pin(self.turn_away(attempt, limited)).await, allowance);
        }
        let ticket = self.submit(attempt).await;
        let is_repetition = match &ticket {
            Ok(ticket) => ticket.replayed,
            Err(problem) => problem.code == ProblemCode::InProgress,
        };
        if is_repetition && self.0.callers.may_repeat(&caller) {
            return (ticket, self.0.callers.give_back(&caller, &allowance));
        }
        (ticket, allowance)
    }

    /// Records an attempt and, where it is a valid kill, starts it.
    async fn submit(&self, mut submission: Box<Submission>) -> Result<Ticket, Problem> {
        let seat = self.0.beginning.take(&submission.context.caller).map_err(|_| {
            let sentence = "too many attempts of this caller wait for the record; nothing was killed";
            Problem::new(ProblemCode::Overloaded, sentence).retry_after(1)
        })?;
        if !submission.context.may_kill {
            submission.abridge();
        }
        self.start(submission, seat).await
    }

    /// Turns away an attempt beyond its caller's limit, unless its key stands for a kill: it is on record at once, or
    /// counted in the record of the next second.
    async fn turn_away(&self, mut attempt: Box<Submission>, mut limited: Problem) -> Result<Ticket, Problem> {
        let caller = attempt.context.caller.clone();
        if let Some(key) = attempt.context.key.take() {
            if self.0.callers.may_repeat(&caller) {
                match self.0.record.keyed(&caller, &key, self.0.clock.now()).await? {
                    Some(Keyed::Repeated(answer)) => return answer,
                    Some(Keyed::Reused(problem)) => {
                        attempt.refuse(problem);
                        return self.submit(attempt).await;
                    }
                    None => {}
                }
            } else {
                // Nobody knows what became of the kill that it may stand for.
                let sentence = "this caller asks for too much; this request did nothing, and its Idempotency-Key was not looked up";
                sentence.clone_into(&mut limited.detail);
            }
        }
        attempt.refuse(limited.clone());
        let Some(first) = self.0.tallies.count(attempt) else { return Err(limited) };
        drop(self.0.runtime.spawn(tally::record_tallies_of(Arc::clone(&self.0), caller)));
        self.submit(first).await
    }

    /// Runs an attempt where it outlives whoever asked for it.
    async fn start(&self, submission: Box<Submission>, seat: Seat) -> Result<Ticket, Problem> {
        let (opened, on_record) = oneshot::channel();
        let under_way = self.0.in_flight.enter();
        let run = run::run(Arc::clone(&self.0), submission, opened, (under_way, seat));
        self.0.runtime.spawn(run.in_current_span());
        on_record.await.unwrap_or_else(|_| Err(internal()))
    }

    /// What each caller may ask for.
    #[must_use]
    pub fn caller_limits(&self) -> CallerLimits {
        self.0.callers.limits()
    }

    /// The live sessions that meet what is wanted. Takes at most as long as a kill of one call.
    ///
    /// # Errors
    /// `invalid` where the vendor needs a criterion that was not given; what kept the vendor from listing.
    pub async fn sessions(&self, question: Question) -> Result<Looked, Problem> {
        let gate = Arc::clone(&self.0);
        // A list ends with whoever waits for it.
        let mut reading = JoinSet::new();
        let list = async move { gate.looks.sessions(question).await };
        reading.spawn_on(list.in_current_span(), &self.0.runtime);
        reading.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(internal()))
    }

    /// The confirm for a kill that is a preview, until it has run out; `None` where there is nothing to confirm, or the
    /// kill that was asked for would not be done.
    ///
    /// The same preview gives the same confirm, so a repeated request with its key gets it again.
    #[must_use]
    pub fn confirm(&self, kill: &Kill) -> Option<Confirm> {
        self.0.policy.confirm(kill, self.0.clock.now())
    }

    /// Settles open kills, whoever's they were, and looks after what is kept, until the runtime ends.
    pub async fn reconcile(self) {
        upkeep::upkeep(self.0).await;
    }

    /// The gateway is about to stop: others are to be asked from now on.
    pub fn leave(&self) {
        self.0.is_leaving.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Ordering::Relaxed)
    }

    /// Records the attempts that are only counted so far.
    pub async fn record_counted(&self) {
        tally::record_all(&self.0).await;
    }

    /// Waits until no kill is being worked on and no attempt is only counted.
    pub async fn idle(&self) {
        self.record_counted().await;
        self.0.in_flight.none().await;
    }

    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.0.policy.targets
    }

    /// The record, for whoever reads it: what kills read never waits for that.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.0.reading
    }

    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        &self.0.upstreams
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The text that a scraper reads. What is to be asked of the record is asked seldom, whoever scrapes and however often.
    pub async fn metrics(&self, format: Exposition) -> String {
        self.0.upstreams.measure();
        self.0.owed.ask(&self.0).await;
        self.0.metrics.pools(&self.0.reading.usage());
        self.0.metrics.text(format)
    }
}

fn internal() -> Problem {
    Problem::new(ProblemCode::Internal, "the gateway failed; see its log")
}

//! Credentials that end: fetched once for all who wait, renewed ahead of their end.
//!
//! Clouds throttle those who ask and lock users, so a source is asked by one at a time, whoever goes away, and whoever
//! waited meanwhile is told what became of it; what was refused is not asked for again for a minute; and credentials are renewed for a
//! refusal at most once, never in a loop. Nobody waits while the old ones hold.

use std::{
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration as StdDuration,
};

use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use super::guard::Guard;
use crate::{
    clock::Clock,
    upstream::{
        Fault, FaultKind,
        credentials::{Asking, Grant, Granted, Next, Place, Realm, Source},
        transport::{Request, Response, Transport, TransportError},
    },
};

/// How long a source that failed is not asked again.
const PAUSE: Duration = Duration::seconds(60);
/// The same while nothing else is there to send with.
const MOMENT: Duration = Duration::seconds(2);
/// Most requests of one asking.
const MOST: usize = 3;

/// What is asked, where, and for what.
#[derive(Debug)]
pub(super) struct Origin {
    /// The account's name, for the log.
    pub(super) account: String,
    pub(super) source: Arc<dyn Source>,
    /// Where the source is; `None` where the endpoint that it names is not configured.
    pub(super) endpoint: Option<Url>,
    pub(super) realm: Realm,
}

/// Credentials for a while.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) proof: Arc<Granted>,
    /// The project that they are bound to, where they say one.
    pub(super) project_id: Option<String>,
    /// Counts the credentials of the account from 1.
    pub(super) generation: u64,
    /// Keeps these keys from locking themselves.
    pub(super) guard: Arc<Guard>,
    fetched_at: OffsetDateTime,
    /// When they are to be renewed.
    renew_at: OffsetDateTime,
    pub(super) expires_at: OffsetDateTime,
    /// Fetched because the ones before were refused.
    after_refusal: bool,
    /// The cloud has taken them at least once.
    taken: AtomicBool,
}

impl Held {
    /// Notes that a call with these credentials was let in.
    pub(super) fn was_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    fn is_fresh(&self, now: OffsetDateTime) -> bool {
        now < self.renew_at
    }

    fn holds(&self, now: OffsetDateTime) -> bool {
        now < self.expires_at
    }
}

/// The credentials of one account, one after the other.
pub(super) struct Renewed(Arc<Shared>);

struct Shared {
    origin: Origin,
    transport: Transport,
    clock: Clock,
    /// The latest, and those before them, which calls under way may still have.
    held: RwLock<[Option<Arc<Held>>; 2]>,
    /// Had by whoever asks the source.
    gate: Arc<Mutex<Gate>>,
    /// How often the source has failed.
    failures: AtomicU64,
}

/// How the source failed last, and until when that is an answer for everybody.
#[derive(Default)]
struct Gate(Option<(Fault, OffsetDateTime)>);

impl Renewed {
    pub(super) fn new(origin: Origin, transport: &Transport, clock: Clock) -> Self {
        let transport = match origin.source.place() {
            Place::Near(_) => transport.directly(),
            Place::Service(_) => transport.clone(),
        };
        let (held, gate, failures) = <_>::default();
        Self(Arc::new(Shared { origin, transport, clock, held, gate, failures }))
    }

    /// What must not be shown of the credentials of this moment, and of those before them.
    pub(super) fn proofs(&self) -> Vec<Arc<Granted>> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().flatten().map(|held| Arc::clone(&held.proof)).collect()
    }

    #[cfg(test)]
    pub(super) fn latest(&self) -> Option<Arc<Held>> {
        self.0.latest()
    }

    /// Waits until nobody asks the source.
    #[cfg(test)]
    pub(super) async fn is_quiet(&self) {
        drop(self.0.gate.lock().await);
    }

    /// Credentials that the clock says are good. Where it is time for others, somebody begins to ask for them.
    pub(super) async fn current(&self) -> Result<Arc<Held>, Fault> {
        let now = self.0.clock.now();
        let Some(held) = self.0.latest().filter(|held| held.holds(now)) else { return self.fetch(None).await };
        if !held.is_fresh(now)
            && let Ok(gate) = Arc::clone(&self.0.gate).try_lock_owned()
        {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { shared.fetch(gate, None).await });
        }
        Ok(held)
    }

    /// Sees to it that there are other credentials than the refused ones; false where that would not help.
    pub(super) async fn renew(&self, refused: u64) -> Result<bool, Fault> {
        let in_vain = self.0.latest().is_some_and(|held| {
            let young = self.0.clock.now() - held.fetched_at < PAUSE;
            held.generation == refused && held.after_refusal && young && !held.taken.load(Ordering::Relaxed)
        });
        if in_vain {
            return Ok(false);
        }
        self.fetch(Some(refused)).await.map(|held| held.generation != refused)
    }

    /// Runs on although the caller may go away, so that what the source says is not lost.
    async fn fetch(&self, refused: Option<u64>) -> Result<Arc<Held>, Fault> {
        let shared = Arc::clone(&self.0);
        let failures = shared.failures.load(Ordering::Acquire);
        let asking = tokio::spawn(async move {
            let gate = Arc::clone(&shared.gate).lock_owned().await;
            match &gate.0 {
                // Somebody asked while this one waited.
                Some((fault, _)) if shared.failures.load(Ordering::Acquire) > failures => {
                    let now = shared.clock.now();
                    let holds = |held: &Arc<Held>| held.holds(now) && Some(held.generation) != refused;
                    shared.latest().filter(holds).ok_or_else(|| fault.clone())
                }
                _ => shared.fetch(gate, refused).await,
            }
        });
        let broken = |_| Err(Fault::of_source(FaultKind::Credentials, "the asking for credentials was broken off"));
        asking.await.unwrap_or_else(broken)
    }
}

impl Shared {
    fn latest(&self) -> Option<Arc<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)[0].clone()
    }

    /// Credentials that are fresh and not the refused ones; those that hold where the source fails, or gives the same again.
    async fn fetch(&self, mut gate: OwnedMutexGuard<Gate>, refused: Option<u64>) -> Result<Arc<Held>, Fault> {
        let now = self.clock.now();
        let latest = self.latest();
        let usable = latest.clone().filter(|held| Some(held.generation) != refused && held.holds(now));
        if let Some(held) = usable.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(Arc::clone(held));
        }
        if let Some((fault, until)) = &gate.0
            && now < *until
        {
            let retry_after = fault.retry_after.map(|_| StdDuration::try_from(*until - now).unwrap_or_default());
            return usable.ok_or_else(|| Fault { retry_after, ..fault.clone() });
        }
        match self.ask(now).await {
            Ok(grant) => {
                *gate = Gate::default();
                Ok(self.take(grant, latest, refused.is_some(), now))
            }
            Err(fault) => {
                if usable.is_some() {
                    let (account, why, code) =
                        (self.origin.account.as_str(), fault.message.as_deref(), fault.code.as_deref());
                    tracing::warn!(account, why, code, "credentials were not renewed; those before them still hold");
                }
                // A failure that a repetition may heal is remembered while the old credentials serve, as long as the
                // cloud asks to wait, and for a moment in any case: so many who wait ask no more often than one.
                let final_word = matches!(fault.kind, FaultKind::Denied | FaultKind::Refused);
                let asked = fault.retry_after.filter(|_| fault.kind == FaultKind::Throttled);
                let serve = usable.as_ref().map_or(MOMENT, |held| PAUSE.min(held.expires_at - now));
                let wait = if final_word { PAUSE } else { serve };
                let wait = asked.and_then(|wait| Duration::try_from(wait).ok()).map_or(wait, |asked| wait.max(asked));
                *gate = Gate(Some((fault.clone(), self.clock.now() + wait)));
                self.failures.fetch_add(1, Ordering::Release);
                usable.ok_or(fault)
            }
        }
    }

    /// Takes what the source gave. What is the same as before is no other generation.
    fn take(&self, grant: Grant, latest: Option<Arc<Held>>, after_refusal: bool, now: OffsetDateTime) -> Arc<Held> {
        let Grant { proof, project_id, expires_at } = grant;
        let margin = Duration::try_from(self.origin.source.margin()).unwrap_or(Duration::ZERO);
        let margin = margin.min((expires_at - now) / 10);
        let same = latest.as_ref().filter(|held| held.proof.secrets() == proof.secrets());
        let generation = latest.as_ref().map_or(0, |held| held.generation);
        let held = Arc::new(Held {
            proof: Arc::new(proof),
            project_id,
            generation: same.map_or(generation + 1, |held| held.generation),
            guard: same.map(|held| Arc::clone(&held.guard)).unwrap_or_default(),
            fetched_at: now,
            renew_at: expires_at - margin,
            expires_at,
            after_refusal,
            taken: AtomicBool::new(false),
        });
        let before = if same.is_some() { None } else { latest };
        let mut place = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let before = before.or_else(|| place[1].take());
        *place = [Some(Arc::clone(&held)), before];
        held
    }

    /// Asks the source. Whatever goes wrong here, nothing of a kill has left.
    async fn ask(&self, now: OffsetDateTime) -> Result<Grant, Fault> {
        let Origin { source, endpoint, realm, .. } = &self.origin;
        let endpoint = endpoint.as_ref().ok_or_else(|| {
            let Place::Service(name) = source.place() else { return no_address() };
            Fault::of_source(FaultKind::Refused, &format!("no endpoint `{name}` is configured"))
        })?;
        let file = match source.file() {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        let asking = Asking { endpoint, realm, file: file.as_ref(), at: now };
        let mut request = source.ask(&asking);
        for asked in 1..=MOST {
            let response = self.send(request).await?;
            let retry_after = || response.retry_after(self.clock.now()).filter(|_| !response.status.is_success());
            let next = source.next(asked, &response, &asking);
            match next.map_err(|fault| Fault { retry_after: retry_after(), ..fault })? {
                Next::Ask(next) => request = next,
                Next::Granted(grant) if grant.expires_at <= now => {
                    return Err(Fault::of_source(FaultKind::Credentials, "what the source gave had ended already"));
                }
                Next::Granted(grant) => return Ok(grant),
            }
        }
        Err(no_address())
    }

    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let whom = request.url.host_str().unwrap_or_default().to_owned();
        self.transport.send(request).await.map_err(|error| {
            let why = match error {
                TransportError::NotConnected(why) => format!("no connection to {whom}, which gives them: {why}"),
                TransportError::TooLate => format!("it was too late to ask {whom}"),
                TransportError::Lost(why) => format!("no answer of {whom}, which gives them: {why}"),
            };
            Fault::of_source(FaultKind::Credentials, &why)
        })
    }
}

/// A source that does not come to an end, or says nowhere where it is.
fn no_address() -> Fault {
    Fault::of_source(FaultKind::Refused, "the source of the credentials cannot be asked")
}

/// What stands in a file, which may be another text each time.
async fn read(path: &Path) -> Result<SecretString, Fault> {
    let (shown, path) = (path.display().to_string(), path.to_owned());
    let failed = |why: &str| Fault::of_source(FaultKind::Credentials, &format!("the file {shown} {why}"));
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let text = text.map_err(|_| failed("cannot be read"))?;
    let text = text.map_err(|error| failed(&format!("cannot be read: {}", error.kind())))?;
    let text = text.trim();
    if text.is_empty() { Err(failed("is empty")) } else { Ok(text.into()) }
}

//! The issuer's key set, fetched ahead of its end and kept.
//!
//! A token that names an unknown key makes the set be fetched again, as does a set that grows old; between two
//! fetches there is a floor, so that made-up tokens cannot hammer the issuer. All who need the same fetch wait for
//! that one, and nobody whose key is known waits while the issuer is slow. While it is away, or publishes no key that
//! can be used, its last keys stay good, but not for ever: whoever cuts the gateway off keeps no withdrawn key alive.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};
use url::Url;

use super::{
    AuthError,
    jwk::{self, Key},
};
use crate::{
    clock::Clock,
    config::{KeySet, Source},
};

/// Fetches what an issuer publishes: the body of a 200, or why there is none.
pub type Fetch = Arc<dyn Fn(Url) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// Longest time one fetch may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest document that is read, in bytes.
const LARGEST: usize = 512 * 1024;
/// The floor while there are no keys at all: nobody can call, and the issuer may be back any moment.
const FLOOR_WITHOUT_KEYS: Duration = Duration::from_secs(3);

/// How the keys of an issuer are; what is worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeysAre {
    Fresh,
    /// Older than they should be, since no others can be had.
    Old,
    /// None were ever fetched, or they have grown too old.
    Missing,
}

impl KeysAre {
    /// One word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Old => "old",
            Self::Missing => "missing",
        }
    }
}

/// What is known of one issuer's key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetState {
    pub issuer: String,
    pub keys: KeysAre,
    /// For how long the keys are held, as long as they are good.
    pub age: Option<Duration>,
    /// How often a set was fetched in vain.
    pub failures: u64,
}

/// Keys that were published together.
#[derive(Debug)]
struct Set {
    fetched_at: OffsetDateTime,
    keys: Vec<Key>,
}

/// What an issuer publishes about itself, as far as it is of use here.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// The key set of one issuer.
pub(super) struct Jwks {
    settings: KeySet,
    fetch: Fetch,
    clock: Clock,
    current: watch::Sender<Option<Arc<Set>>>,
    /// Held while fetching; when the last fetch ended.
    last: Mutex<Option<OffsetDateTime>>,
    /// Whether the last fetch was in vain.
    has_failed: AtomicBool,
    failures: AtomicU64,
    /// Whether somebody fetches, or waits to, for whom nobody waits.
    is_renewing: AtomicBool,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("source", &self.settings.source).finish_non_exhaustive()
    }
}

impl Jwks {
    pub(super) fn new(settings: KeySet, fetch: Fetch, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            settings,
            fetch,
            clock,
            current: watch::channel(None).0,
            last: Mutex::new(None),
            has_failed: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            is_renewing: AtomicBool::new(false),
        })
    }

    /// The keys that may have signed a token with this header; at least one.
    pub(super) async fn keys(self: &Arc<Self>, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<Key>, AuthError> {
        if let Some(set) = self.good() {
            // Whoever is the first after a long silence waits, so that a key that was withdrawn meanwhile is not taken.
            let is_old = self.age(&set) >= self.settings.max_age && !self.has_failed.load(Ordering::Relaxed);
            let found = jwk::matching(&set.keys, id, algorithm);
            if !is_old && !matches!(found, Err(AuthError::UnknownKey)) {
                self.renew_ahead();
                return found;
            }
        }
        // On its own, so that a caller who hangs up does not take the fetch along.
        let this = Arc::clone(self);
        if let Err(error) = tokio::spawn(async move { this.refresh().await }).await {
            tracing::warn!(%error, "fetching the key set was cut short");
        }
        let set = self.good().ok_or(AuthError::KeysUnavailable)?;
        jwk::matching(&set.keys, id, algorithm)
    }

    /// Fetches the set behind everybody's back where it is not the youngest any more.
    pub(super) fn renew_ahead(self: &Arc<Self>) {
        let is_due = self.good().is_none_or(|set| self.age(&set) >= self.settings.max_age * 3 / 4);
        if is_due && !self.is_renewing.swap(true, Ordering::Relaxed) {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                this.refresh().await;
                this.is_renewing.store(false, Ordering::Relaxed);
            });
        }
    }

    /// How it is now; `issuer` is whose it is.
    pub(super) fn state(&self, issuer: &str) -> KeySetState {
        let age = self.good().map(|set| self.age(&set));
        let keys = match age {
            None => KeysAre::Missing,
            Some(age) if age >= self.settings.max_age => KeysAre::Old,
            Some(_) => KeysAre::Fresh,
        };
        KeySetState { issuer: issuer.to_owned(), keys, age, failures: self.failures.load(Ordering::Relaxed) }
    }

    /// The set, as long as it may be used.
    fn good(&self) -> Option<Arc<Set>> {
        let set = self.current.borrow().clone()?;
        (self.age(&set) < self.settings.stale).then_some(set)
    }

    fn age(&self, set: &Set) -> Duration {
        (self.clock.now() - set.fetched_at).try_into().unwrap_or_default()
    }

    /// Fetches the set, unless the last fetch, which may be the one that was waited for, ended a moment ago.
    async fn refresh(&self) {
        let mut last = self.last.lock().await;
        let floor = self.settings.refresh_floor;
        let floor = if self.good().is_some() { floor } else { floor.min(FLOOR_WITHOUT_KEYS) };
        if last.is_some_and(|last| self.clock.now() - last < floor) {
            return;
        }
        let fetched = self.fetched().await;
        self.has_failed.store(fetched.is_err(), Ordering::Relaxed);
        match fetched {
            Ok(keys) => drop(self.current.send_replace(Some(Arc::new(Set { fetched_at: self.clock.now(), keys })))),
            Err(reason) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let held_s = self.good().map(|set| self.age(&set).as_secs());
                tracing::warn!(url = self.settings.source.shown(), reason, held_s, "the key set cannot be fetched");
            }
        }
        *last = Some(self.clock.now());
    }

    pub(super) async fn fetched(&self) -> Result<Vec<Key>, String> {
        let body = match &self.settings.source {
            Source::Url(url) => self.document(url.clone()).await?,
            source @ Source::Discovery { document, issuer, .. } => {
                let document = self.document(document.clone()).await?;
                let document: Document =
                    serde_json::from_slice(&document).map_err(|_| "the answer is no document of an OpenID provider")?;
                if document.issuer != *issuer {
                    return Err(format!("the document is of another issuer, {:?}", shown(&document.issuer)));
                }
                let url = source.may_be_at(&document.jwks_uri).ok_or("its jwks_uri is no address for keys: https")?;
                self.document(url).await?
            }
        };
        let keys = jwk::parse(&body).ok_or("the answer is not a key set")?;
        // An issuer that publishes none for a moment withdraws nobody's.
        Some(keys).filter(|keys| !keys.is_empty()).ok_or_else(|| "no key of the set can be used".to_owned())
    }

    async fn document(&self, url: Url) -> Result<Vec<u8>, String> {
        let body = tokio::time::timeout(PATIENCE, (self.fetch)(url));
        let body = body.await.map_err(|_| "no answer in time".to_owned())??;
        Some(body).filter(|body| body.len() <= LARGEST).ok_or_else(|| "the answer is too large".to_owned())
    }
}

/// A text of somebody else's, short enough for a line.
fn shown(text: &str) -> String {
    text.chars().take(255).collect()
}

//! The issuer's key set, fetched when it is needed and kept.
//!
//! A token that names an unknown key makes the set be fetched again, as does a set that has grown old; between two
//! fetches there is a floor, so that made-up tokens cannot hammer the issuer. All who need the same fetch wait for
//! that one. While the issuer is away, or publishes no key that can be used, its last keys stay good.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jsonwebtoken::Algorithm;
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};
use url::Url;

use super::{
    AuthError,
    jwk::{self, Key},
};
use crate::{clock::Clock, config::without_query};

/// Fetches a key set: the body of a 200, or why there is none.
pub type Fetch = Arc<dyn Fn(Url) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// Longest time one fetch may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest set that is read, in bytes.
const LARGEST: usize = 512 * 1024;
/// The floor while there are no keys at all: nobody can call, and the issuer may be back any moment.
const FLOOR_WITHOUT_KEYS: Duration = Duration::from_secs(3);

/// Keys that were published together.
#[derive(Debug)]
struct Set {
    fetched_at: OffsetDateTime,
    keys: Vec<Key>,
}

/// The key set of one issuer.
pub(super) struct Jwks {
    url: Url,
    floor: Duration,
    max_age: Duration,
    fetch: Fetch,
    clock: Clock,
    current: watch::Sender<Option<Arc<Set>>>,
    /// Held while fetching; when the last fetch ended.
    last: Mutex<Option<OffsetDateTime>>,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("url", &without_query(&self.url)).finish_non_exhaustive()
    }
}

impl Jwks {
    pub(super) fn new(url: Url, floor: Duration, max_age: Duration, fetch: Fetch, clock: Clock) -> Arc<Self> {
        let (current, _) = watch::channel(None);
        Arc::new(Self { url, floor, max_age, fetch, clock, current, last: Mutex::new(None) })
    }

    /// The keys that may have signed a token with this header; at least one.
    pub(super) async fn keys(self: &Arc<Self>, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<Key>, AuthError> {
        if let Some(set) = self.current().filter(|set| self.clock.now() - set.fetched_at < self.max_age) {
            let found = jwk::matching(&set.keys, id, algorithm);
            if !matches!(found, Err(AuthError::UnknownKey)) {
                return found;
            }
        }
        // On its own, so that a caller who hangs up does not take the fetch along.
        let this = Arc::clone(self);
        if let Err(error) = tokio::spawn(async move { this.refresh().await }).await {
            tracing::warn!(%error, "fetching the key set was cut short");
        }
        let set = self.current().ok_or(AuthError::KeysUnavailable)?;
        jwk::matching(&set.keys, id, algorithm)
    }

    fn current(&self) -> Option<Arc<Set>> {
        self.current.borrow().clone()
    }

    /// Fetches the set, unless the last fetch, which may be the one that was waited for, ended a moment ago.
    async fn refresh(&self) {
        let mut last = self.last.lock().await;
        let floor = if self.current().is_some() { self.floor } else { self.floor.min(FLOOR_WITHOUT_KEYS) };
        if last.is_some_and(|last| self.clock.now() - last < floor) {
            return;
        }
        match self.fetched().await {
            Ok(keys) => drop(self.current.send_replace(Some(Arc::new(Set { fetched_at: self.clock.now(), keys })))),
            Err(reason) => tracing::warn!(url = without_query(&self.url), reason, "the key set cannot be fetched"),
        }
        *last = Some(self.clock.now());
    }

    async fn fetched(&self) -> Result<Vec<Key>, String> {
        let body = tokio::time::timeout(PATIENCE, (self.fetch)(self.url.clone()));
        let body = body.await.map_err(|_| "no answer in time".to_owned())??;
        let body = Some(body).filter(|body| body.len() <= LARGEST).ok_or("the answer is too large")?;
        let keys = jwk::parse(&body).ok_or("the answer is not a key set")?;
        // An issuer that publishes none for a moment withdraws nobody's.
        Some(keys).filter(|keys| !keys.is_empty()).ok_or_else(|| "no key of the set can be used".to_owned())
    }
}

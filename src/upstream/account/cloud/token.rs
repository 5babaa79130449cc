//! The token of an account that logs in: fetched once for all who wait, renewed ahead of its end.
//!
//! Clouds throttle logins and lock users, so one login is under way at a time, whoever goes away; a login that was
//! refused is not tried again for a minute; and a token is renewed for a refusal at most once, never in a loop.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration as StdDuration,
};

use actix_web::http::StatusCode;
use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    clock::Clock,
    upstream::{
        Fault, FaultKind,
        credentials::{Grant, Login, Realm},
        transport::{Transport, TransportError},
    },
};

/// How long a login that failed is not tried again.
const PAUSE: Duration = Duration::seconds(60);
/// How long before its end a token is renewed at most; a short-lived one in the last tenth of its life.
const MARGIN: Duration = Duration::minutes(30);

/// Who logs in, where, and for what.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) login: Arc<dyn Login>,
    pub(super) endpoint: Option<Url>,
    pub(super) realm: Realm,
}

/// A token, bound to one project.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: SecretString,
    pub(super) project_id: String,
    /// Counts the tokens of the account from 1.
    pub(super) generation: u64,
    fetched_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    /// Fetched because the one before was refused.
    after_refusal: bool,
    /// The cloud has taken it at least once.
    taken: AtomicBool,
}

impl Token {
    /// Notes how a call with this token was answered.
    pub(super) fn seen(&self, status: Option<StatusCode>) {
        if status.is_some_and(|status| status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN) {
            self.taken.store(true, Ordering::Relaxed);
        }
    }

    fn is_fresh(&self, now: OffsetDateTime) -> bool {
        let margin = MARGIN.min((self.expires_at - self.fetched_at) / 10);
        now < self.expires_at - margin
    }
}

/// The tokens of one account, one after the other.
pub(super) struct Tokens(Arc<Shared>);

struct Shared {
    place: Place,
    transport: Transport,
    clock: Clock,
    latest: RwLock<Option<Arc<Token>>>,
    /// Held by the one login that is under way. Says until when a failure holds for everybody.
    gate: Mutex<Option<(OffsetDateTime, Fault)>>,
}

impl Tokens {
    pub(super) fn new(place: Place, transport: Transport, clock: Clock) -> Self {
        Self(Arc::new(Shared { place, transport, clock, latest: RwLock::default(), gate: Mutex::default() }))
    }

    pub(super) fn latest(&self) -> Option<Arc<Token>> {
        self.0.latest()
    }

    /// A token that the clock says is good.
    pub(super) async fn current(&self) -> Result<Arc<Token>, Fault> {
        match self.latest().filter(|token| token.is_fresh(self.0.clock.now())) {
            Some(token) => Ok(token),
            None => self.refresh(None).await,
        }
    }

    /// Sees to it that there is another token than the refused one; false where that would not help.
    pub(super) async fn renew(&self, refused: u64) -> Result<bool, Fault> {
        let in_vain = self.latest().is_some_and(|token| {
            let young = self.0.clock.now() - token.fetched_at < PAUSE;
            token.generation == refused && token.after_refusal && young && !token.taken.load(Ordering::Relaxed)
        });
        if in_vain { Ok(false) } else { self.refresh(Some(refused)).await.map(|_| true) }
    }

    /// Runs on although the caller may go away, so that what IAM says is not lost.
    async fn refresh(&self, refused: Option<u64>) -> Result<Arc<Token>, Fault> {
        let shared = Arc::clone(&self.0);
        let login = tokio::spawn(async move { shared.refresh(refused).await });
        login.await.unwrap_or_else(|_| Err(Fault::of_login(FaultKind::NotConnected, "the login was broken off")))
    }
}

impl Shared {
    fn latest(&self) -> Option<Arc<Token>> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(&self, refused: Option<u64>) -> Result<Arc<Token>, Fault> {
        let mut pause = self.gate.lock().await;
        let now = self.clock.now();
        let latest = self.latest();
        let last = latest.as_ref().map_or(0, |token| token.generation);
        let usable = latest.filter(|token| Some(token.generation) != refused && now < token.expires_at);
        if let Some(token) = usable.as_ref().filter(|token| token.is_fresh(now)) {
            return Ok(Arc::clone(token));
        }
        if let Some((until, fault)) = &*pause
            && now < *until
        {
            let retry_after = fault.retry_after.map(|_| StdDuration::try_from(*until - now).unwrap_or_default());
            return usable.ok_or_else(|| Fault { retry_after, ..fault.clone() });
        }
        match self.log_in().await {
            Ok(Grant { token: value, project_id, expires_at }) => {
                *pause = None;
                let token = Arc::new(Token {
                    value,
                    project_id,
                    generation: last + 1,
                    fetched_at: now,
                    expires_at,
                    after_refusal: refused.is_some(),
                    taken: AtomicBool::new(false),
                });
                *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(fault) => {
                // A failure that a repetition may heal is remembered while the old token serves, and as long as
                // the cloud asks to wait.
                let final_word = matches!(fault.kind, FaultKind::Denied | FaultKind::Refused);
                let asked = fault.retry_after.filter(|_| fault.kind == FaultKind::Throttled);
                let wait = if final_word || usable.is_some() { Some(PAUSE) } else { None };
                let wait = wait.max(asked.and_then(|wait| Duration::try_from(wait).ok()));
                *pause = wait.map(|wait| (self.clock.now() + wait, fault.clone()));
                usable.ok_or(fault)
            }
        }
    }

    /// One login. Whatever goes wrong here, nothing of a kill has left.
    async fn log_in(&self) -> Result<Grant, Fault> {
        let Place { login, endpoint, realm } = &self.place;
        let failed = |kind, why: &str| Fault::of_login(kind, why);
        let unset = || failed(FaultKind::Refused, &format!("no endpoint `{}` is configured", login.service()));
        let request = login.request(endpoint.as_ref().ok_or_else(unset)?, realm);
        let response = self.transport.send(request).await.map_err(|error| {
            let why = match error {
                TransportError::NotConnected(why) => format!("no connection for the login: {why}"),
                TransportError::TooLate => "it was too late for the login".to_owned(),
                TransportError::Lost(why) => format!("no answer to the login: {why}"),
            };
            failed(FaultKind::NotConnected, &why)
        })?;
        let retry_after = || response.retry_after(self.clock.now()).filter(|_| !response.status.is_success());
        login.read(&response, realm).map_err(|fault| Fault { retry_after: retry_after(), ..fault })
    }
}

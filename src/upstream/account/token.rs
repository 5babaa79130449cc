//! The IAM token of a Huawei account: fetched once for all who wait, renewed ahead of its end.
//!
//! IAM throttles logins and locks users, so one login is under way at a time, whoever goes away; a login that was
//! refused is not tried again for a minute; and a token is renewed for a refusal at most once, never in a loop.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration as StdDuration,
};

use actix_web::http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    clock::Clock,
    upstream::{
        Fault, FaultKind, json,
        transport::{Request, Response, Transport, TransportError},
    },
};

/// Longest time of one login.
const LOGIN_TIMEOUT: StdDuration = StdDuration::from_secs(10);
/// How long a login that failed is not tried again.
const PAUSE: Duration = Duration::seconds(60);
/// How long before its end a token is renewed at most; a short-lived one in the last tenth of its life.
const MARGIN: Duration = Duration::minutes(30);

/// Who logs in, and where.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) endpoint: Option<Url>,
    pub(super) domain: String,
    pub(super) username: String,
    pub(super) password: SecretString,
    /// A region's own project has the region's name.
    pub(super) region: String,
    pub(super) project_id: Option<String>,
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
    login: Login,
    transport: Transport,
    clock: Clock,
    latest: RwLock<Option<Arc<Token>>>,
    /// Held by the one login that is under way. Says until when a failure holds for everybody.
    gate: Mutex<Option<(OffsetDateTime, Fault)>>,
}

impl Tokens {
    pub(super) fn new(login: Login, transport: Transport, clock: Clock) -> Self {
        Self(Arc::new(Shared { login, transport, clock, latest: RwLock::default(), gate: Mutex::default() }))
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
        login.await.unwrap_or_else(|_| Err(failed(FaultKind::NotConnected, "the login was broken off")))
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
            Ok((value, body)) => {
                *pause = None;
                let token = Arc::new(Token {
                    value,
                    project_id: body.project.id,
                    generation: last + 1,
                    fetched_at: now,
                    expires_at: body.expires_at,
                    after_refusal: refused.is_some(),
                    taken: AtomicBool::new(false),
                });
                *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(fault) => {
                // A failure that a repetition may heal is remembered while the old token serves, and as long as IAM asks
                // to wait.
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
    async fn log_in(&self) -> Result<(SecretString, Body), Fault> {
        let request = self.login.request()?;
        let response = self.transport.send(request).await.map_err(|error| match error {
            TransportError::NotConnected(why) => failed(FaultKind::NotConnected, &why),
            TransportError::TooLate => failed(FaultKind::NotConnected, "too late to begin"),
            TransportError::Lost(why) => failed(FaultKind::NotConnected, &format!("no answer: {why}")),
        })?;
        match response.status.as_u16() {
            200..=299 => self.login.read(&response),
            400 | 401 | 403 => Err(self.answered(FaultKind::Denied, &response)),
            429 => Err(self.answered(FaultKind::Throttled, &response)),
            300..=499 => Err(self.answered(FaultKind::Refused, &response)),
            _ => Err(self.answered(FaultKind::NotConnected, &response)),
        }
    }

    fn answered(&self, kind: FaultKind, response: &Response) -> Fault {
        let body = json::read(&response.body).unwrap_or_default();
        let code = body["error_code"].as_str().map(str::to_owned);
        Fault {
            http_status: Some(response.status.as_u16()),
            request_id: response.header("x-iam-trace-id").map(str::to_owned),
            retry_after: response.retry_after(self.clock.now()),
            code,
            ..failed(kind, &format!("the login was answered with {}", response.status.as_u16()))
        }
    }
}

impl Login {
    fn request(&self) -> Result<Request, Fault> {
        let no_endpoint = || failed(FaultKind::Refused, "no endpoint is configured");
        let mut url = self.endpoint.clone().ok_or_else(no_endpoint)?;
        url.set_path(&format!("{}/v3/auth/tokens", url.path().trim_end_matches('/')));
        url.set_query(Some("nocatalog=true"));
        let project = match &self.project_id {
            Some(id) => serde_json::json!({ "id": id }),
            None => serde_json::json!({ "name": self.region }),
        };
        let password = self.password.expose_secret();
        let user =
            serde_json::json!({ "name": self.username, "password": password, "domain": { "name": self.domain } });
        let identity = serde_json::json!({ "methods": ["password"], "password": { "user": user } });
        let body = serde_json::json!({ "auth": { "identity": identity, "scope": { "project": project } } });
        let headers = vec![("Content-Type".to_owned(), "application/json;charset=utf8".to_owned())];
        Ok(Request {
            method: Method::POST,
            url,
            headers,
            body: body.to_string().into_bytes(),
            timeout: LOGIN_TIMEOUT,
            longest: Request::USUAL,
        })
    }

    /// The token and what is known of it. One for another project is of no use: it would kill elsewhere.
    fn read(&self, response: &Response) -> Result<(SecretString, Body), Fault> {
        let unreadable = || failed(FaultKind::Refused, "the answer holds no token that can be read");
        let value = response.header("x-subject-token").filter(|value| !value.is_empty()).ok_or_else(unreadable)?;
        let body = json::read(&response.body).ok_or_else(unreadable)?;
        let Answer { token } = serde_json::from_value(body).map_err(|_| unreadable())?;
        if !(1970..=9998).contains(&token.expires_at.year()) {
            return Err(unreadable());
        }
        match &self.project_id {
            Some(wanted) if *wanted != token.project.id => {
                Err(failed(FaultKind::Refused, "the token is for another project than the configured one"))
            }
            _ => Ok((SecretString::from(value), token)),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    project: Project,
}

#[derive(Deserialize)]
struct Project {
    id: String,
}

/// A fault of the login; its stage is set by the call that wanted a token.
fn failed(kind: FaultKind, why: &str) -> Fault {
    Fault::new(kind, "login").saying(None, Some(format!("IAM: {why}")))
}

//! One account at one cloud: completes a call, sends it once and gives back the reply.
//!
//! It knows the endpoints, the project and the credentials; it knows nothing of sessions, and reads no meaning into
//! a reply. It repeats nothing: whether a call may be sent again is for [`crate::kill`] to say.

mod complete;
mod guard;
mod seen;
mod token;

use std::{collections::BTreeMap, fmt, time::Duration};

use actix_web::http::StatusCode;
use aws_lc_rs::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout as within};
use url::Url;

use self::{
    complete::{Proof, complete},
    guard::Guard,
    seen::Seen,
    token::{Login, Tokens},
};
use super::{
    Call, Cloud, Fault, FaultKind, Reply, Site, Stage,
    redact::Redactor,
    sign::Keys,
    tencent,
    transport::{Response, Transport, TransportError},
};
use crate::{clock::Clock, domain::VendorName};

/// An account as configured.
#[derive(Debug)]
pub struct Settings {
    pub name: String,
    pub cloud: Cloud,
    pub site: Site,
    pub region: String,
    /// Huawei: 32 letters or digits. With [`Credentials::Iam`] it may be left out; the region's own project then.
    pub project_id: Option<String>,
    /// By vendor name, and `iam`. May have a port and a path prefix.
    pub endpoints: BTreeMap<String, Url>,
    pub credentials: Credentials,
}

/// How an account proves itself.
#[derive(Clone)]
pub enum Credentials {
    /// Signs every call.
    Keys(Keys),
    /// Huawei only: logs in at IAM and sends a token with every call.
    Iam {
        /// The account that owns the user.
        domain: String,
        username: String,
        password: SecretString,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(keys) => keys.fmt(f),
            Self::Iam { .. } => f.debug_struct("Iam").finish_non_exhaustive(),
        }
    }
}

/// Which credentials a call went out with; says to [`Account::renew`] what did not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    stage: Stage,
    timeout: Duration,
    /// Counts the tokens of this account from 1; 0 for none.
    generation: u64,
}

/// When a call must have begun, where that matters, and when it must be over.
#[derive(Debug, Clone, Copy)]
struct Times {
    deadline: Instant,
    begin_by: Option<Instant>,
}

/// One account at one cloud.
pub struct Account {
    settings: Settings,
    transport: Transport,
    clock: Clock,
    tokens: Option<Tokens>,
    guard: Guard,
    seen: Seen,
}

impl Account {
    #[must_use]
    pub fn new(settings: Settings, transport: Transport, clock: Clock) -> Self {
        let tokens = match &settings.credentials {
            Credentials::Keys(_) => None,
            Credentials::Iam { domain, username, password } => {
                let login = Login {
                    endpoint: settings.endpoints.get("iam").cloned(),
                    domain: domain.clone(),
                    username: username.clone(),
                    password: password.clone(),
                    region: settings.region.clone(),
                    project_id: settings.project_id.clone(),
                };
                Some(Tokens::new(login, transport.clone(), clock.clone()))
            }
        };
        Self { settings, transport, clock, tokens, guard: Guard::default(), seen: Seen::default() }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Which of its cloud's sites it is at.
    #[must_use]
    pub fn site(&self) -> Site {
        self.settings.site
    }

    #[must_use]
    pub fn cloud(&self) -> Cloud {
        self.settings.cloud
    }

    #[must_use]
    pub fn region(&self) -> &str {
        &self.settings.region
    }

    /// What the vendor counts this account's calls as: whoever has the same credentials at the same endpoint has the same
    /// number here. It tells nothing of the credentials.
    #[must_use]
    pub fn counted_as(&self, vendor: VendorName) -> u64 {
        let address = self.address(vendor);
        let counted = match &self.settings.credentials {
            Credentials::Keys(keys) => ["key", keys.id.as_str(), "", &address].join("\n"),
            Credentials::Iam { domain, username, .. } => ["user", domain, username, &address].join("\n"),
        };
        let digest = digest(&SHA256, counted.as_bytes());
        digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// What calls to that vendor connect to: host and port; nothing where no endpoint is configured.
    #[must_use]
    pub fn address(&self, vendor: VendorName) -> String {
        let endpoint = self.settings.endpoints.get(vendor.as_str());
        endpoint.map(|url| url.authority().to_ascii_lowercase()).unwrap_or_default()
    }

    /// True where an endpoint for that vendor is configured.
    #[must_use]
    pub fn serves(&self, vendor: VendorName) -> bool {
        self.settings.endpoints.contains_key(vendor.as_str())
    }

    /// Completes, signs and sends a call once; `timeout` bounds all of it, a login included. What was not begun by
    /// `begin_by`, perhaps for a login, is [`FaultKind::TooLate`] and not sent.
    ///
    /// # Errors
    /// Beside what the transport says, a fault for a call that never left: [`FaultKind::Denied`] where the
    /// credentials were refused a short while ago, [`FaultKind::Refused`] for a missing endpoint or project, and
    /// what [`Account::renew`] says where a token had to be fetched first.
    pub async fn send(
        &self,
        vendor: VendorName,
        call: &Call,
        timeout: Duration,
        begin_by: Option<Instant>,
    ) -> (Stamp, Result<Reply, Fault>) {
        let mut stamp = Stamp { stage: call.stage, timeout, generation: 0 };
        let times = Times { deadline: Instant::now() + timeout, begin_by };
        let outcome = match (&self.settings.credentials, &self.tokens) {
            (Credentials::Keys(keys), _) => self.send_signed(vendor, call, keys, times).await,
            (Credentials::Iam { .. }, None) => Err(Fault::new(FaultKind::Refused, call.stage)),
            (Credentials::Iam { .. }, Some(tokens)) => match patient(&stamp, tokens.current()).await {
                Ok(token) => {
                    stamp.generation = token.generation;
                    let answer = self.exchange(vendor, call, &Proof::Token(&token), times).await;
                    token.seen(answer.as_ref().ok().map(|reply| reply.status));
                    answer
                }
                Err(fault) => Err(fault),
            },
        };
        (stamp, outcome)
    }

    /// Sees to it that so many connections to that vendor's endpoint are ready, as far as that can be done in a moment,
    /// so that a call leaves when its turn comes.
    pub async fn warm(&self, vendor: VendorName, many: usize) {
        if let Some(endpoint) = self.settings.endpoints.get(vendor.as_str()) {
            self.transport.warm(endpoint.clone(), many).await;
        }
    }

    /// After a [`FaultKind::TokenExpired`]: gets a new token, unless somebody already did since the stamp.
    ///
    /// True where a repetition makes sense; false where it does not: keys cannot be renewed, and where a token that
    /// was fetched for this reason a moment ago was never taken by the cloud, another one would fare no better.
    ///
    /// # Errors
    /// The login failed, and so nothing of a kill left: [`FaultKind::Denied`] (remembered for a minute, as IAM locks
    /// users), [`FaultKind::Throttled`], [`FaultKind::Refused`], or [`FaultKind::NotConnected`] where IAM was not
    /// reached or did not answer as it should.
    pub async fn renew(&self, stamp: Stamp) -> Result<bool, Fault> {
        match &self.tokens {
            Some(tokens) if stamp.generation > 0 => patient(&stamp, tokens.renew(stamp.generation)).await,
            _ => Ok(false),
        }
    }

    /// Takes this account's secrets out of text, the token of this moment included.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        match &self.settings.credentials {
            Credentials::Keys(keys) => {
                let secrets = [Some(&keys.secret), keys.token.as_ref()];
                let secrets = secrets.into_iter().flatten().map(ExposeSecret::expose_secret);
                Redactor::new(secrets.chain([keys.id.as_str()]))
            }
            Credentials::Iam { password, .. } => {
                let token = self.tokens.as_ref().and_then(Tokens::latest);
                let token = token.as_ref().map(|token| token.value.expose_secret());
                Redactor::new(token.into_iter().chain([password.expose_secret()]))
            }
        }
    }

    /// Sends a call signed with keys; Huawei's only where the guard lets it pass.
    async fn send_signed(&self, vendor: VendorName, call: &Call, keys: &Keys, times: Times) -> Result<Reply, Fault> {
        let proof = Proof::Keys(keys);
        match self.settings.cloud {
            Cloud::Tencent => self.exchange(vendor, call, &proof, times).await,
            Cloud::Huawei => {
                let pass = self.guard.admit(vendor.as_str(), self.clock.now());
                let pass = pass.ok_or_else(|| Fault::new(FaultKind::Denied, call.stage))?;
                let answer = self.exchange(vendor, call, &proof, times).await;
                if let Ok(reply) = &answer {
                    pass.answered(reply.status == StatusCode::UNAUTHORIZED, self.clock.now());
                }
                answer
            }
        }
    }

    async fn exchange(&self, vendor: VendorName, call: &Call, proof: &Proof<'_>, times: Times) -> Result<Reply, Fault> {
        let fault = |kind, why| Fault::new(kind, call.stage).saying(None, Some(why));
        let timeout = times.deadline.saturating_duration_since(Instant::now());
        let request = complete(&self.settings, vendor, call, proof, self.clock.now(), timeout)
            .map_err(|why| fault(FaultKind::Refused, why))?;
        let answer = match times.begin_by {
            Some(begin_by) => self.transport.send_by(begin_by, request).await,
            None => self.transport.send(request).await,
        };
        match answer {
            Ok(response) if !self.is_new(&response) => {
                Err(fault(FaultKind::Lost, "what came is the answer to an earlier call".to_owned()))
            }
            Ok(response) => Ok(self.reply(call, response)),
            Err(TransportError::NotConnected(why)) => Err(fault(FaultKind::NotConnected, why)),
            Err(TransportError::TooLate) => Err(Fault::new(FaultKind::TooLate, call.stage)),
            Err(TransportError::Lost(why)) => Err(fault(FaultKind::Lost, why)),
        }
    }

    /// Whether no earlier call had this answer, as far as the cloud lets one tell: only Tencent's have an id of their own in
    /// the body that is not made up on the way.
    fn is_new(&self, response: &Response) -> bool {
        let request_id = match self.settings.cloud {
            Cloud::Tencent if response.body.len() <= SMALL => tencent::request_id(&response.body),
            Cloud::Tencent | Cloud::Huawei => None,
        };
        request_id.is_none_or(|id| self.seen.is_new(&id))
    }

    fn reply(&self, call: &Call, response: Response) -> Reply {
        Reply {
            stage: call.stage,
            effect: call.effect,
            status: response.status,
            request_id: response.header("x-request-id").map(str::to_owned),
            retry_after: response.retry_after(self.clock.now()),
            body: response.body,
        }
    }
}

/// Answers up to so many bytes are searched for an id; only lists are longer.
const SMALL: usize = 256 * 1024;

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Waits for a login no longer than the call may take; its faults are those of the call's stage.
async fn patient<T>(stamp: &Stamp, login: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || {
        let why = "no token within the time of the call".to_owned();
        Fault::new(FaultKind::NotConnected, stamp.stage).saying(None, Some(why))
    };
    let outcome = within(stamp.timeout, login).await.unwrap_or_else(|_| Err(late()));
    outcome.map_err(|fault| Fault { stage: stamp.stage, ..fault })
}

#[cfg(test)]
mod tests;

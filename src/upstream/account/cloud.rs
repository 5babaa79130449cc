//! An account at a cloud: completes an HTTP call, signs it and sends it.
//!
//! It knows the endpoints, the project and the credentials.

mod complete;
mod guard;
mod renewed;
mod seen;

use std::{collections::BTreeMap, fmt, sync::Arc};

use actix_web::http::StatusCode;
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout as within};
use url::Url;

use self::{
    complete::{Proof, complete},
    guard::Guard,
    renewed::{Held, Origin, Renewed},
    seen::Seen,
};
use super::{Carrier, Counted, Endpoint, Stamp, Times};
use crate::{
    clock::Clock,
    domain::VendorName,
    upstream::{
        Call, Content, Fault, FaultKind, HttpReply, Reply, Site,
        cloud::Cloud,
        credentials::{Credentials, Granted, Place, Realm},
        redact::Redactor,
        sign::Keys,
        transport::{Response, Transport, TransportError},
    },
};

/// An account at a cloud as configured.
#[derive(Debug)]
pub struct Settings {
    pub name: String,
    pub cloud: &'static dyn Cloud,
    pub site: Site,
    pub region: String,
    /// May be left out where a login says it.
    pub project_id: Option<String>,
    /// By vendor name, and by the name of a service of the cloud. May have a port and a path prefix.
    pub endpoints: BTreeMap<String, Url>,
    pub credentials: Credentials,
}

/// See the module.
pub struct CloudAccount {
    settings: Settings,
    transport: Transport,
    clock: Clock,
    renewed: Option<Renewed>,
    guard: Guard,
    seen: Seen,
}

impl CloudAccount {
    #[must_use]
    pub fn new(settings: Settings, transport: Transport, clock: Clock) -> Self {
        let renewed = match &settings.credentials {
            Credentials::Keys(_) => None,
            Credentials::Temporary(source) => {
                let endpoint = match source.place() {
                    Place::Service(name) => settings.endpoints.get(name).cloned(),
                    Place::Near(url) => Some(url.clone()),
                };
                let realm = Realm { region: settings.region.clone(), project_id: settings.project_id.clone() };
                let (account, source) = (settings.name.clone(), Arc::clone(source));
                Some(Renewed::new(Origin { account, source, endpoint, realm }, &transport, clock.clone()))
            }
        };
        Self { settings, transport, clock, renewed, guard: Guard::default(), seen: Seen::default() }
    }

    /// Completes, signs and sends a call.
    async fn carry(&self, vendor: VendorName, call: &Call, times: Times) -> (Stamp, Result<Reply, Fault>) {
        let mut stamp = Stamp { stage: call.stage, timeout: times.timeout, generation: 0 };
        let outcome = match (&self.settings.credentials, &self.renewed) {
            (Credentials::Keys(keys), _) => self.send_signed(vendor, call, keys, None, times).await,
            (Credentials::Temporary(_), None) => Err(Fault::new(FaultKind::Refused, call.stage)),
            (Credentials::Temporary(_), Some(renewed)) => match patient(&stamp, renewed.current()).await {
                Ok(held) => {
                    stamp.generation = held.generation;
                    self.send_with(vendor, call, &held, times).await
                }
                Err(fault) => Err(fault),
            },
        };
        (stamp, outcome)
    }

    /// Sends a call with temporary credentials.
    async fn send_with(&self, vendor: VendorName, call: &Call, held: &Held, times: Times) -> Result<Reply, Fault> {
        let answer = match &*held.proof {
            Granted::Keys(keys) => self.send_signed(vendor, call, keys, Some(held), times).await,
            Granted::Token { header, value } => {
                let proof = Proof::Token { header, value, project: held.project_id.as_deref() };
                self.exchange(vendor, call, &proof, times).await
            }
        };
        if let Ok(Reply { content: Content::Http(http), .. }) = &answer
            && !(http.body.len() <= SMALL && self.settings.cloud.refuses_credentials(http))
        {
            held.was_taken();
        }
        answer
    }

    /// Sends a call signed with keys, those of the account or what it holds for a while; where the cloud locks them only if
    /// their guard lets it pass.
    async fn send_signed(
        &self,
        vendor: VendorName,
        call: &Call,
        keys: &Keys,
        held: Option<&Held>,
        times: Times,
    ) -> Result<Reply, Fault> {
        let proof = Proof::Keys(keys);
        if !self.settings.cloud.locks_keys() {
            return self.exchange(vendor, call, &proof, times).await;
        }
        let guard = held.map_or(&self.guard, |held| &held.guard);
        let pass = guard.admit(vendor.as_str(), self.clock.now());
        let pass = pass.ok_or_else(|| Fault { before_endpoint: true, ..Fault::new(FaultKind::Denied, call.stage) })?;
        let answer = self.exchange(vendor, call, &proof, times).await;
        if let Ok(reply) = &answer {
            pass.answered(reply.status() == Some(StatusCode::UNAUTHORIZED), self.clock.now());
        }
        answer
    }

    async fn exchange(&self, vendor: VendorName, call: &Call, proof: &Proof<'_>, times: Times) -> Result<Reply, Fault> {
        let fault = |kind, why| Fault::new(kind, call.stage).saying(None, Some(why));
        let timeout = times.deadline.saturating_duration_since(Instant::now());
        let request = complete(&self.settings, vendor, call, proof, self.clock.now(), timeout)
            .map_err(|why| Fault { before_endpoint: true, ..fault(FaultKind::Refused, why) })?;
        let answer = match times.begin_by {
            Some(begin_by) => self.transport.send_by(begin_by, request).await,
            None => self.transport.send(request).await,
        };
        match answer {
            Ok(response) if !self.is_new(&response) => {
                Err(fault(FaultKind::Lost, "what came is the answer to an earlier call".to_owned()))
            }
            Ok(response) => Ok(self.reply(call, response)),
            Err(TransportError::NotConnected(why)) => {
                Err(Fault { on_the_way: true, ..fault(FaultKind::NotConnected, why) })
            }
            Err(TransportError::TooLate) => Err(Fault::new(FaultKind::TooLate, call.stage)),
            Err(TransportError::Lost(why)) => Err(fault(FaultKind::Lost, why)),
        }
    }

    /// Whether no earlier call had this answer, as far as the cloud lets one tell.
    fn is_new(&self, response: &Response) -> bool {
        let is_small = response.body.len() <= SMALL;
        let id = is_small.then(|| self.settings.cloud.answer_id(&response.body)).flatten();
        id.is_none_or(|id| self.seen.is_new(&id))
    }

    fn reply(&self, call: &Call, response: Response) -> Reply {
        let http = HttpReply {
            status: response.status,
            request_id: response.header("x-request-id").map(str::to_owned),
            retry_after: response.retry_after(self.clock.now()),
            body: response.body,
        };
        Reply { stage: call.stage, effect: call.effect, content: Content::Http(http) }
    }
}

impl Carrier for CloudAccount {
    fn site(&self) -> Site {
        self.settings.site
    }

    /// The credentials and the endpoint, which says the region too. No cloud counts the nodes of an instance apart.
    fn counted_as(&self, vendor: VendorName, node: Option<&str>) -> Counted {
        let Endpoint(endpoint) = self.endpoint(vendor, node);
        match &self.settings.credentials {
            Credentials::Keys(keys) => Counted::of(vendor, &["key", &keys.id, "", &endpoint]),
            Credentials::Temporary(source) => {
                let mut common = source.who();
                common.push(&endpoint);
                Counted::of(vendor, &common)
            }
        }
    }

    fn endpoint(&self, vendor: VendorName, _: Option<&str>) -> Endpoint {
        let url = self.settings.endpoints.get(vendor.as_str());
        Endpoint(url.map(|url| url.authority().to_ascii_lowercase()).unwrap_or_default())
    }

    fn send<'a>(
        &'a self,
        vendor: VendorName,
        call: &'a Call,
        times: Times,
    ) -> BoxFuture<'a, (Stamp, Result<Reply, Fault>)> {
        self.carry(vendor, call, times).boxed()
    }

    fn warm(&self, vendor: VendorName, many: usize) -> BoxFuture<'_, ()> {
        let endpoint = self.settings.endpoints.get(vendor.as_str()).cloned();
        async move {
            if let Some(endpoint) = endpoint {
                self.transport.warm(endpoint, many).await;
            }
        }
        .boxed()
    }

    fn renew(&self, stamp: Stamp) -> BoxFuture<'_, Result<bool, Fault>> {
        async move {
            match &self.renewed {
                Some(renewed) if stamp.generation > 0 => patient(&stamp, renewed.renew(stamp.generation)).await,
                _ => Ok(false),
            }
        }
        .boxed()
    }

    fn good_until(&self) -> BoxFuture<'_, Option<Result<OffsetDateTime, Fault>>> {
        async move {
            let renewed = self.renewed.as_ref()?;
            Some(renewed.current().await.map(|held| held.expires_at))
        }
        .boxed()
    }

    fn redactor(&self) -> Redactor {
        match &self.settings.credentials {
            Credentials::Keys(keys) => Redactor::new(keys.secrets()),
            Credentials::Temporary(source) => {
                let proofs = self.renewed.as_ref().map(Renewed::proofs).unwrap_or_default();
                let of_now = proofs.iter().flat_map(|proof| proof.secrets());
                Redactor::new(of_now.chain(source.secrets().into_iter().map(ExposeSecret::expose_secret)))
            }
        }
    }
}

/// Answers up to so many bytes are searched for an id and a refusal; only lists are longer.
const SMALL: usize = 256 * 1024;

impl fmt::Debug for CloudAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudAccount").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Waits for credentials no longer than the call may take; their faults are those of the call's stage.
async fn patient<T>(stamp: &Stamp, asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::of_source(FaultKind::Credentials, "their source did not answer within the time of the call");
    let outcome = within(stamp.timeout, asking).await.unwrap_or_else(|_| Err(late()));
    outcome.map_err(|fault| Fault { stage: stamp.stage, before_endpoint: true, ..fault })
}

#[cfg(test)]
mod tests;

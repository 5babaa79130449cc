//! What a configuration makes of a gateway, until another one takes its place.
//!
//! A generation is to another what a gateway is to another: each has its own name in the record, its own queues and its own
//! way to accounts, and both keep to what is shared in the record. So kills of one that was replaced go on to their end.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use actix_web::http::Method;
use tokio::task::JoinHandle;
use url::Url;

use super::{targets, trust};
use crate::{
    audit::Audit,
    auth::{Auth, Fetch},
    clock::{Clock, id_at},
    config::{self, Config},
    dispatch::rate::limiter::Limit,
    http::{Current, HowToLogIn},
    kill::{
        Kills, Parts,
        intake::allowance::{CallerLimit, CallerLimits},
        policy::{
            caps::SessionCaps,
            confirm::Key,
            confirming::{Confirming, Rules},
        },
    },
    metrics::Metrics,
    notify::webhook::{Couriers, Dependencies, Webhooks},
    spans::Tracer,
    upstream::{
        self,
        account::{Account, CloudAccount, Settings, server, server::ServerAccount},
        transport::{Request, Transport, Ways},
    },
};

/// Longest time for a key server's answer.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// What every generation of a gateway has in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) audit: Audit,
    pub(super) transport: Transport,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tracer: Tracer,
    pub(super) clock: Clock,
    /// What confirms are made with where no secret is configured.
    pub(super) confirm_key: Key,
}

/// What a configuration makes of a gateway.
#[derive(Debug)]
pub(super) struct Generation {
    kills: Kills,
    auth: Auth,
    pub(super) ways: Ways,
    webhooks: Webhooks,
    login: Arc<HowToLogIn>,
}

impl Generation {
    /// Makes one that does nothing yet; it knows callers as `known` does where that is given.
    ///
    /// # Errors
    /// The key of the configuration that is wrong.
    pub(super) fn new(config: &Config, shared: &Shared, known: Option<Auth>) -> anyhow::Result<Self> {
        let ways = trust::ways(config, &shared.transport)?;
        let webhooks = Webhooks::new(&config.webhooks);
        let kills = Kills::new(Parts {
            audit: shared.audit.clone(),
            accounts: accounts(config, &ways, &shared.clock),
            limits: limits(config),
            caller_limits: caller_limits(config),
            session_caps: session_caps(config),
            confirming: confirming(config, &shared.confirm_key),
            targets: targets(config)?,
            webhooks: webhooks.clone(),
            metrics: Arc::clone(&shared.metrics),
            tracer: shared.tracer.clone(),
            gateway: id_at(shared.clock.now()).to_string(),
            key_ttl: config.audit.idempotency_ttl,
            watch_for: config.returned.watch,
            clock: shared.clock.clone(),
        });
        let auth = known.map_or_else(|| auth(config, &ways, &shared.clock), Ok)?;
        let login = Arc::new(HowToLogIn::new(config.auth()?, config.login.as_ref()));
        Ok(Self { kills, auth, ways, webhooks, login })
    }

    /// What requests are answered by.
    pub(super) fn current(&self) -> Current {
        Current { kills: self.kills.clone(), auth: self.auth.clone(), login: Arc::clone(&self.login) }
    }

    /// Has it settle kills, fetch keys and deliver to webhooks.
    pub(super) fn start(self, shared: &Shared) -> Live {
        let Self { kills, auth, ways, webhooks, .. } = self;
        let (audit, clock, metrics) = (shared.audit.clone(), shared.clock.clone(), Arc::clone(&shared.metrics));
        let keeping_keys = tokio::spawn(auth.keep(Arc::clone(&metrics)));
        let reconciling = tokio::spawn(kills.clone().reconcile());
        let tracer = shared.tracer.clone();
        let couriers = Couriers::start(&webhooks, &Dependencies { audit, clock, metrics, tracer, ways });
        Live { kills, reconciling, keeping_keys, couriers }
    }
}

/// Callers as the configuration knows them.
///
/// # Errors
/// It knows nobody.
pub(super) fn auth(config: &Config, ways: &Ways, clock: &Clock) -> anyhow::Result<Auth> {
    let fetch_of = |issuer: &config::Issuer| fetch(ways.of(issuer.authorities.as_deref()).clone());
    Ok(Auth::new(config.auth()?, &fetch_of, clock))
}

/// A generation at work.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) kills: Kills,
    reconciling: JoinHandle<()>,
    keeping_keys: JoinHandle<()>,
    couriers: Couriers,
}

impl Live {
    /// Fetches no more keys, and has the metrics forget those of issuers that there may not be any more.
    pub(super) fn forget_key_sets(&self, metrics: &Metrics) {
        self.keeping_keys.abort();
        metrics.forget_key_sets();
    }

    /// Finishes the kills that are on record, and what is being delivered. What is not finished is anybody's to settle.
    pub(super) async fn retire(self) {
        let Self { kills, reconciling, keeping_keys, couriers } = self;
        keeping_keys.abort();
        let stopped = tokio::spawn(couriers.stop());
        kills.idle().await;
        reconciling.abort();
        let _ = stopped.await;
    }

    /// Ends at once.
    pub(super) async fn end(self) {
        self.keeping_keys.abort();
        self.reconciling.abort();
        self.couriers.stop().await;
    }
}

pub(super) fn accounts(config: &Config, ways: &Ways, clock: &Clock) -> BTreeMap<String, Arc<Account>> {
    let account = |account: &config::Account| {
        let name = account.name.clone();
        Arc::new(match &account.place {
            config::Place::Cloud(at) => {
                let settings = Settings {
                    name: name.clone(),
                    cloud: at.cloud,
                    site: at.site,
                    region: at.region.clone(),
                    project_id: at.identity.project_id.clone(),
                    endpoints: at.endpoints.clone(),
                    credentials: at.identity.credentials.clone(),
                };
                Account::new(
                    name,
                    CloudAccount::new(settings, ways.of(at.authorities.as_deref()).clone(), clock.clone()),
                )
            }
            config::Place::Servers { settings, .. } => {
                let authorities = trust::of_databases(config, settings.authorities.as_deref());
                let authorities = Some(authorities).filter(|pem| !pem.is_empty());
                Account::new(name, ServerAccount::new(server::Settings { authorities, ..settings.clone() }))
            }
        })
    };
    config.accounts.iter().map(|(name, config)| (name.clone(), account(config))).collect()
}

fn caller_limits(config: &Config) -> CallerLimits {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let limit = |per_second, burst| CallerLimit { per_second: at_least_one(per_second), burst: at_least_one(burst) };
    let config::Callers { kills_per_second, burst, lists_per_second, lists_burst, .. } = config.callers;
    CallerLimits { kills: limit(kills_per_second, burst), lists: limit(lists_per_second, lists_burst) }
}

fn session_caps(config: &Config) -> SessionCaps {
    let config::Callers { sessions_per_kill, sessions_per_target_minute, .. } = config.callers;
    SessionCaps { per_kill: sessions_per_kill, per_target_minute: sessions_per_target_minute }
}

fn confirming(config: &Config, own: &Key) -> Confirming {
    let config::Confirm { secrets, ttl, above, intelligent, callers, targets } = config.confirm.clone();
    let key = Key::new(secrets.iter().map(|secret| secret.expose().as_bytes()));
    Confirming { key: key.unwrap_or_else(|| own.clone()), rules: Rules { ttl, above, intelligent, callers, targets } }
}

fn limits(config: &Config) -> HashMap<(String, &'static str), Limit> {
    let mut limits = HashMap::new();
    for account in config.accounts.values() {
        for vendor in upstream::TABLE.iter().filter(|vendor| account.reaches(vendor.name().as_str())) {
            let limit = config.limits(vendor.name().as_str(), &account.name, vendor.capabilities());
            let limit = Limit {
                requests_per_second: NonZeroU32::new(limit.requests_per_second).unwrap_or(NonZeroU32::MIN),
                requests_per_minute: limit.requests_per_minute.and_then(NonZeroU32::new),
                max_ids_per_call: limit.max_ids_per_call,
                steps: vendor.capabilities().steps,
                max_wait: limit.max_wait,
                timeout: limit.timeout,
                reserved_percent: limit.reserved_percent,
                max_waiting: limit.max_waiting,
                look_max_age: limit.look_max_age,
                look: limit.look,
            };
            limits.insert((account.name.clone(), vendor.name().as_str()), limit);
        }
    }
    limits
}

/// Brings key sets over the same transport that carries calls.
fn fetch(transport: Transport) -> Fetch {
    Arc::new(move |url: Url| {
        let transport = transport.clone();
        Box::pin(async move {
            let headers = vec![("Accept".to_owned(), "application/json".to_owned())];
            let request = Request {
                method: Method::GET,
                url,
                headers,
                body: vec![],
                timeout: KEYS_TIMEOUT,
                longest: Request::USUAL,
            };
            let response = transport.send(request).await.map_err(|error| error.to_string())?;
            if response.status.is_success() {
                Ok(response.body)
            } else {
                Err(format!("HTTP {}", response.status.as_u16()))
            }
        })
    })
}

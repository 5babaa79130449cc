//! Putting a gateway together from its configuration, and taking it down in order.

mod trust;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::SocketAddr,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpServer, dev::ServerHandle, http::Method};
use anyhow::Context as _;
use secrecy::SecretString;
use tokio::{sync::watch, task::JoinHandle};
use url::Url;

use crate::{
    audit::{self, Audit, AuditError},
    auth::{Auth, Fetch},
    chain::SealKey,
    clock::{Clock, id_at},
    config::{self, Config},
    dispatch::rate::limiter::Limit,
    evidence::{Delivered, Sealer, SealingParts},
    history::Indexer,
    http,
    kill::{
        Kills, Parts,
        intake::allowance::{CallerLimit, CallerLimits},
        policy::{
            caps::SessionCaps,
            confirm::Key,
            confirming::{Confirming, Rules},
            targets::{Alias, Protected, Reach, Targets},
        },
    },
    metrics::Metrics,
    notify::{
        follow::Following,
        webhook::{Couriers, Dependencies, Webhooks},
    },
    upstream::{
        self, Complaint,
        account::{Account, CloudAccount, Settings, server, server::ServerAccount},
        transport::{Request, Transport, Ways},
    },
};

/// Longest time to make a connection to a vendor or a key server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time for a key server's answer.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// A gateway that listens.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    kills: Kills,
    server: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    reconciling: JoinHandle<()>,
    keeping_keys: JoinHandle<()>,
    following: Following,
    /// Tells those who wait for callers that the gateway stops.
    stopping: watch::Sender<bool>,
    sealer: Option<Sealer>,
    indexer: Indexer,
    couriers: Couriers,
    drain: Duration,
    grace: Duration,
}

impl App {
    /// Opens the record, binds the address and serves. Must run on the runtime that outlives the HTTP workers.
    ///
    /// # Errors
    /// Whatever keeps a gateway from serving, with the key or address it is about.
    pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let callers = config.auth()?;
        let transport = Transport::start(CONNECT_TIMEOUT).context("the transport cannot be started")?;
        let ways = trust::ways(config, &transport)?;
        let audit = Audit::open(&audit_settings(config)).await.context("audit.database_url")?;
        match audit.examine().await {
            Err(error @ AuditError::Unavailable { .. }) => {
                tracing::warn!(%error, "the record cannot be reached yet: no kill is taken until it can");
            }
            examined => examined.context("audit.database_url")?,
        }
        let metrics = Arc::new(Metrics::default());
        let webhooks = Webhooks::new(&config.webhooks);
        let kills = Kills::new(Parts {
            audit: audit.clone(),
            accounts: accounts(config, &ways, &clock),
            limits: limits(config),
            caller_limits: caller_limits(config),
            session_caps: session_caps(config),
            confirming: confirming(config),
            targets: targets(config)?,
            webhooks: webhooks.clone(),
            metrics: Arc::clone(&metrics),
            gateway: id_at(clock.now()).to_string(),
            key_ttl: config.audit.idempotency_ttl,
            watch_for: config.returned.watch,
            clock: clock.clone(),
        });
        let fetch_of = |issuer: &config::Issuer| fetch(ways.of(issuer.authorities.as_deref()).clone());
        let auth = Auth::new(callers, &fetch_of, &clock);
        let keeping_keys = tokio::spawn(auth.clone().keep(Arc::clone(&metrics)));
        let following = Following::start(audit.clone(), clock.clone(), Arc::clone(&metrics), config.server.max_streams);
        let (stopping, to_stop) = watch::channel(false);
        let (parts, grace) = ((kills.clone(), following.clone(), auth), config.server.shutdown_grace);
        let delivered = Delivered::default();
        let sealing = http::Sealing {
            public_key: config.seal.key.as_ref().map(SealKey::public),
            most: config.seal.most,
            delivered: delivered.clone(),
        };
        let (proxies, console) = (config.server.trusted_proxies.clone(), config.console.clone());
        let login = http::HowToLogIn::new(config.auth()?, config.login.as_ref());
        let settings = http::Settings { proxies, console, login, sealing };
        let service = http::Service::new(parts, Arc::clone(&metrics), settings, to_stop);
        let server = HttpServer::new(move || http::app(service.clone()))
            .on_connect(|connection, _| http::limit_unread(connection))
            // What is done for a caller ends with its connection, but for kills.
            .h1_allow_half_closed(false)
            .workers(config.server.workers)
            .shutdown_timeout(grace.as_secs())
            .disable_signals()
            .bind(config.server.listen)
            .with_context(|| format!("server.listen: cannot listen on {}", config.server.listen))?;
        let address = server.addrs().first().copied().unwrap_or(config.server.listen);
        let server = server.run();
        let handle = server.handle();
        let (serving, reconciling) = (tokio::spawn(server), tokio::spawn(kills.clone().reconcile()));
        let indexer = Indexer::start(audit.clone(), clock.clone(), Arc::clone(&metrics));
        let to_receiver = ways.of(config.seal.authorities.as_deref());
        let sealing =
            SealingParts { audit: audit.clone(), clock: clock.clone(), metrics: Arc::clone(&metrics), delivered };
        let sealer = Sealer::start(&config.seal, sealing, to_receiver);
        let couriers = Couriers::start(&webhooks, &Dependencies { audit, clock, metrics, ways });
        Ok(Self {
            address,
            kills,
            server: handle,
            serving,
            reconciling,
            keeping_keys,
            following,
            stopping,
            sealer,
            indexer,
            couriers,
            drain: config.server.drain,
            grace,
        })
    }

    /// Where it listens; the port that was taken where port 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub const fn kills(&self) -> &Kills {
        &self.kills
    }

    /// Says at `/readyz` that it is going, and takes requests for `server.drain_ms` all the same: until others have noticed,
    /// they still send some.
    pub async fn drain(&self) {
        self.kills.leave();
        tokio::time::sleep(self.drain).await;
    }

    /// Takes no more requests, finishes those under way and every kill that is on record, and closes the record.
    ///
    /// What is not finished within `server.shutdown_grace_ms` is left to other gateways to settle.
    ///
    /// # Errors
    /// What the HTTP server died of, if it did.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { kills, server, serving, following, stopping, sealer, indexer, couriers, grace, .. } = self;
        // A stream is a request that would stay under way, and so is one whose body is not whole.
        following.stop();
        stopping.send_replace(true);
        let finish = async {
            server.stop(true).await;
            kills.idle().await;
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!("stopping with kills under way; other gateways will settle them");
            // What was only counted is nobody else's to record.
            kills.record_counted().await;
        }
        self.reconciling.abort();
        self.keeping_keys.abort();
        let seal = async {
            // What is not indexed is not sealed.
            indexer.stop().await;
            if let Some(sealer) = sealer {
                sealer.stop().await;
            }
        };
        tokio::join!(couriers.stop(), seal);
        kills.audit().close().await;
        serving.await.context("the HTTP server")?.context("the HTTP server")
    }
}

/// Where and how the record is kept.
#[must_use]
pub fn audit_settings(config: &Config) -> audit::Settings {
    let audit = &config.audit;
    let (database_url, sqlite_path) = match &audit.database {
        config::Database::Postgres(url) => (Some(SecretString::from(url.expose())), "killgate.db".into()),
        config::Database::Sqlite(path) => (None, path.clone()),
    };
    audit::Settings {
        database_url,
        authorities: trust::of_databases(config, audit.authorities.as_deref()),
        verify: audit.authorities.is_some(),
        sqlite_path,
        migrate: audit.migrate,
        timeout: audit.timeout,
        max_connections: audit.max_connections,
    }
}

fn accounts(config: &Config, ways: &Ways, clock: &Clock) -> BTreeMap<String, Arc<Account>> {
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

fn confirming(config: &Config) -> Confirming {
    let config::Confirm { secrets, ttl, above, intelligent, callers, targets } = config.confirm.clone();
    let key = Key::new(secrets.iter().map(|secret| secret.expose().as_bytes()));
    let key = key.unwrap_or_else(|| {
        tracing::info!(
            "confirm.secret is not set: other gateways will not take this one's confirms, and a restart forgets them"
        );
        Key::random()
    });
    Confirming { key, rules: Rules { ttl, above, intelligent, callers, targets } }
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

/// Every alias and account of the configuration; coordinates are held against what their vendors ask for.
///
/// # Errors
/// The key of an alias whose coordinates are not well formed.
pub fn targets(config: &Config) -> anyhow::Result<Targets> {
    let protected = config.protect.iter().cloned();
    let protected =
        protected.map(|config::Protect { target: alias, vendor, sessions }| Protected { alias, vendor, sessions });
    let access = config.access.clone();
    let mut targets = Targets { access, protected: protected.collect(), ..Targets::default() };
    for account in config.accounts.values() {
        let reached = upstream::TABLE.iter().map(|vendor| vendor.name().as_str());
        let vendors = reached.filter(|vendor| account.reaches(vendor)).collect();
        let nodes = match &account.place {
            config::Place::Cloud(_) => BTreeSet::new(),
            config::Place::Servers { settings, .. } => settings.nodes.keys().cloned().collect(),
        };
        targets.accounts.insert(account.name.clone(), Reach { site: account.site(), vendors, nodes });
    }
    for (alias, configured) in &config.targets {
        let vendor = upstream::find(&configured.vendor).with_context(|| format!("targets.{alias}.vendor"))?;
        let site = config.accounts.get(&configured.account).map(config::Account::site).unwrap_or_default();
        let complain = |complaint: Complaint| match complaint {
            Complaint::Unknown { name, expected } => {
                format!(
                    "targets.{alias}.{name}: unknown key, expected one of vendor, account, callers, look, {expected}"
                )
            }
            Complaint::Wrong { name, detail } => format!("targets.{alias}.{name}: {detail}"),
        };
        let coordinates = upstream::coordinates(vendor, site, &configured.coordinates)
            .map_err(|all| anyhow::anyhow!(all.into_iter().map(complain).collect::<Vec<_>>().join("; ")))?;
        let account = configured.account.clone();
        let target = crate::domain::Target { alias: Some(alias.clone()), vendor: vendor.name(), account, coordinates };
        let target = targets.at_node(target).map_err(|detail| anyhow::anyhow!("targets.{alias}.node: {detail}"))?;
        targets
            .aliases
            .insert(alias.clone(), Alias { target, look: configured.look, callers: configured.callers.clone() });
    }
    Ok(targets)
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

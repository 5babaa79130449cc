//! Putting a gateway together from its configuration, and taking it down in order.

mod certificate;
mod generation;
mod probe;
mod trust;

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{HttpServer, dev::ServerHandle};
use anyhow::Context as _;
use secrecy::SecretString;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    audit::{self, Audit, AuditError},
    chain::SealKey,
    clock::Clock,
    config::{self, Changes, Config},
    evidence::{Delivered, Sealer, SealingParts},
    history::Indexer,
    http::{self, Current},
    kill::{
        Kills,
        policy::{
            confirm::Key,
            targets::{Alias, Protected, Reach, Targets},
        },
    },
    metrics::Metrics,
    notify::follow::Following,
    spans::Tracer,
    upstream::{self, Complaint, transport::Transport},
};

use certificate::Certificate;
use generation::{Generation, Live, Shared};
pub use probe::{Finding, probe};

/// Longest time to make a connection to a vendor or a key server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A gateway that listens.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    shared: Shared,
    /// The configuration that is in force.
    config: Box<Config>,
    live: Live,
    /// Tells the handlers of another generation.
    current: watch::Sender<Current>,
    /// Generations whose kills are not over.
    retiring: JoinSet<()>,
    server: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    following: Following,
    /// Tells those who wait for callers that the gateway stops.
    stopping: watch::Sender<bool>,
    sealer: Option<Sealer>,
    indexer: Indexer,
    certificate: Option<Certificate>,
}

impl App {
    /// Opens the record, binds the address and serves. Must run on the runtime that outlives the HTTP workers.
    ///
    /// # Errors
    /// Whatever keeps a gateway from serving, with the key or address it is about.
    pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        config.auth()?;
        let transport = Transport::start(CONNECT_TIMEOUT).context("the transport cannot be started")?;
        let audit = Audit::open(&audit_settings(config)).await.context(config.audit.database.key())?;
        match audit.examine().await {
            Err(error @ AuditError::Unavailable { .. }) => {
                tracing::warn!(%error, "the record cannot be reached yet: no kill is taken until it can");
            }
            examined => examined.context(config.audit.database.key())?,
        }
        if config.confirm.secrets.is_empty() {
            tracing::info!(
                "confirm.secret is not set: other gateways will not take this one's confirms, and a restart forgets them"
            );
        }
        let metrics = Arc::new(Metrics::default());
        let shared = Shared {
            audit,
            tracer: Tracer::start(&config.traces, &trust::ways(config, &transport)?, Arc::clone(&metrics)),
            transport,
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            confirm_key: Key::random(),
        };
        let generation = Generation::new(config, &shared, None)?;
        let audit = shared.audit.clone();
        let following = Following::start(audit.clone(), clock.clone(), Arc::clone(&metrics), config.server.max_streams);
        let (stopping, to_stop) = watch::channel(false);
        let (current, told) = watch::channel(generation.current());
        let delivered = Delivered::default();
        let sealing = http::Sealing {
            public_key: config.seal.key.as_ref().map(SealKey::public),
            most: config.seal.most,
            delivered: delivered.clone(),
        };
        let settings = http::Settings {
            proxies: config.server.trusted_proxies.clone(),
            cors_origins: config.server.cors_origins.clone(),
            console: config.console.clone(),
            sealing,
        };
        let seen = (Arc::clone(&metrics), shared.tracer.clone());
        let service = http::Service::new((told, following.clone()), seen, settings, to_stop);
        let server = HttpServer::new(move || http::app(service.clone()))
            .on_connect(http::begin_connection)
            // What is done for a caller ends with its connection, but for kills.
            .h1_allow_half_closed(false)
            .workers(config.server.workers)
            .shutdown_timeout(config.server.shutdown_grace.as_secs())
            .disable_signals();
        let listen = config.server.listen;
        let (server, certificate) = match &config.server.tls {
            None => (server.bind(listen), None),
            Some(tls) => {
                let (certificate, settings) =
                    Certificate::watch(tls, clock.clone(), Arc::clone(&metrics)).context("server.tls")?;
                (server.bind_rustls_0_23(listen, settings), Some(certificate))
            }
        };
        let server = server.with_context(|| format!("server.listen: cannot listen on {listen}"))?;
        if certificate.is_none() && !listen.ip().is_loopback() {
            tracing::warn!(%listen, "callers' tokens come in plain text up to here: set server.tls, or keep a proxy in front");
        }
        let address = server.addrs().first().copied().unwrap_or(listen);
        let server = server.run();
        let handle = server.handle();
        let serving = tokio::spawn(server);
        let indexer = Indexer::start(audit.clone(), clock.clone(), Arc::clone(&metrics));
        let to_receiver = generation.ways.of(config.seal.authorities.as_deref());
        let sealer = Sealer::start(&config.seal, SealingParts { audit, clock, metrics, delivered }, to_receiver);
        let live = generation.start(&shared);
        Ok(Self {
            address,
            shared,
            config: Box::new(config.clone()),
            live,
            current,
            retiring: JoinSet::new(),
            server: handle,
            serving,
            following,
            stopping,
            sealer,
            indexer,
            certificate,
        })
    }

    /// Takes another configuration, as far as that can be done without a restart. Kills under way go on as they began.
    ///
    /// # Errors
    /// What is wrong with it; then nothing has changed.
    pub fn reload(&mut self, config: Config) -> anyhow::Result<Changes> {
        let changes = self.config.changes(&config);
        let config = config.keeping_what_needs_a_restart(&self.config);
        if let Some(certificate) = &self.certificate {
            certificate.read_again();
        }
        if changes.are_of_the_log() {
            *self.config = config;
            return Ok(changes);
        }
        // Keys that were fetched stay good: an issuer may be away just now.
        let is_known = !changes.touch(&["auth", "tls", "egress"]);
        let auth = is_known.then(|| self.current.borrow().auth.clone());
        let generation = Generation::new(&config, &self.shared, auth)?;
        self.live.forget_key_sets(&self.shared.metrics);
        // Whoever comes from now on is the new one's.
        self.current.send_replace(generation.current());
        let old = std::mem::replace(&mut self.live, generation.start(&self.shared));
        while self.retiring.try_join_next().is_some() {}
        self.retiring.spawn(old.retire());
        *self.config = config;
        Ok(changes)
    }

    /// Where it listens; the port that was taken where port 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub const fn kills(&self) -> &Kills {
        &self.live.kills
    }

    /// The configuration that is in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Says at `/readyz` that it is going, and takes requests for `server.drain_ms` all the same: until others have noticed,
    /// they still send some.
    pub async fn drain(&self) {
        self.kills().leave();
        tokio::time::sleep(self.config.server.drain).await;
    }

    /// Takes no more requests, finishes those under way and every kill that is on record, and closes the record.
    ///
    /// What is not finished within `server.shutdown_grace_ms` is left to other gateways to settle.
    ///
    /// # Errors
    /// What the HTTP server died of, if it did.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { shared, live, mut retiring, server, serving, following, stopping, sealer, indexer, .. } = self;
        // A stream is a request that would stay under way, and so is one whose body is not whole.
        following.stop();
        stopping.send_replace(true);
        let finish = async {
            server.stop(true).await;
            live.kills.idle().await;
            while retiring.join_next().await.is_some() {}
        };
        if tokio::time::timeout(self.config.server.shutdown_grace, finish).await.is_err() {
            tracing::warn!("stopping with kills under way; other gateways will settle them");
            // What was only counted is nobody else's to record.
            live.kills.record_counted().await;
        }
        let seal = async {
            // What is not indexed is not sealed.
            indexer.stop().await;
            if let Some(sealer) = sealer {
                sealer.stop().await;
            }
        };
        tokio::join!(live.end(), seal);
        shared.audit.close().await;
        // Last, so that it has heard of all that.
        shared.tracer.stop().await;
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

/// Holds the gateway's own certificate, where it has one, against its key.
///
/// # Errors
/// What is wrong with the files, by the key that names them.
pub fn check_certificate(config: &Config) -> anyhow::Result<()> {
    config.server.tls.as_ref().map_or(Ok(()), |tls| Certificate::check(tls).map(drop).context("server.tls"))
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

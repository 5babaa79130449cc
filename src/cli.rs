//! What the commands do.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app::{self, App},
    audit::{Audit, Settings},
    auth::{Grant, mint},
    clock::Clock,
    config::{Config, Database, Keys},
    http,
    sandbox::{Clouds, Sandbox},
    telemetry,
};

mod alone;
mod export;

use alone::Alone;

pub use export::{Replace, export};

pub mod evidence;
pub mod manual;

/// The gateway, until it is told to stop.
///
/// # Errors
/// What keeps it from serving.
pub async fn serve(config: &Config) -> anyhow::Result<()> {
    telemetry::start(&config.server.log)?;
    for line in config.summary() {
        tracing::info!("{line}");
    }
    if let Database::Sqlite(path) = &config.audit.database {
        tracing::warn!(path = %path.display(), "the record is an embedded SQLite file, which belongs to one gateway on one machine");
    }
    let _alone = match &config.audit.database {
        Database::Sqlite(path) => Some(Alone::with(path)?),
        Database::Postgres(_) => None,
    };
    let app = App::start(config, Clock::system()).await?;
    tracing::info!(address = %app.address(), "listening");
    stopped().await?;
    tracing::info!("stopping");
    // Who is told twice does not wait.
    tokio::select! {
        () = app.drain() => {}
        told = stopped() => told?,
    }
    app.stop().await
}

/// The simulated clouds alone, until they are told to stop.
///
/// # Errors
/// An address that cannot be listened on.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub async fn sandbox(listen: SocketAddr) -> anyhow::Result<()> {
    let sandbox = Sandbox::start(listen, Clouds::demo()).with_context(|| format!("cannot listen on {listen}"))?;
    println!("simulated clouds at {}; what they hold: {}/_sandbox/sessions", sandbox.url, sandbox.url);
    stopped().await?;
    sandbox.stop();
    Ok(())
}

/// Brings the record's tables up to date, and lets the serving role do what it must.
///
/// # Errors
/// What keeps the migrations from running, or a role that is not there.
pub async fn migrate(config: &Config, serving_role: Option<&str>) -> anyhow::Result<()> {
    telemetry::start(&config.server.log)?;
    let settings = app::audit_settings(config);
    Audit::migrate(&settings).await.context("audit.database_url")?;
    tracing::info!(record = config.audit.database.place(), "the record's tables are up to date");
    if let Some(role) = serving_role {
        Audit::let_serve(&settings, role).await.context("--serving-role")?;
        tracing::info!(role, "the role may serve");
    }
    Ok(())
}

/// Whether the record is one, as its gateways find it.
///
/// # Errors
/// What keeps it from being one, or from being reached.
pub async fn check_record(config: &Config) -> anyhow::Result<String> {
    if let Database::Sqlite(path) = &config.audit.database
        && !path.exists()
    {
        return Ok("the record is not there yet; serve makes it".to_owned());
    }
    let settings = Settings { migrate: false, ..app::audit_settings(config) };
    let audit = Audit::open(&settings).await.context("audit.database_url")?;
    let examined = audit.examine().await;
    audit.close().await;
    examined.context("audit.database_url")?;
    Ok("the record can be reached and is good".to_owned())
}

/// What the configuration means, one fact a line.
///
/// # Errors
/// What keeps a gateway with this configuration from serving.
pub fn check(config: &Config) -> anyhow::Result<String> {
    config.auth()?;
    app::targets(config)?;
    let mut text = config.summary().join("\n");
    write!(text, "\nthe configuration is good")?;
    Ok(text)
}

/// The OpenAPI document as it is committed, or its older copy.
///
/// # Errors
/// None that was ever seen: a document that cannot be written.
pub fn openapi(older: bool) -> anyhow::Result<String> {
    Ok(if older {
        serde_json::to_string_pretty(&http::older_document()?)?
    } else {
        serde_json::to_string_pretty(&http::document())?
    })
}

/// A token for this gateway.
///
/// # Errors
/// A gateway whose callers do not share a secret with it: it has no key to sign with.
pub fn token(config: &Config, sub: &str, scope: &str, ttl: Duration) -> anyhow::Result<String> {
    let auth = config.auth()?;
    let Keys::Secret(secret) = &auth.keys else {
        bail!("auth.hs256_secret: is not set, and with a key set only its issuer can make tokens");
    };
    let (issuer, audience) = (auth.issuer.as_str(), auth.audience.as_str());
    let grant = Grant { issuer, audience, subject: sub, scope, ttl, extra: serde_json::Map::new() };
    Ok(mint(&grant, secret, &Clock::system())?)
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

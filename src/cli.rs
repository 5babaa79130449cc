//! What the commands do.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app,
    audit::Audit,
    auth::{Grant, mint},
    clock::Clock,
    config::{Config, Keys},
    demo, http,
    sandbox::{Clouds, Sandbox, demo as world, scenes},
    telemetry,
};

mod alone;
mod export;
mod serve;

pub use export::{Replace, export};
pub use serve::serve;

pub mod evidence;
pub mod manual;

/// The simulated clouds alone, until they are told to stop.
///
/// # Errors
/// An address that cannot be listened on.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub async fn sandbox(listen: SocketAddr) -> anyhow::Result<()> {
    let clouds = Clouds::demo();
    scenes::stage(&clouds);
    let sandbox = Sandbox::start(listen, clouds).with_context(|| format!("cannot listen on {listen}"))?;
    println!("{}", welcome(&sandbox.url));
    stopped().await?;
    sandbox.stop();
    Ok(())
}

/// What there is in the simulated clouds, and how they are told to misbehave.
fn welcome(url: &str) -> String {
    format!(
        "simulated clouds at {url}; what they hold: {url}/_sandbox/sessions\n\n\
         # their keys, which are no secret, as accounts of a gateway\n\
         # (in place of Huawei's two: iam = {{ domain = \"{domain}\", username = \"{username}\", password = \"{password}\" }}\n\
         # with endpoints.iam = \"{url}\")\n\
         {accounts}\n\
         # or keys that renew themselves, in place of those: at Huawei the machine's, or those of an agency, with the keys\n\
         # and endpoints.iam = \"{url}\"; at Tencent the machine's, or those of a role, with the keys and endpoints.sts\n\
         # keys = {{ from = \"ecs-agency\", endpoint = \"{url}\" }}\n\
         # assume_role = {{ agency_name = \"{agency}\", domain_name = \"{agency_domain}\" }}\n\
         # keys = {{ from = \"cvm-role\", endpoint = \"{url}\" }}\n\
         # assume_role = {{ role_arn = \"{role}\", role_session_name = \"killgate\", external_id = \"{external_id}\" }}\n\n\
         # lose the answer to the next kill at TaurusDB; then behave again; then begin anew\n\
         curl -X PUT {url}/_sandbox/behaviour -d '{{\"action\":\"taurusdb_kill\",\"behaviour\":\"drop\",\"times\":1}}'\n\
         curl -X DELETE {url}/_sandbox/behaviour\n\
         curl -X POST {url}/_sandbox/reset\n\n\
         All actions and behaviours: docs/sandbox.md. Ctrl-C stops it.",
        domain = world::HUAWEI_DOMAIN,
        username = world::HUAWEI_USERNAME,
        password = world::HUAWEI_PASSWORD,
        agency = world::HUAWEI_AGENCY,
        agency_domain = world::HUAWEI_AGENCY_DOMAIN,
        role = world::TENCENT_ROLE_ARN,
        external_id = world::TENCENT_EXTERNAL_ID,
        accounts = demo::world::accounts_and_targets("sandbox", url),
    )
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

/// What the configuration means, one fact a line.
///
/// # Errors
/// What keeps a gateway with this configuration from serving.
pub fn check(config: &Config) -> anyhow::Result<String> {
    config.auth()?;
    app::targets(config)?;
    app::check_certificate(config)?;
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
    let secrets = config.auth()?.issuers.iter().find_map(|issuer| match &issuer.keys {
        Keys::Secrets(secrets) => Some((issuer, secrets.first()?)),
        Keys::Set(_) => None,
    });
    let Some((issuer, secret)) = secrets else {
        bail!("auth.hs256_secret: is not set, and with a key set only its issuer can make tokens");
    };
    let (issuer, audience) = (issuer.issuer.as_str(), issuer.audience.as_str());
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

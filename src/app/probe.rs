//! What of a configuration holds out there: everything that it names is asked something that changes nothing.

use std::{fmt, time::Duration};

use actix_web::http::Method;
use anyhow::Context as _;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::{
    CONNECT_TIMEOUT, audit_settings,
    certificate::Certificate,
    generation::{Generation, Shared, accounts, auth},
    trust,
};
use crate::{
    audit::{Audit, Settings},
    clock::Clock,
    config::{Account, Config, Database, Place},
    domain::{Match, ProblemCode, Target},
    kill::{
        Kills,
        look::list::Question,
        policy::{confirm::Key, targets::Named},
    },
    unfinished::Unfinished,
    upstream::transport::{Request, Transport, Ways},
};

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whose name stands in a log line for a list that is asked for here.
const CALLER: &str = "killgate check";

/// What was found of one thing that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its key, or what it is for.
    pub of: String,
    /// What holds, or what does not.
    pub said: Result<String, String>,
}

/// One line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, text) = match &self.said {
            Ok(text) => ("ok", text),
            Err(text) => ("FAIL", text),
        };
        write!(f, "{verdict:<5}{}: {text}", self.of)
    }
}

/// Asks everything that the configuration names.
///
/// # Errors
/// What keeps it from asking at all: a key of the configuration that is wrong.
pub async fn probe(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let (clock, transport) = (Clock::system(), Transport::start(CONNECT_TIMEOUT)?);
    let ways = trust::ways(config, &transport)?;
    let mut findings = vec![];
    let mut note = |of: String, said: Result<String, String>| findings.push(Finding { of, said });
    if let Some(tls) = &config.server.tls {
        let said = match Certificate::check(tls) {
            Ok(None) => Ok("the certificate is valid, and its key goes with it".to_owned()),
            Ok(Some(why)) => Err(format!("certificate_file: {why}")),
            Err(error) => Err(format!("{error:#}")),
        };
        note("server.tls".to_owned(), said);
    }
    let record = record(config).await;
    let audit = record.as_ref().ok().and_then(|(audit, _)| audit.clone());
    note("audit".to_owned(), record.map(|(_, said)| said).map_err(|error| format!("{error:#}")));
    for (issuer, found) in auth(config, &ways, &clock)?.try_key_sets().await {
        note(format!("auth, {issuer}"), found.map(|keys| format!("{keys} keys that can be used")));
    }
    if let Some(url) = &config.seal.checkpoint_url {
        note("seal.checkpoint_url".to_owned(), reached(ways.of(config.seal.authorities.as_deref()), url).await);
    }
    if let Some(url) = &config.traces.endpoint {
        note("traces.endpoint".to_owned(), reached(ways.of(config.traces.authorities.as_deref()), url).await);
    }
    for webhook in &config.webhooks {
        let way = ways.of(webhook.authorities.as_deref());
        note(format!("webhooks.{}", webhook.name), reached(way, &webhook.url).await);
    }
    for (of, said) in endpoints(config, &ways).await {
        note(of, said);
    }
    for (of, said) in credentials(config, &ways, &clock).await {
        note(of, said);
    }
    if let Some(audit) = audit {
        let (metrics, tracer) = <_>::default();
        let shared = Shared { audit, transport, metrics, tracer, clock, confirm_key: Key::random() };
        let kills = Generation::new(config, &shared, None)?.current().kills;
        for (of, target) in places(config, &kills) {
            note(of, listed(&kills, target).await);
        }
        shared.audit.close().await;
    }
    Ok(findings)
}

/// The record, where there is one, and what holds of it.
async fn record(config: &Config) -> anyhow::Result<(Option<Audit>, String)> {
    if let Database::Sqlite(path) = &config.audit.database
        && !path.exists()
    {
        // As serve does; nothing is left of it.
        Unfinished::of(path)
            .and_then(|unfinished| unfinished.create().map(drop))
            .with_context(|| format!("audit.sqlite_path: no file can be made beside {}", path.display()))?;
        return Ok((
            None,
            "the record is not there yet; serve makes it. No sessions are listed without one".to_owned(),
        ));
    }
    let audit = Audit::open(&Settings { migrate: false, ..audit_settings(config) }).await?;
    audit.examine().await?;
    Ok((Some(audit), "the record can be reached and is good".to_owned()))
}

/// Whether somebody answers there: whatever the answer is, it came by a connection that is believed.
async fn reached(transport: &Transport, url: &Url) -> Result<String, String> {
    let request = Request {
        method: Method::HEAD,
        url: url.clone(),
        headers: vec![],
        body: vec![],
        timeout: PATIENCE,
        longest: Request::USUAL,
    };
    let answer = transport.deliver(request).await.map_err(|error| error.to_string())?;
    Ok(format!("reached, HTTP {}", answer.status.as_u16()))
}

async fn endpoints(config: &Config, ways: &Ways) -> Vec<(String, Result<String, String>)> {
    let mut found = vec![];
    for account in config.accounts.values() {
        let Place::Cloud(cloud) = &account.place else { continue };
        let way = ways.of(cloud.authorities.as_deref());
        for (name, url) in &cloud.endpoints {
            found.push((format!("accounts.{}.endpoints.{name}", account.name), reached(way, url).await));
        }
    }
    found
}

/// Whether the sources of credentials give some.
async fn credentials(config: &Config, ways: &Ways, clock: &Clock) -> Vec<(String, Result<String, String>)> {
    let mut found = vec![];
    for (name, account) in accounts(config, ways, clock) {
        let Some(Account { place: Place::Cloud(at), .. }) = config.accounts.get(&name) else { continue };
        let Some(fetched) = account.good_until().await else { continue };
        let redactor = account.redactor();
        let said = match fetched {
            Ok(until) => {
                Ok(format!("credentials were fetched, good until {}", until.format(&Rfc3339).unwrap_or_default()))
            }
            Err(fault) => Err(redactor.clean(&fault.told("no credentials"))),
        };
        found.push((format!("accounts.{name}, {}", at.identity.credentials.describe()), said));
    }
    found
}

/// Every alias, and every node of database servers.
fn places(config: &Config, kills: &Kills) -> Vec<(String, Target)> {
    let aliases = kills.targets().aliases.iter().map(|(alias, of)| (format!("targets.{alias}"), of.target.clone()));
    let nodes = config.accounts.values().flat_map(|account| {
        let (engine, nodes) = match &account.place {
            Place::Servers { engine, settings } => (engine.clone(), settings.nodes.keys().cloned().collect()),
            Place::Cloud(_) => (String::new(), vec![]),
        };
        nodes.into_iter().filter_map(move |node| {
            let named = Named::Full {
                vendor: Some(engine.clone()),
                account: Some(account.name.clone()),
                coordinates: [("node".to_owned(), node.clone())].into(),
            };
            let target = kills.targets().resolve(named).ok()?;
            Some((format!("accounts.{}.nodes.{node}", account.name), target))
        })
    });
    aliases.chain(nodes).collect()
}

/// Whether sessions can be listed there.
async fn listed(kills: &Kills, target: Target) -> Result<String, String> {
    let question = Question {
        caller: CALLER.to_owned(),
        target,
        wanted: Match::default(),
        literals: false,
        trace: <_>::default(),
    };
    match kills.sessions(question).await {
        Ok(looked) => Ok(format!("{} sessions listed", looked.sessions.len())),
        // It wants to be asked for somebody's.
        Err(problem) if problem.code == ProblemCode::Invalid => Ok(format!("not listed: {}", problem.detail)),
        Err(problem) => Err(format!("{}: {}", problem.code.as_str(), problem.detail)),
    }
}

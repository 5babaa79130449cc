//! `killgate login` and `killgate logout`.

use std::io::{self, IsTerminal as _, Read as _};

use actix_web::http::Method;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{
    connection::Asking,
    exit::Exit,
    failure::Failure,
    follow::Progress,
    gateway::{Gateway, at},
    http::Http,
    oidc::{self, Flow, exchange},
    print,
    shown::Output,
    store::{self, Login, Store, name_of},
};
use crate::{config::Secret, domain::legible};

/// Get a token from the organisation's issuer and keep it for this gateway
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The issuer of tokens; without it the one that the gateway names
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The public client at the issuer, with the device flow on; without it the one that the gateway names
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What to ask for, separated by spaces; without it what the gateway names
    #[arg(long)]
    scope: Option<String>,
    /// Whom the token is for, where the issuer wants to be told
    #[arg(long)]
    audience: Option<String>,
    /// Keep a token that is read from standard input, whoever made it
    #[arg(long, conflicts_with_all = ["issuer", "client_id", "scope", "audience"])]
    with_token: bool,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Forget the token that is kept for this gateway
#[derive(Debug, Args)]
pub struct LogoutArgs {
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// What a gateway tells of how to get a token (RFC 9728).
#[derive(Debug, Default, Deserialize)]
struct Told {
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    login: Option<ToldLogin>,
}

#[derive(Debug, Deserialize)]
struct ToldLogin {
    client_id: String,
    scope: String,
    audience: Option<String>,
}

/// Asked for where nobody says what.
const SCOPE: &str = "openid";

pub(super) async fn login(args: LoginArgs) -> Result<Exit, Failure> {
    let LoginArgs { with_token, asking: Asking { connection, output }, .. } = &args;
    let path = store::path()?;
    let mut store = Store::open(&path)?;
    let url = connection.url(&store)?;
    let http = connection.http()?;
    let login = if *with_token { given()? } else { asked(&http, &url, &args).await? };
    // One that the gateway does not take is none.
    let gateway = Gateway::new(url.clone(), Secret::from(login.access_token.clone()), http);
    let me = gateway.get(&["me"], "").await?.value()?;
    let name = name_of(&url);
    store.gateways.insert(name.clone(), login);
    store.current = Some(name.clone());
    store.save(&path)?;
    let text = |member: &str| me.get(member).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    match output {
        Output::Json => {
            print::json(&json!({ "url": name, "caller": text("caller"), "expires_at": me["expires_at"] }).to_string())?;
        }
        Output::Table => {
            let (caller, until) = (text("caller"), text("expires_at"));
            print::line(&format!("logged in at {name} as {caller}, until {until}; kept in {}", path.display()))?;
        }
    }
    Ok(Exit::Done)
}

pub(super) fn logout(args: &LogoutArgs) -> Result<Exit, Failure> {
    let path = store::path()?;
    let mut store = Store::open(&path)?;
    let name = name_of(&args.asking.connection.url(&store)?);
    let was = store.gateways.remove(&name).is_some();
    if store.current.as_deref() == Some(&name) {
        store.current = None;
    }
    if was {
        store.save(&path)?;
    }
    match args.asking.output {
        Output::Json => print::json(&json!({ "url": name, "removed": was }).to_string())?,
        Output::Table if was => print::line(&format!("the token for {name} is forgotten here; it runs out by itself"))?,
        Output::Table => print::line(&format!("there was no token for {name}"))?,
    }
    Ok(Exit::Done)
}

fn given() -> Result<Login, Failure> {
    let mut text = String::new();
    io::stdin().take(64 * 1024).read_to_string(&mut text).map_err(|_| Failure::wrong("the token cannot be read"))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::wrong("standard input has no token"));
    }
    Ok(Login { access_token: token.to_owned(), expires_at: oidc::runs_out(token), refresh: None })
}

async fn asked(http: &Http, url: &Url, args: &LoginArgs) -> Result<Login, Failure> {
    let client = client(http, url, args).await?;
    let flow = Flow::begin(http, &args.asking.connection, client).await?;
    let device = &flow.device;
    let address = device.verification_uri_complete.as_ref().unwrap_or(&device.verification_uri);
    print::aside(&format!("Open {} in a browser", legible(address)));
    print::aside(&format!("and enter, or compare, the code {}", legible(&device.user_code)));
    let progress = Progress::begin(io::stderr().is_terminal());
    progress.say("waiting for you to finish there");
    let login = flow.finish(http).await;
    progress.end();
    login
}

async fn client(http: &Http, url: &Url, args: &LoginArgs) -> Result<oidc::Client, Failure> {
    let LoginArgs { issuer, client_id, scope, audience, asking: Asking { connection, .. }, .. } = args;
    let told = match (issuer, client_id) {
        (Some(_), Some(_)) => Told::default(),
        _ => told(http, url).await?,
    };
    let missing = |what: &str, flag: &str| {
        Failure::wrong(format!("the gateway names no {what}"))
            .hint(format!("give {flag}, set [login] at the gateway, or use `killgate login --with-token`"))
    };
    let login = told.login;
    let issuer = issuer.as_ref().or(told.authorization_servers.first()).ok_or_else(|| missing("issuer", "--issuer"))?;
    let id = client_id.clone().or_else(|| login.as_ref().map(|login| login.client_id.clone()));
    Ok(oidc::Client {
        issuer: connection.address("issuer", issuer)?,
        id: id.ok_or_else(|| missing("client", "--client-id"))?,
        scope: scope
            .clone()
            .or_else(|| login.as_ref().map(|login| login.scope.clone()))
            .unwrap_or_else(|| SCOPE.to_owned()),
        audience: audience.clone().or_else(|| login.and_then(|login| login.audience)),
    })
}

/// What the gateway tells whoever has no token; nothing where it is of a version that does not.
async fn told(http: &Http, url: &Url) -> Result<Told, Failure> {
    let url = at(url, &[".well-known", "oauth-protected-resource"], "");
    let (status, body) = exchange(http, Method::GET, &url, vec![]).await?;
    Ok(if status == 200 { serde_json::from_slice(&body).unwrap_or_default() } else { Told::default() })
}

//! Which gateway a command talks to, and as whom.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, builder::TypedValueParser as _};
use url::Url;

use super::{
    exit::Exit,
    failure::Failure,
    gateway::Gateway,
    http::Http,
    oidc,
    shown::Output,
    store::{self, Login, Store, name_of},
};
use crate::{
    clock::Clock,
    config::{Secret, endpoint},
};

/// The options of every command that is a client.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Gateway")]
pub(super) struct Connection {
    /// The gateway's address; without it that of the last login
    #[arg(long, env = "KILLGATE_URL", value_name = "URL", hide_env_values = true)]
    url: Option<String>,
    /// A token for it; without it that of `killgate login`. On the command line others on this machine may see it
    #[arg(long, env = "KILLGATE_TOKEN", value_name = "TOKEN", hide_env_values = true, value_parser = clap::builder::StringValueParser::new().map(Secret::from))]
    token: Option<Secret>,
    /// Certificates in PEM: these alone are trusted, in place of the system's
    #[arg(long, env = "KILLGATE_CA_FILE", value_name = "FILE", hide_env_values = true)]
    ca_file: Option<PathBuf>,
    /// http may lead further than to this machine, and so may the token, for whoever listens
    #[arg(long)]
    allow_http: bool,
}

/// The options of every command that answers.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Asking {
    /// How the answer is told
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

const ADDRESS: &str = "must be an https URL, or an http one to this machine (or with --allow-http), without query";

impl Connection {
    /// What the environment alone says.
    pub(super) fn from_environment() -> Self {
        let text = |name: &str| std::env::var_os(name).map(OsString::into_string).and_then(Result::ok);
        Self {
            url: text("KILLGATE_URL"),
            token: text("KILLGATE_TOKEN").map(Secret::from),
            ca_file: std::env::var_os("KILLGATE_CA_FILE").map(PathBuf::from),
            allow_http: false,
        }
    }

    pub(super) fn http(&self) -> Result<Http, Failure> {
        Http::start(self.ca_file.as_deref().filter(|path| !path.as_os_str().is_empty()))
    }

    /// An address of a gateway or an issuer that may be used.
    pub(super) fn address(&self, of: &str, text: &str) -> Result<Url, Failure> {
        endpoint(text, self.allow_http).ok_or_else(|| Failure::wrong(format!("{of}: {ADDRESS}")))
    }

    /// The gateway that is meant.
    pub(super) fn url(&self, store: &Store) -> Result<Url, Failure> {
        let given = self.url.as_deref().filter(|url| !url.is_empty()).or(store.current.as_deref());
        let given = given.ok_or_else(|| {
            Failure::wrong("which gateway is meant is not said")
                .hint("--url, KILLGATE_URL or `killgate login --url URL`")
        })?;
        self.address("--url", given)
    }

    /// The same where a token is asked for by nobody: what is kept is read only where the address is not given.
    pub(super) fn named(&self) -> Result<Url, Failure> {
        let store = if self.url.is_some() { Store::default() } else { Store::open(&store::path()?)? };
        self.url(&store)
    }

    /// The gateway, with a token that is good as far as this side can tell.
    pub(super) async fn open(&self) -> Result<Gateway, Failure> {
        self.open_with(&self.http()?).await
    }

    /// The same with a client that there is.
    pub(super) async fn open_with(&self, http: &Http) -> Result<Gateway, Failure> {
        if let Some(token) = self.token.as_ref().filter(|token| !token.expose().trim().is_empty()) {
            // A line's end comes along from many a file.
            let token = token.expose().trim();
            if token.contains(|c: char| !c.is_ascii_graphic()) {
                return Err(Failure::wrong(
                    "--token (KILLGATE_TOKEN): no token has spaces, line breaks or letters beyond ASCII",
                ));
            }
            return Ok(Gateway::new(self.named()?, Secret::from(token.to_owned()), http.clone()));
        }
        let path = store::path()?;
        let mut store = Store::open(&path)?;
        let url = self.url(&store)?;
        let name = name_of(&url);
        let no_token = |sentence: String| {
            Failure::new(Exit::NotAllowed, sentence)
                .hint(format!("`killgate login --url {name}`, or a token in KILLGATE_TOKEN"))
        };
        let login = store.gateways.get(&name).cloned();
        let login = login.ok_or_else(|| no_token(format!("there is no token for {name}")))?;
        let login = match (login.is_over(Clock::system().now()), login.refresh.clone()) {
            (false, _) => login,
            (true, None) => return Err(no_token(format!("the login at {name} has run out"))),
            (true, Some(refresh)) => {
                let made = oidc::refresh(http, self, &refresh).await;
                let made =
                    made.map_err(|error| no_token(format!("the login at {name} has run out: {}", error.sentence)))?;
                store.gateways.insert(name.clone(), made.clone());
                store.save(&path)?;
                made
            }
        };
        let Login { access_token, .. } = login;
        Ok(Gateway::new(url, Secret::from(access_token), http.clone()))
    }
}

/// How long a completion may take.
pub(super) const AT_ONCE: Duration = Duration::from_secs(2);

//! `killgate.toml` and the environment, read once and checked at the start.
//!
//! The file is laid under the environment (`source`), then each section takes the keys it knows
//! (`section`) and turns them into values that need no further check. Sections are read by hand rather than
//! by derived deserialisers, so that one start shows every mistake at once, each with its key's full path, and
//! so that no message can quote a secret. The invariant: a [`Config`] that exists is valid, and neither it nor a
//! [`ConfigError`] ever shows a secret.

mod access;
mod accounts;
mod address;
mod audit;
mod auth;
mod callers;
mod changes;
mod confirm;
mod console;
mod egress;
mod error;
mod login;
mod protect;
mod returned;
mod seal;
mod secret;
mod section;
mod server;
mod servers;
mod source;
mod summary;
mod targets;
mod tls;
mod traces;
mod vendors;
mod webhooks;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use accounts::{Account, AtCloud, Place};
pub(crate) use address::endpoint;
pub use address::without_query;
pub use audit::{Audit, Database};
pub use auth::{Auth, Issuer, KeySet, Keys, Person, Source};
pub use callers::Callers;
pub use changes::{Changes, Origin};
pub use confirm::Confirm;
pub use console::{CodeFlow, Console};
pub use egress::Egress;
pub use error::{ConfigError, Problem};
pub use login::Login;
pub use protect::Protect;
pub use returned::Returned;
pub use seal::Seal;
pub use secret::Secret;
pub use server::{Log, LogFormat, Server, ServerTls};
pub use targets::Target;
pub use tls::Tls;
pub use traces::{Sampling, Traces};
pub use vendors::{LimitOverrides, Limits};
pub use webhooks::{Format, Webhook};

use crate::{
    domain::Access,
    upstream::{self, By, Capabilities},
};
use section::{Reading, Section};

/// The file that is read when none is named; it need not exist.
pub const DEFAULT_FILE: &str = "killgate.toml";

/// The names of vendors and how they are reached: what configuration has to know of the vendor table.
type Vendors = [(&'static str, By)];

/// Everything an operator can set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read; `None` where there is none and the environment says everything.
    pub file: Option<PathBuf>,
    pub server: Server,
    pub audit: Audit,
    pub seal: Seal,
    /// `None` where nothing is set; [`Config::auth`] asks for it.
    pub auth: Option<Auth>,
    /// Who may name places that have no alias.
    pub access: Access,
    pub callers: Callers,
    pub confirm: Confirm,
    pub console: Console,
    pub accounts: BTreeMap<String, Account>,
    /// Limits for all accounts of a vendor, by the vendor's name.
    pub vendors: BTreeMap<String, LimitOverrides>,
    pub protect: Vec<Protect>,
    pub returned: Returned,
    /// Targets by alias.
    pub targets: BTreeMap<String, Target>,
    pub webhooks: Vec<Webhook>,
    /// Whom connections to others believe.
    pub tls: Tls,
    /// How they get out.
    pub egress: Egress,
    /// Where spans go.
    pub traces: Traces,
    pub login: Option<Login>,
    /// What it was read from.
    pub origin: Origin,
}

/// Reads the configuration.
///
/// `path` is what `--config` says; without it `KILLGATE_CONFIG` is asked for, and then [`DEFAULT_FILE`] in the
/// working directory, which may be absent. `env` is the process environment; secrets are looked up in it too.
///
/// # Errors
/// [`ConfigError`] names the file that cannot be read, or every key that is wrong and what was expected.
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    load_for(&known_vendors(), path, env.collect())
}

/// Reads a configuration from text, as if it stood in a file; paths in it are relative to the working directory.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, env: BTreeMap<String, String>) -> Result<Config, ConfigError> {
    read(&known_vendors(), None, source::parse("<text>".into(), text)?, env)
}

fn known_vendors() -> Vec<(&'static str, By)> {
    upstream::TABLE.iter().map(|vendor| (vendor.name().as_str(), vendor.capabilities().by)).collect()
}

fn load_for(vendors: &Vendors, path: Option<&Path>, env: BTreeMap<String, String>) -> Result<Config, ConfigError> {
    let (file, tree) = source::read_file(path, &env)?;
    read(vendors, file, tree, env)
}

fn read(
    vendors: &Vendors,
    file: Option<PathBuf>,
    mut tree: toml::Table,
    env: BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    let reading = Reading::new(source::lay_over(&mut tree, &env), &tree, env);
    let mut root = Section::root(tree, &reading);
    let config = Config::read(&mut root, file, vendors);
    root.refuse_unknown();
    let origin = reading.origin();
    Ok(Config { origin, ..reading.into_result(config)? })
}

impl Config {
    fn read(root: &mut Section<'_>, file: Option<PathBuf>, vendors: &Vendors) -> Option<Self> {
        let server = root.table("server", Server::read);
        let tls = root.table("tls", Tls::read);
        let egress = root.table("egress", Egress::read);
        let traces = root.table("traces", Traces::read);
        let audit = root.table("audit", Audit::read);
        let seal = root.table("seal", Seal::read);
        let auth = root.table_if_set("auth", Auth::read);
        if auth.as_ref().is_some_and(|auth| !auth.certificates.is_empty())
            && server.tls.as_ref().is_none_or(|tls| tls.client_ca_file.is_none())
        {
            root.problem_at("auth.certificates", "needs server.tls.client_ca_file: whose certificates are good");
        }
        let login = root.table_if_set("login", |section| Some(Login::read(section)));
        let callers = root.table("callers", Callers::read);
        let confirm = root.table("confirm", Confirm::read);
        let console = root.table("console", |section| Console::read(section, auth.as_ref()));
        let limits = root.tables("vendors", vendors::known_as(vendors), LimitOverrides::read);
        let accounts = root.tables("accounts", accounts::NAME, |name, section| Account::read(name, section, vendors));
        servers::refuse_shared(root, &accounts);
        let access = root.table("access", |section| access::access(section, &accounts, vendors));
        let targets = root.tables("targets", targets::ALIAS, |_, section| Target::read(section, &accounts, vendors));
        let webhooks =
            root.tables("webhooks", accounts::NAME, |name, section| Webhook::read(name, section, &accounts, vendors));
        let protect = root.list("protect", |section| Protect::read(section, &targets, vendors));
        let returned = root.table("returned", Returned::read);
        Some(Self {
            origin: Origin::default(),
            tls,
            egress,
            traces,
            login: login.map_or(Some(None), |login| login.map(Some))?,
            returned,
            file,
            server,
            audit,
            seal,
            auth,
            access,
            callers,
            confirm,
            console,
            accounts: whole(accounts)?,
            vendors: limits,
            protect: protect.into_iter().collect::<Option<_>>()?,
            targets: whole(targets)?,
            webhooks: webhooks.into_values().collect::<Option<_>>()?,
        })
    }

    /// Who may call; a gateway cannot serve without it, while `killgate migrate` can.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] where no `[auth]` is set.
    pub fn auth(&self) -> Result<&Auth, ConfigError> {
        let missing = || Problem {
            path: "auth".to_owned(),
            message: "required: issuer and audience, and jwks_url or hs256_secret where the issuer publishes nothing"
                .to_owned(),
        };
        self.auth.as_ref().ok_or_else(|| ConfigError::Invalid(vec![missing()]))
    }

    /// The limits of one vendor account: the account's own, else the vendor's, else what is built in.
    #[must_use]
    pub fn limits(&self, vendor: &str, account: &str, built_in: &Capabilities) -> Limits {
        let own = self.accounts.get(account).and_then(|account| account.vendors.get(vendor));
        let general = self.vendors.get(vendor).copied().unwrap_or_default();
        own.copied().unwrap_or_default().or(general).resolve(built_in)
    }
}

/// The map where every value was read well.
fn whole<T>(read: BTreeMap<String, Option<T>>) -> Option<BTreeMap<String, T>> {
    read.into_iter().map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests;

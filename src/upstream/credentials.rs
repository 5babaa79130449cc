//! How an account proves itself: with a key pair that stays, or with what a source gives for a while.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use url::Url;

use super::{
    Fault, FaultKind,
    sign::Keys,
    transport::{Request, Response},
};

/// How an account proves itself.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Signs every call.
    Keys(Keys),
    /// Fetches what ends, again and again.
    Temporary(Arc<dyn Source>),
}

impl Credentials {
    /// Those that a source gives.
    pub fn from_source(source: impl Source + 'static) -> Self {
        Self::Temporary(Arc::new(source))
    }

    /// The endpoint of the account where they come from, by its name.
    #[must_use]
    pub fn service(&self) -> Option<&'static str> {
        match self {
            Self::Keys(_) => None,
            Self::Temporary(source) => match source.place() {
                Place::Service(name) => Some(name),
                Place::Near(_) => None,
            },
        }
    }

    /// In a word or two, for people.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Keys(Keys { token: None, .. }) => "key pair",
            Self::Keys(_) => "temporary key pair",
            Self::Temporary(source) => source.describe(),
        }
    }
}

/// Where temporary credentials come from: a login, a metadata service, a security token service. Pure: it says what to send
/// and what an answer means, and reads neither clock nor file.
pub trait Source: fmt::Debug + Send + Sync {
    /// In a word or two, for people.
    fn describe(&self) -> &'static str;

    /// Whose calls a vendor counts together: the user, role or agency, by all of its name. It stays while credentials change.
    fn who(&self) -> Vec<&str>;

    /// What it is asked with that nobody may see.
    fn secrets(&self) -> Vec<&SecretString>;

    fn place(&self) -> Place<'_>;

    /// A file that is read again for each asking.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// How long before their end credentials are renewed at most; short-lived ones in the last tenth of their life.
    fn margin(&self) -> Duration;

    /// The first request.
    fn ask(&self, asking: &Asking<'_>) -> Request;

    /// What the answer to the `asked`th request says, counted from 1.
    ///
    /// # Errors
    /// Whatever goes wrong here, nothing of a kill has left: [`FaultKind::Denied`], [`FaultKind::Throttled`],
    /// [`FaultKind::Refused`], or [`FaultKind::Credentials`] where another time may fare better. The message is this
    /// gateway's own.
    fn next(&self, asked: usize, response: &Response, asking: &Asking<'_>) -> Result<Next, Fault>;
}

/// Where a source is.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// An endpoint of the account, by its name.
    Service(&'static str),
    /// In or beside this machine: it is asked without the proxy.
    Near(&'a Url),
}

/// What a source is asked for, and with.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub endpoint: &'a Url,
    pub realm: &'a Realm,
    /// What stands in the source's file.
    pub file: Option<&'a SecretString>,
    pub at: OffsetDateTime,
}

impl Asking<'_> {
    /// Longest time of one request.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The endpoint with that path behind its own.
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}{path}", self.endpoint.path().trim_end_matches('/')));
        url
    }
}

/// What credentials are asked for.
#[derive(Debug)]
pub struct Realm {
    pub region: String,
    pub project_id: Option<String>,
}

/// What a source wants next.
#[derive(Debug)]
pub enum Next {
    Ask(Request),
    Granted(Grant),
}

/// Credentials, and what is known of them.
#[derive(Debug)]
pub struct Grant {
    pub proof: Granted,
    /// The project that they are bound to, where they say one.
    pub project_id: Option<String>,
    pub expires_at: OffsetDateTime,
}

/// What calls go out with.
pub enum Granted {
    /// Goes in the header of that name.
    Token {
        header: &'static str,
        value: SecretString,
    },
    Keys(Keys),
}

impl Granted {
    /// What nobody may see.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Token { value, .. } => vec![value.expose_secret()],
            Self::Keys(keys) => keys.secrets(),
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token { .. } => "Token",
            Self::Keys(_) => "Keys",
        })
    }
}

impl Fault {
    /// A fault of a source, in this gateway's words; its stage is set by the call that wanted credentials.
    #[must_use]
    pub fn of_source(kind: FaultKind, why: &str) -> Self {
        Self { on_the_way: true, ..Self::new(kind, "credentials") }.saying(None, Some(why.to_owned()))
    }
}

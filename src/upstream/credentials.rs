//! How an account proves itself: with a key that signs every call, or with a token that a login brings.

use std::{fmt, sync::Arc, time::Duration};

use secrecy::SecretString;
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
    /// Logs in, and sends a token with every call.
    Login(Arc<dyn Login>),
}

impl Credentials {
    /// Those of somebody who logs in.
    pub fn login(who: impl Login + 'static) -> Self {
        Self::Login(Arc::new(who))
    }

    /// In a word or two, for people.
    #[must_use]
    pub const fn describe(&self) -> &'static str {
        match self {
            Self::Keys(Keys { token: None, .. }) => "key pair",
            Self::Keys(_) => "temporary key pair",
            Self::Login(_) => "user",
        }
    }
}

/// Logging in for a token, as one cloud does it. Pure: it says what to send and what the answer means.
pub trait Login: fmt::Debug + Send + Sync {
    /// Whose calls a vendor counts together: the user, by all of its name.
    fn who(&self) -> [&str; 2];

    fn password(&self) -> &SecretString;

    /// The name of the endpoint where one logs in.
    fn service(&self) -> &'static str;

    fn request(&self, endpoint: &Url, realm: &Realm) -> Request;

    /// What the answer to that request says.
    ///
    /// # Errors
    /// Whatever goes wrong here, nothing of a kill has left: [`FaultKind::Denied`], [`FaultKind::Throttled`],
    /// [`FaultKind::Refused`], or [`FaultKind::NotConnected`] where the answer is not as it should be.
    fn read(&self, response: &Response, realm: &Realm) -> Result<Grant, Fault>;

    /// The name of the header that the token goes in.
    fn header(&self) -> &'static str;
}

/// What a token is asked for.
#[derive(Debug)]
pub struct Realm {
    pub region: String,
    pub project_id: Option<String>,
}

/// A token, and what is known of it.
pub struct Grant {
    pub token: SecretString,
    pub project_id: String,
    pub expires_at: OffsetDateTime,
}

impl Grant {
    /// Longest time of one login.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl Fault {
    /// A fault of a login; its stage is set by the call that wanted a token.
    #[must_use]
    pub fn of_login(kind: FaultKind, why: &str) -> Self {
        Self::new(kind, "login").saying(None, Some(why.to_owned()))
    }
}

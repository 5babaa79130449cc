//! As whom requests over HTTP come: each with a token of its own, which is the one that the gateway sees.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use super::previews::Owner;
use crate::{
    client::{failure::Failure, gateway::Gateway, http::Http},
    clock::{Clock, rfc3339},
    config::Secret,
};

/// For how long it is believed what the gateway said of a token.
const BELIEVED: Duration = Duration::from_mins(1);
/// Most tokens of which that is remembered.
const MOST: usize = 1000;

/// Whom the gateway takes a token for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Who {
    caller: String,
    actor: Option<String>,
    client_id: Option<String>,
}

/// As whom a request is carried out.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// With the request's own token.
    pub(super) gateway: Gateway,
    pub(super) who: Who,
    /// The session of the protocol, where it has one.
    pub(super) session: Option<String>,
}

impl Caller {
    pub(super) fn owner(&self) -> Owner {
        (self.session.clone(), self.who.clone())
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Known {
    #[serde(flatten)]
    who: Who,
    /// The end of the token, or of what is believed.
    #[serde(rename = "expires_at", with = "rfc3339")]
    until: OffsetDateTime,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Callers {
    gateway: Url,
    http: Http,
    /// By the token's digest.
    known: Mutex<HashMap<Vec<u8>, Known>>,
}

impl Callers {
    pub(super) fn new(gateway: Url, http: Http) -> Self {
        Self { gateway, http, known: Mutex::default() }
    }

    /// Whom the gateway takes that token for.
    ///
    /// # Errors
    /// A token that it does not take, or a gateway that cannot be asked.
    pub(super) async fn caller(&self, token: Secret, session: Option<String>) -> Result<Caller, Failure> {
        let name = digest(&SHA256, token.expose().as_bytes()).as_ref().to_vec();
        let gateway = Gateway::new(self.gateway.clone(), token, self.http.clone());
        let now = Clock::system().now();
        let known = self.known().get(&name).filter(|known| known.until > now).cloned();
        let who = if let Some(known) = known {
            known.who
        } else {
            let mut fresh: Known = gateway.get(&["me"], "").await?.read()?;
            fresh.until = fresh.until.min(now + BELIEVED);
            let who = fresh.who.clone();
            let mut known = self.known();
            if known.len() >= MOST {
                known.retain(|_, known| known.until > now);
            }
            if known.len() < MOST {
                known.insert(name, fresh);
            }
            who
        };
        Ok(Caller { gateway, who, session })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Who calls: a JWT in `Authorization: Bearer`, checked by a shared secret or by its issuer's key set; or, where there is none and
//! configuration says so, the certificate of the connection.
//!
//! Which algorithms are taken is fixed by configuration, and the key that is found decides which of them a token
//! must have used; what the token's header says is compared with that, never obeyed. Time comes from the
//! [`Clock`]. The invariants: no token authenticates unless its signature, issuer, audience, times and subject all
//! hold, and no error repeats any part of a token.

mod caller;
mod certificate;
mod claims;
mod error;
mod jwk;
mod jwks;
mod mint;
mod rules;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous::insecure_decode_claims, errors::ErrorKind};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use caller::{Caller, Naming, Scope};
pub use certificate::{CertificateName, Certified, ClientCertificate, is_distinguished};
pub use error::AuthError;
pub use jwks::{Fetch, KeySetState, KeysAre};
pub use mint::{Grant, MintError, mint};

use crate::{
    clock::Clock,
    config::{self, Keys},
    metrics::Metrics,
};
use claims::Claims;
use jwks::Jwks;
use rules::Rules;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// Between two looks at how old the key sets are.
const TICK: Duration = Duration::from_secs(1);

/// Knows callers by their tokens. Clones share the key sets.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuers: Vec<Issuer>,
    certificates: Vec<Certified>,
    clock: Clock,
}

/// One issuer, and what its signatures are checked with.
#[derive(Debug)]
struct Issuer {
    rules: Rules,
    algorithms: Vec<Algorithm>,
    types: Vec<String>,
    verifier: Verifier,
}

#[derive(Debug)]
enum Verifier {
    Secrets(Vec<DecodingKey>),
    Set(Arc<Jwks>),
}

impl Auth {
    /// Callers as the configuration knows them. `fetch` brings what an issuer publishes; nothing is fetched before the first
    /// token comes, or [`Auth::keep`] is called.
    #[must_use]
    pub fn new(config: &config::Auth, fetch: &dyn Fn(&config::Issuer) -> Fetch, clock: &Clock) -> Self {
        let issuer = |config: &config::Issuer| Issuer {
            verifier: match &config.keys {
                Keys::Secrets(secrets) => {
                    let key = |secret: &config::Secret| DecodingKey::from_secret(secret.expose().as_bytes());
                    Verifier::Secrets(secrets.iter().map(key).collect())
                }
                Keys::Set(set) => Verifier::Set(Jwks::new(set.clone(), fetch(config), clock.clone())),
            },
            rules: Rules::new(config.clone()),
            algorithms: config.algorithms.clone(),
            types: config.types.clone(),
        };
        Self(Arc::new(Inner {
            issuers: config.issuers.iter().map(issuer).collect(),
            certificates: config.certificates.clone(),
            clock: clock.clone(),
        }))
    }

    /// The caller that the value of the `Authorization` header stands for.
    ///
    /// # Errors
    /// [`AuthError`] says what is wrong with the token.
    pub async fn authenticate(&self, authorization: Option<&str>) -> Result<Caller, AuthError> {
        let token = bearer(authorization)?;
        let header = Header::of(token).ok_or(AuthError::Malformed)?;
        if header.crit.is_some() {
            return Err(AuthError::CriticalHeader);
        }
        let algorithm = header.alg.parse().map_err(|_| AuthError::AlgorithmNotAllowed)?;
        // What a token says of its issuer is believed as far as that issuer's keys prove it.
        let Unproven { iss } = unproven(token)?;
        let named = |issuer: &&Issuer| iss.as_ref().and_then(Value::as_str) == Some(issuer.rules.issuer());
        let issuer = self.0.issuers.iter().find(named).ok_or(AuthError::WrongIssuer)?;
        if !issuer.algorithms.contains(&algorithm) {
            return Err(AuthError::AlgorithmNotAllowed);
        }
        if !issuer.takes(header.typ.as_deref()) {
            return Err(AuthError::WrongType);
        }
        match issuer.verifier.verify(token, algorithm, header.kid.as_deref()).await {
            Ok(claims) => issuer.rules.caller(&claims, self.0.clock.now()),
            // Whoever signed it, it is bad by itself if what it says does not hold.
            Err(AuthError::KeysUnavailable) => {
                issuer.rules.caller(&unproven(token)?, self.0.clock.now()).and(Err(AuthError::KeysUnavailable))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a certificate can stand for a token at all.
    #[must_use]
    pub fn knows_certificates(&self) -> bool {
        !self.0.certificates.is_empty()
    }

    /// The caller that a certificate stands for, where there is no token.
    ///
    /// # Errors
    /// [`AuthError`] says why it stands for none.
    pub fn by_certificate(&self, certificate: &ClientCertificate) -> Result<Caller, AuthError> {
        // Whoever has to name a person by one issuer's rule has to by any other way too.
        let naming = |subject: &str| {
            let all = self.0.issuers.iter().map(|issuer| issuer.rules.naming(subject));
            all.max().unwrap_or(Naming::Free)
        };
        certificate.caller(&self.0.certificates, self.0.clock.now(), naming)
    }

    /// What is known of each issuer that publishes its keys.
    #[must_use]
    pub fn key_sets(&self) -> Vec<KeySetState> {
        let sets = self.0.issuers.iter().filter_map(|issuer| match &issuer.verifier {
            Verifier::Secrets(_) => None,
            Verifier::Set(set) => Some(set.state(issuer.rules.issuer())),
        });
        sets.collect()
    }

    /// Fetches each key set now, for whoever wants to know: how many keys of it can be used, or why there are none.
    pub async fn try_key_sets(&self) -> Vec<(String, Result<usize, String>)> {
        let mut tried = vec![];
        for issuer in &self.0.issuers {
            if let Verifier::Set(set) = &issuer.verifier {
                tried.push((issuer.rules.issuer().to_owned(), set.fetched().await.map(|keys| keys.len())));
            }
        }
        tried
    }

    /// Whether tokens of no issuer at all can be checked now.
    #[must_use]
    pub fn knows_nobody(&self) -> bool {
        let sets = self.key_sets();
        sets.len() == self.0.issuers.len() && sets.iter().all(|set| set.keys == KeysAre::Missing)
    }

    /// Fetches key sets ahead of their end and tells the metrics how old they are, until the task is aborted.
    pub async fn keep(self, metrics: Arc<Metrics>) {
        loop {
            for issuer in &self.0.issuers {
                if let Verifier::Set(set) = &issuer.verifier {
                    set.renew_ahead();
                }
            }
            for set in self.key_sets() {
                metrics.key_set(&set.issuer, set.keys == KeysAre::Missing, set.age, set.failures);
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

/// Longest id of a key that is shown, in characters.
const LONGEST_ID: usize = 64;

/// The key that a token says it was signed with, for the log: cut, and without what could break a line. Nothing of it is
/// believed.
#[must_use]
pub fn key_id(authorization: Option<&str>) -> Option<String> {
    let id = Header::of(bearer(authorization).ok()?)?.kid?;
    Some(id.chars().filter(char::is_ascii_graphic).take(LONGEST_ID).collect())
}

/// What a token's header says, before any of it is believed.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// What the receiver must understand, which is nothing here (RFC 7515, section 4.1.11).
    crit: Option<Value>,
}

/// Of a token's claims, which of the issuers is to prove them.
#[derive(Deserialize)]
struct Unproven {
    iss: Option<Value>,
}

/// What a token says, whoever has signed it.
fn unproven<T: DeserializeOwned>(token: &str) -> Result<T, AuthError> {
    insecure_decode_claims(token).map_err(|_| AuthError::Malformed)
}

impl Header {
    fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

impl Issuer {
    /// Whether a token whose header has that `typ` is one for this gateway: others, such as the token that tells a program who
    /// has signed in, have the same signature.
    fn takes(&self, typ: Option<&str>) -> bool {
        let typ = typ.unwrap_or("none");
        let prefix = "application/";
        let is_full = typ.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let typ = if is_full { &typ[prefix.len()..] } else { typ };
        self.types.iter().any(|taken| taken.eq_ignore_ascii_case(typ))
    }
}

impl Verifier {
    /// The claims, if one of the keys that may have signed them has.
    async fn verify(&self, token: &str, algorithm: Algorithm, id: Option<&str>) -> Result<Claims, AuthError> {
        match self {
            Self::Secrets(keys) => {
                let mut tried = keys.iter().map(|key| verified(token, key, algorithm));
                let decided = tried.find(|tried| *tried != Err(AuthError::BadSignature));
                decided.unwrap_or(Err(AuthError::BadSignature))
            }
            Self::Set(set) => {
                let mut result = Err(AuthError::UnknownKey);
                for key in set.keys(id, algorithm).await? {
                    result = verified(token, &key.decoding, key.algorithm);
                    if result != Err(AuthError::BadSignature) {
                        break;
                    }
                }
                result
            }
        }
    }
}

/// The claims, if `key` has signed them; whether they hold is not asked here, since that needs our own clock.
fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, AuthError> {
    let mut signature_only = Validation::new(algorithm);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_nbf = false;
    signature_only.validate_aud = false;
    match jsonwebtoken::decode::<Claims>(token, key, &signature_only) {
        Ok(token) => Ok(token.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidAlgorithm => AuthError::AlgorithmNotAllowed,
            ErrorKind::InvalidSignature => AuthError::BadSignature,
            _ => AuthError::Malformed,
        }),
    }
}

/// The token in the header's value.
fn bearer(authorization: Option<&str>) -> Result<&str, AuthError> {
    let (scheme, token) = authorization.and_then(|value| value.trim().split_once(' ')).ok_or(AuthError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing);
    }
    let token = token.trim_start();
    if token.len() > LONGEST {
        return Err(AuthError::TooLong);
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if token.is_empty() || !token.bytes().all(fine) { Err(AuthError::Malformed) } else { Ok(token) }
}

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

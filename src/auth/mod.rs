//! Who calls: a JWT in `Authorization: Bearer`, checked by a shared secret or by the issuer's key set.
//!
//! Which algorithms are taken is fixed by configuration, and the key that is found decides which of them a token
//! must have used; what the token's header says is compared with that, never obeyed. Time comes from the
//! [`Clock`]. The invariants: no token authenticates unless its signature, issuer, audience, times and subject all
//! hold, and no error repeats any part of a token.

mod caller;
mod claims;
mod error;
mod jwk;
mod jwks;
mod mint;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous::insecure_decode_claims, errors::ErrorKind};
use serde::Deserialize;

pub use caller::{Caller, Scope};
pub use error::AuthError;
pub use jwks::Fetch;
pub use mint::{Grant, MintError, mint};

use crate::{
    clock::Clock,
    config::{self, Keys},
};
use claims::{Claims, Rules};
use jwks::Jwks;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// Knows callers by their tokens. Clones share one key set.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Rules,
    algorithms: Vec<Algorithm>,
    verifier: Verifier,
    clock: Clock,
}

#[derive(Debug)]
enum Verifier {
    Secret(DecodingKey),
    Set(Arc<Jwks>),
}

impl Auth {
    /// Callers as the configuration knows them. `fetch` brings the key set, where there is one; nothing is fetched
    /// before the first token comes.
    #[must_use]
    pub fn new(config: &config::Auth, fetch: Fetch, clock: Clock) -> Self {
        let verifier = match &config.keys {
            Keys::Secret(secret) => Verifier::Secret(DecodingKey::from_secret(secret.expose().as_bytes())),
            Keys::Set { url, refresh_floor, max_age } => {
                Verifier::Set(Jwks::new(url.clone(), *refresh_floor, *max_age, fetch, clock.clone()))
            }
        };
        let rules = Rules { issuer: config.issuer.clone(), audience: config.audience.clone(), leeway: config.leeway };
        Self(Arc::new(Inner { rules, algorithms: config.algorithms.clone(), verifier, clock }))
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
        let algorithm = header.alg.parse().ok().filter(|algorithm| self.0.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(AuthError::AlgorithmNotAllowed)?;
        match self.0.verifier.verify(token, algorithm, header.kid.as_deref()).await {
            Ok(claims) => self.0.rules.caller(&claims, self.0.clock.now()),
            // Whoever signed it, it is bad by itself if what it says does not hold.
            Err(AuthError::KeysUnavailable) => {
                let claims = insecure_decode_claims(token).map_err(|_| AuthError::Malformed)?;
                self.0.rules.caller(&claims, self.0.clock.now()).and(Err(AuthError::KeysUnavailable))
            }
            Err(error) => Err(error),
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
    /// What the receiver must understand, which is nothing here (RFC 7515, section 4.1.11).
    crit: Option<serde_json::Value>,
}

impl Header {
    fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

impl Verifier {
    /// The claims, if one of the keys that may have signed them has.
    async fn verify(&self, token: &str, algorithm: Algorithm, id: Option<&str>) -> Result<Claims, AuthError> {
        match self {
            Self::Secret(key) => verified(token, key, algorithm),
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

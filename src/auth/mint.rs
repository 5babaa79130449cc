//! Tokens of our own, for `killgate token` and the demo: HS256, and only where the gateway itself holds the secret.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use thiserror::Error;

use super::claims::Claims;
use crate::{
    clock::{Clock, id_at},
    config::Secret,
};

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub subject: &'a str,
    /// Scopes, parted by spaces.
    pub scope: &'a str,
    /// How long the token is good; whole seconds count.
    pub ttl: Duration,
    /// Further claims, such as `act`; the ones above go before them.
    pub extra: Claims,
}

/// The token was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token cannot be signed")]
pub struct MintError;

/// Signs a token that is good from now on.
///
/// # Errors
/// [`MintError`] where the life of the token leaves the calendar or signing fails.
pub fn mint(grant: &Grant<'_>, secret: &Secret, clock: &Clock) -> Result<String, MintError> {
    let now = clock.now();
    let life = time::Duration::try_from(grant.ttl).map_err(|_| MintError)?;
    let until = now.checked_add(life).ok_or(MintError)?;
    let mut claims = grant.extra.clone();
    let ours: [(&str, Value); 8] = [
        ("iss", grant.issuer.into()),
        ("aud", grant.audience.into()),
        ("sub", grant.subject.into()),
        ("scope", grant.scope.into()),
        ("iat", now.unix_timestamp().into()),
        ("nbf", now.unix_timestamp().into()),
        ("exp", until.unix_timestamp().into()),
        ("jti", json!(id_at(now))),
    ];
    claims.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|_| MintError)
}

//! Keys as issuers publish them (RFC 7517).
//!
//! A key says itself what it signs with: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA. Whatever else is in a set,
//! secrets above all, is passed over and does not spoil the rest.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::AuthError;

/// Most keys that are kept of a set.
const MOST_KEYS: usize = 100;

/// A public key that signatures can be checked with.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a published set; `None` where this is no key set at all. A mark before it is passed over.
pub(super) fn parse(body: &[u8]) -> Option<Vec<Key>> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let published: Published = serde_json::from_slice(body).ok()?;
    let jwks = published.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    Some(jwks.filter_map(|jwk| jwk.key()).take(MOST_KEYS).collect())
}

/// The keys that may have signed a token with this header. Several keys may share an id; a token without an id
/// needs the one key of its algorithm.
pub(super) fn matching(keys: &[Key], id: Option<&str>, algorithm: Algorithm) -> Result<Vec<Key>, AuthError> {
    let of_algorithm = |key: &&Key| key.algorithm == algorithm;
    if let Some(id) = id {
        let named: Vec<&Key> = keys.iter().filter(|key| key.id.as_deref() == Some(id)).collect();
        let found: Vec<Key> = named.iter().copied().filter(of_algorithm).cloned().collect();
        return match (named.is_empty(), found.is_empty()) {
            (true, _) => Err(AuthError::UnknownKey),
            (false, true) => Err(AuthError::AlgorithmNotAllowed),
            (false, false) => Ok(found),
        };
    }
    let found: Vec<Key> = keys.iter().filter(of_algorithm).cloned().collect();
    if found.len() == 1 { Ok(found) } else { Err(AuthError::UnknownKey) }
}

impl Jwk {
    fn key(&self) -> Option<Key> {
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs || !verifies {
            return None;
        }
        let (algorithm, names, decoding) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Algorithm::RS256, ["RS256", "RS256"], self.rsa()?),
            ("EC", Some("P-256")) => (Algorithm::ES256, ["ES256", "ES256"], self.p256()?),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, ["EdDSA", "Ed25519"], self.ed25519()?),
            _ => return None,
        };
        let fits = self.alg.as_deref().is_none_or(|alg| names.contains(&alg));
        fits.then(|| Key { id: self.kid.clone(), algorithm, decoding })
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let (n, e) = (self.n.as_deref()?, self.e.as_deref()?);
        (2048..=8192).contains(&bits(n)?).then(|| DecodingKey::from_rsa_components(n, e).ok())?
    }

    fn p256(&self) -> Option<DecodingKey> {
        let (x, y) = (self.x.as_deref()?, self.y.as_deref()?);
        let whole = [x, y].iter().all(|half| decoded(half).is_some_and(|half| half.len() == 32));
        whole.then(|| DecodingKey::from_ec_components(x, y).ok())?
    }

    fn ed25519(&self) -> Option<DecodingKey> {
        let x = self.x.as_deref()?;
        (decoded(x)?.len() == 32).then(|| DecodingKey::from_ed_components(x).ok())?
    }
}

/// How long the number is, without leading zeros.
fn bits(number: &str) -> Option<usize> {
    let bytes = decoded(number)?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some((bytes.len() - first) * 8 - bytes[first].leading_zeros() as usize)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

//! Real keys, and an issuer that publishes them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair as RsaPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};

use super::{Auth, Fetch};
use crate::{
    clock::Clock,
    config::{self, KeySet, Keys, Person, Secret, Source},
};

pub(super) const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
pub(super) const SECRET: &str = "canary-secret-0123456789-0123456789";

/// A private key and the JWK of its public half.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
    pub(super) jwk: Value,
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn rsa() -> Signer {
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", STANDARD.encode(private.as_ref()));
    let public = pair.public_key();
    let n = base64url(public.modulus().big_endian_without_leading_zero());
    let e = base64url(public.exponent().big_endian_without_leading_zero());
    let jwk = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "n": n, "e": e });
    Signer { algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), jwk }
}

pub(super) fn p256() -> Signer {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..]) });
    let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
    Signer { algorithm: Algorithm::ES256, key, jwk }
}

pub(super) fn ed25519() -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key()) });
    let key = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
    Signer { algorithm: Algorithm::EdDSA, key, jwk }
}

pub(super) fn claims() -> Value {
    json!({ "iss": "sso", "aud": "killgate", "exp": NOW.unix_timestamp() + 3600, "sub": "anna" })
}

pub(super) fn bearing(token: &str) -> String {
    format!("Bearer {token}")
}

pub(super) fn signed(header: &Header, key: &EncodingKey) -> String {
    bearing(&jsonwebtoken::encode(header, &claims(), key).unwrap())
}

impl Signer {
    pub(super) fn token(&self, id: Option<&str>) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(self.algorithm) };
        signed(&header, &self.key)
    }

    pub(super) fn jwk(&self, id: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = id.into();
        jwk
    }
}

/// An issuer whose key set can be changed and counted.
#[derive(Clone)]
pub(super) struct Issuer {
    answer: Arc<Mutex<Result<Vec<u8>, String>>>,
    fetches: Arc<AtomicUsize>,
    documents: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    pub(super) clock: Clock,
}

impl Issuer {
    pub(super) fn with(keys: &[Value]) -> Self {
        let issuer = Self {
            answer: Arc::new(Mutex::new(Err(String::new()))),
            fetches: Arc::default(),
            documents: Arc::default(),
            clock: Clock::manual(NOW),
        };
        issuer.publish(keys);
        issuer
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.answer(Ok(json!({ "keys": keys }).to_string().into_bytes()));
    }

    pub(super) fn answer(&self, answer: Result<Vec<u8>, String>) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(super) fn later(&self, seconds: i64) {
        self.clock.set(self.clock.now() + time::Duration::seconds(seconds));
    }

    pub(super) fn auth(&self) -> Auth {
        self.auth_by(Source::Url("https://sso/keys".parse().unwrap()))
    }

    /// What this issuer's keys are found by; whatever else is asked for is answered by `elsewhere`.
    pub(super) fn auth_by(&self, source: Source) -> Auth {
        let this = self.clone();
        let fetch: Fetch = Arc::new(move |url| {
            let this = this.clone();
            Box::pin(async move {
                if url.as_str() != "https://sso/keys" {
                    return this.documents.lock().unwrap().get(url.as_str()).cloned().ok_or("HTTP 404".to_owned());
                }
                this.fetches.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                this.answer.lock().unwrap().clone()
            })
        });
        let keys = Keys::Set(KeySet {
            source,
            refresh_floor: Duration::from_secs(30),
            max_age: Duration::from_mins(10),
            stale: Duration::from_hours(4),
        });
        let config = config(keys, &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]);
        Auth::new(&config::Auth { issuers: vec![config], certificates: vec![] }, &|_| Arc::clone(&fetch), &self.clock)
    }

    /// Answers requests for that address.
    pub(super) fn document(&self, url: &str, document: &Value) {
        self.documents.lock().unwrap().insert(url.to_owned(), document.to_string().into_bytes());
    }
}

pub(super) fn config(keys: Keys, algorithms: &[Algorithm]) -> config::Issuer {
    config::Issuer {
        issuer: "sso".into(),
        audience: "killgate".into(),
        keys,
        algorithms: algorithms.to_vec(),
        types: vec!["at+jwt".into(), "jwt".into()],
        leeway: Duration::from_secs(30),
        subject_prefix: String::new(),
        foreign_prefixes: vec![],
        scopes_claim: vec!["scope".into(), "scp".into()],
        roles: None,
        person: Person::default(),
        authorities: None,
    }
}

pub(super) fn by_secrets(secrets: &[&str]) -> Auth {
    let fetch: Fetch = Arc::new(|_| panic!("a secret needs no key set"));
    let keys = Keys::Secrets(secrets.iter().map(|secret| Secret::from((*secret).to_owned())).collect());
    let config = config::Auth { issuers: vec![config(keys, &[Algorithm::HS256])], certificates: vec![] };
    Auth::new(&config, &|_| Arc::clone(&fetch), &Clock::manual(NOW))
}

pub(super) fn by_secret() -> Auth {
    by_secrets(&[SECRET])
}

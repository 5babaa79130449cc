//! Tokens of an issuer that publishes its keys, over real HTTP.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use actix_web::http::StatusCode;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair as RsaPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use killgate::clock::Clock;
use serde_json::{Value, json};
use time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::{
    kit::{LIST, assert_problem},
    on_one_engine,
};
use crate::support::gateway::{AUDIENCE, Answer, Engine, Gateway, ISSUER, JWT_SECRET, Setup};

on_one_engine! {
    each_kind_of_published_key_is_taken,
    a_shared_secret_is_not_taken_beside_a_key_set,
    a_new_key_is_found_and_a_withdrawn_one_forgotten,
    the_last_keys_stay_good_while_the_issuer_is_away,
    a_good_token_is_not_blamed_for_keys_that_cannot_be_had,
    a_set_without_a_usable_key_is_none,
    keys_behind_interim_answers_are_found,
}

/// A private key and the JWK of its public half.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
    pub(super) jwk: Value,
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn rsa() -> Signer {
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", STANDARD.encode(private.as_ref()));
    let public = pair.public_key();
    let n = base64url(public.modulus().big_endian_without_leading_zero());
    let e = base64url(public.exponent().big_endian_without_leading_zero());
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    Signer {
        algorithm: Algorithm::RS256,
        key,
        jwk: json!({ "kty": "RSA", "kid": "rsa", "use": "sig", "n": n, "e": e }),
    }
}

fn p256(id: &str) -> Signer {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
    let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
    Signer { algorithm: Algorithm::ES256, key, jwk: json!({ "kty": "EC", "kid": id, "crv": "P-256", "x": x, "y": y }) }
}

fn ed25519() -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({ "kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": base64url(pair.public_key()) });
    let key = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
    Signer { algorithm: Algorithm::EdDSA, key, jwk }
}

impl Signer {
    fn token(&self, clock: &Clock) -> String {
        let header = Header { kid: self.jwk["kid"].as_str().map(str::to_owned), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, &claims(clock), &self.key).unwrap()
    }
}

fn claims(clock: &Clock) -> Value {
    let expires = clock.now().unix_timestamp() + 600;
    json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": expires, "sub": "anna", "scope": "kills:read" })
}

/// Publishes keys at an address of its own until it is stopped.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<AtomicUsize>,
    /// What comes before each answer.
    before: Arc<Mutex<&'static str>>,
    serving: JoinHandle<()>,
}

impl Issuer {
    async fn start(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let published = Arc::new(Mutex::new(vec![]));
        let fetches = Arc::new(AtomicUsize::new(0));
        let before = Arc::new(Mutex::new(""));
        let (shown, counted, first) = (Arc::clone(&published), Arc::clone(&fetches), Arc::clone(&before));
        let serving = tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![];
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(connection.read_u8().await.unwrap());
                }
                assert!(head.starts_with(b"GET /jwks.json HTTP/1.1\r\n"));
                let body = json!({ "keys": *shown.lock().unwrap() }).to_string();
                let length = body.len();
                let interim = *first.lock().unwrap();
                let answer = format!(
                    "{interim}HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n{body}"
                );
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let issuer = Self { url, keys: published, fetches, before, serving };
        issuer.publish(keys);
        issuer
    }

    fn publish(&self, keys: &[&Signer]) {
        *self.keys.lock().unwrap() = keys.iter().map(|signer| signer.jwk.clone()).collect();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Goes away; who connects from now on is refused.
    async fn stop(self) {
        self.serving.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
    }
}

/// A gateway that knows its callers by that issuer's keys, on a clock that stands still.
async fn gateway(engine: Engine, issuer: &Issuer) -> (Gateway, Clock) {
    let clock = Clock::manual(Clock::system().now());
    let (url, issuer) = (&issuer.url, ISSUER);
    let more = format!("[auth]\nissuer = '{issuer}'\naudience = '{AUDIENCE}'\njwks_url = '{url}'\n");
    let setup = Setup { more, clock: Some(clock.clone()), ..Setup::default() };
    (Gateway::start_with(engine, setup).await, clock)
}

async fn list(gateway: &Gateway, token: &str) -> Answer {
    gateway.client().get("/kills", token).await
}

async fn each_kind_of_published_key_is_taken(engine: Engine) {
    let signers = [rsa(), p256("ec"), ed25519()];
    let issuer = Issuer::start(&signers.each_ref()).await;
    let (gateway, clock) = gateway(engine, &issuer).await;
    for signer in &signers {
        let answer = list(&gateway, &signer.token(&clock)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}: {}", signer.algorithm, answer.body);
    }
    let forged = p256("ec").token(&clock);
    assert_problem(&list(&gateway, &forged).await, LIST, 401, "unauthenticated");
    assert_eq!(issuer.fetches(), 1);
}

async fn keys_behind_interim_answers_are_found(engine: Engine) {
    let signer = ed25519();
    let issuer = Issuer::start(&[&signer]).await;
    *issuer.before.lock().unwrap() = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let (gateway, clock) = gateway(engine, &issuer).await;
    let answer = list(&gateway, &signer.token(&clock)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

async fn a_shared_secret_is_not_taken_beside_a_key_set(engine: Engine) {
    let signer = rsa();
    let issuer = Issuer::start(&[&signer]).await;
    let (gateway, clock) = gateway(engine, &issuer).await;
    let public = URL_SAFE_NO_PAD.decode(signer.jwk["n"].as_str().unwrap()).unwrap();
    for secret in [JWT_SECRET.as_bytes(), &public, b""] {
        let header = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims(&clock), &EncodingKey::from_secret(secret)).unwrap();
        let answer = list(&gateway, &token).await;
        assert_problem(&answer, LIST, 401, "unauthenticated");
        assert!(answer.header("www-authenticate").unwrap().contains("algorithm not allowed"));
    }
    assert!(issuer.fetches() <= 1, "the gateway's own");
}

async fn a_new_key_is_found_and_a_withdrawn_one_forgotten(engine: Engine) {
    let (old, new) = (p256("old"), p256("new"));
    let issuer = Issuer::start(&[&old]).await;
    let (gateway, clock) = gateway(engine, &issuer).await;
    assert_eq!(list(&gateway, &old.token(&clock)).await.status, StatusCode::OK);
    issuer.publish(&[&new]);
    assert_eq!(list(&gateway, &new.token(&clock)).await.status, StatusCode::UNAUTHORIZED, "fetched a moment ago");
    assert_eq!(issuer.fetches(), 1);
    clock.set(clock.now() + Duration::seconds(31));
    assert_eq!(list(&gateway, &new.token(&clock)).await.status, StatusCode::OK);
    assert_eq!(list(&gateway, &old.token(&clock)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(issuer.fetches(), 2);
}

async fn the_last_keys_stay_good_while_the_issuer_is_away(engine: Engine) {
    let signer = ed25519();
    let issuer = Issuer::start(&[&signer]).await;
    let (gateway, clock) = gateway(engine, &issuer).await;
    assert_eq!(list(&gateway, &signer.token(&clock)).await.status, StatusCode::OK);
    issuer.stop().await;
    clock.set(clock.now() + Duration::hours(1));
    let answer = list(&gateway, &signer.token(&clock)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(list(&gateway, &p256("unknown").token(&clock)).await.status, StatusCode::UNAUTHORIZED);
}

async fn a_set_without_a_usable_key_is_none(engine: Engine) {
    let signer = ed25519();
    let issuer = Issuer::start(&[]).await;
    let (gateway, clock) = gateway(engine, &issuer).await;
    let answer = list(&gateway, &signer.token(&clock)).await;
    assert_problem(&answer, LIST, 503, "keys_unavailable");
    issuer.publish(&[&signer]);
    clock.set(clock.now() + Duration::seconds(3));
    assert_eq!(list(&gateway, &signer.token(&clock)).await.status, StatusCode::OK);
    // Nor does it take the place of one: a token with a key that nobody knows makes it be fetched.
    issuer.publish(&[]);
    clock.set(clock.now() + Duration::seconds(31));
    assert_eq!(list(&gateway, &p256("unknown").token(&clock)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(issuer.fetches(), 3);
    assert_eq!(list(&gateway, &signer.token(&clock)).await.status, StatusCode::OK);
}

async fn a_good_token_is_not_blamed_for_keys_that_cannot_be_had(engine: Engine) {
    let signer = ed25519();
    let issuer = Issuer::start(&[]).await;
    let (gateway, clock) = gateway(engine, &issuer).await;
    issuer.stop().await;
    let answer = list(&gateway, &signer.token(&clock)).await;
    assert_problem(&answer, LIST, 503, "keys_unavailable");
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 1));
    assert_eq!(answer.header("www-authenticate"), None);

    let header = Header { kid: Some("ed".to_owned()), ..Header::new(Algorithm::EdDSA) };
    for (name, value) in [("exp", json!(1)), ("iss", json!("https://other")), ("aud", json!("x")), ("sub", Value::Null)]
    {
        let mut claims = claims(&clock);
        claims[name] = value;
        let bad = jsonwebtoken::encode(&header, &claims, &signer.key).unwrap();
        let answer = list(&gateway, &bad).await;
        assert_problem(&answer, LIST, 401, "unauthenticated");
        assert!(answer.header("www-authenticate").is_some(), "{name}");
    }
    let token = signer.token(&clock);
    let (start, _) = token.rsplit_once('.').unwrap();
    for bad in ["not.a.token".to_owned(), start.to_owned(), format!("{start}.!")] {
        assert_problem(&list(&gateway, &bad).await, LIST, 401, "unauthenticated");
    }
}

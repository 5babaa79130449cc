//! Issuers as they are: what they publish, over real HTTP, and the settings of docs/issuers.md for each of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use actix_web::http::StatusCode;
use jsonwebtoken::Header;
use killgate::clock::Clock;
use serde_json::{Value, json};
use time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    jwks::{Signer, rsa},
    kit::{LIST, assert_problem, assert_recorded},
    on_one_engine,
};
use crate::support::{
    gateway::{AUDIENCE, Answer, Engine, Gateway, ISSUER, JWT_SECRET, Setup, kill_of, token_with},
    patience::eventually,
};

on_one_engine! {
    keycloak,
    entra,
    okta,
    kubernetes,
    callers_of_two_issuers_are_told_apart,
    a_gateway_without_keys_is_not_ready_and_says_so,
    of_two_issuers_one_without_keys_is_told_and_takes_nobody_along,
    a_bot_must_say_for_whom_it_kills,
    any_of_several_secrets_is_taken,
}

const PAGE: &str = include_str!("../../../docs/issuers.md");

/// Answers `GET` with what it was told; 503 while it knows nothing.
struct Publisher {
    at: String,
    documents: Arc<Mutex<HashMap<String, String>>>,
}

impl Publisher {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let documents = Arc::new(Mutex::new(HashMap::new()));
        let shown = Arc::clone(&documents);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&shown)));
            }
        });
        Self { at, documents }
    }

    fn publish(&self, path: &str, document: &Value) {
        self.documents.lock().unwrap().insert(path.to_owned(), document.to_string());
    }

    /// A key set, and the document that leads to it.
    fn publish_keys(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|signer| &signer.jwk).collect();
        self.publish("/keys", &json!({ "keys": keys }));
        let document = json!({ "issuer": self.at, "jwks_uri": format!("{}/keys", self.at) });
        self.publish("/.well-known/openid-configuration", &document);
    }
}

async fn answer(mut connection: TcpStream, documents: Arc<Mutex<HashMap<String, String>>>) -> std::io::Result<()> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match documents.lock().unwrap().get(path) {
        Some(document) => ("200 OK", document.clone()),
        None => ("503 Service Unavailable", String::new()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    connection.write_all(answer.as_bytes()).await
}

fn replaced(value: &Value, by: &[(&str, &str)]) -> Value {
    let text = by.iter().fold(value.to_string(), |text, (name, value)| text.replace(name, value));
    serde_json::from_str(&text).unwrap()
}

/// The settings under a heading of the page.
fn settings(heading: &str) -> String {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
    section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect(heading).to_owned()
}

fn token(signer: &Signer, typ: Option<&str>, claims: &Value, clock: &Clock) -> String {
    let kid = signer.jwk["kid"].as_str().map(str::to_owned);
    let header = Header { kid, typ: typ.map(str::to_owned), ..Header::new(signer.algorithm) };
    let mut claims = claims.clone();
    let now = clock.now().unix_timestamp();
    for (name, value) in [("iat", now), ("nbf", now), ("exp", now + 600)] {
        claims[name] = value.into();
    }
    jsonwebtoken::encode(&header, &claims, &signer.key).unwrap()
}

/// Whether the settings of the page know a caller by a token of that issuer, and whoever has another token not.
async fn is_known(engine: Engine, heading: &str, recorded: &str) {
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    let (publisher, signer) = (Publisher::start().await, rsa());
    let (n, kid) = (signer.jwk["n"].as_str().unwrap(), signer.jwk["kid"].as_str().unwrap());
    let by = [("{at}", publisher.at.as_str()), ("{n}", n), ("{kid}", kid)];
    for part in ["document", "keys"] {
        let [path, document] = recorded[part].as_array().unwrap().as_slice() else { panic!("{part}") };
        publisher.publish(path.as_str().unwrap(), &replaced(document, &by));
    }
    let toml = settings(heading).replace(recorded["at"].as_str().unwrap(), &publisher.at);
    // So that the usual section does not come in between.
    let more = if toml.contains("[auth]") { toml } else { format!("# [auth]\n{toml}") };
    let clock = Clock::system();
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let (claims, typ) = (replaced(&recorded["claims"], &by), recorded["typ"].as_str());
    let me = gateway.client().get("/me", &token(&signer, typ, &claims, &clock)).await;
    assert_eq!(me.status, StatusCode::OK, "{}", me.body);
    for part in ["caller", "scopes", "scopes_from"] {
        assert_eq!(me.body[part], recorded[part], "{part}");
    }
    let refused = async |typ: Option<&str>, claim: &str, value: Value, reason: &str| {
        let mut claims = claims.clone();
        claims[claim] = value;
        let answer = gateway.client().get("/me", &token(&signer, typ, &claims, &clock)).await;
        assert_problem(&answer, ("get", "/me"), 401, "unauthenticated");
        assert_eq!(answer.body["detail"], reason);
    };
    refused(typ, "aud", json!("another-service"), "wrong audience").await;
    refused(typ, "iss", json!(format!("{}/", claims["iss"].as_str().unwrap())), "wrong issuer").await;
    refused(Some("logout+jwt"), "sid", json!("x"), "type of token not allowed").await;
    let forged = token(&rsa(), typ, &claims, &clock);
    assert_eq!(gateway.client().get("/me", &forged).await.body["detail"], "bad signature");
}

async fn keycloak(engine: Engine) {
    is_known(engine, "Keycloak", include_str!("../../issuers/keycloak.json")).await;
}

async fn entra(engine: Engine) {
    is_known(engine, "Entra ID", include_str!("../../issuers/entra.json")).await;
}

async fn okta(engine: Engine) {
    is_known(engine, "Okta", include_str!("../../issuers/okta.json")).await;
}

async fn kubernetes(engine: Engine) {
    is_known(engine, "Kubernetes service accounts", include_str!("../../issuers/kubernetes.json")).await;
}

/// The usual issuer with its secret, and one more that publishes its keys.
fn two(publisher: &Publisher) -> String {
    format!(
        "[auth]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\nhs256_secret = '{JWT_SECRET}'\n\
         [[auth.issuers]]\nissuer = '{}'\naudience = '{AUDIENCE}'\nsubject_prefix = 'bots/'\n",
        publisher.at
    )
}

fn of(publisher: &Publisher, sub: &str) -> Value {
    json!({ "iss": publisher.at, "aud": AUDIENCE, "sub": sub, "scope": "sessions:kill" })
}

async fn callers_of_two_issuers_are_told_apart(engine: Engine) {
    let (publisher, signer, clock) = (Publisher::start().await, rsa(), Clock::system());
    publisher.publish_keys(&[&signer]);
    let gateway = Gateway::start_with(engine, Setup { more: two(&publisher), ..Setup::default() }).await;
    let kill = async |token: &str| {
        let body = kill_of("ledger", &[1]).to_string();
        gateway.client().post("/sessions/kill", token, &[], body).await
    };
    let person = Gateway::token("anna", "sessions:kill");
    let bot = token(&signer, Some("JWT"), &of(&publisher, "anna"), &clock);
    let (by_person, by_bot) = (kill(&person).await, kill(&bot).await);
    for (answer, caller, token, other) in [(&by_person, "anna", &person, &bot), (&by_bot, "bots/anna", &bot, &person)] {
        assert_eq!(gateway.record(answer.kill_id()).await["caller"], caller);
        let path = format!("/kills/{}", answer.kill_id());
        assert_eq!(gateway.client().get(&path, token).await.status, StatusCode::OK);
        assert_eq!(gateway.client().get(&path, other).await.status, StatusCode::NOT_FOUND, "one's own kills alone");
    }
    let posing = gateway.client().get("/me", &Gateway::token("bots/anna", "sessions:kill")).await;
    assert_problem(&posing, ("get", "/me"), 401, "unauthenticated");
    let lent = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "scope": "sessions:kill" });
    let lent = gateway.client().get("/me", &token(&signer, Some("JWT"), &lent, &clock)).await;
    assert_problem(&lent, ("get", "/me"), 401, "unauthenticated");
}

async fn ready(gateway: &Gateway) -> Answer {
    gateway.client().get("/readyz", "").await
}

async fn metrics(gateway: &Gateway) -> String {
    gateway.client().get("/metrics", "").await.body.as_str().unwrap().to_owned()
}

async fn a_gateway_without_keys_is_not_ready_and_says_so(engine: Engine) {
    let (publisher, signer, clock) = (Publisher::start().await, rsa(), Clock::manual(Clock::system().now()));
    let at = &publisher.at;
    let more = format!("[auth]\nissuer = '{at}'\naudience = '{AUDIENCE}'\n");
    let setup = Setup { more, clock: Some(clock.clone()), ..Setup::default() };
    let gateway = Gateway::start_with(engine, setup).await;
    let bearer = token(&signer, Some("at+jwt"), &of(&publisher, "anna"), &clock);
    let answer = gateway.client().get("/kills", &bearer).await;
    assert_problem(&answer, LIST, 503, "keys_unavailable");
    assert!(answer.header("retry-after").is_some());
    let answer = ready(&gateway).await;
    assert_problem(&answer, ("get", "/readyz"), 503, "keys_unavailable");
    assert!(answer.header("retry-after").is_some());
    let missing = format!("killgate_key_sets_missing{{issuer=\"{at}\"}} 1");
    let failed = format!("killgate_key_set_failures_total{{issuer=\"{at}\"}} 1");
    let told = async || {
        let text = metrics(&gateway).await;
        (text.contains(&missing) && text.contains(&failed)).then_some(())
    };
    eventually("the metrics tell that keys are missing", told).await;

    publisher.publish_keys(&[&signer]);
    clock.set(clock.now() + Duration::seconds(3));
    // Nobody has to ask for that.
    let well = async || (ready(&gateway).await.status == StatusCode::OK).then_some(());
    eventually("the keys are there", well).await;
    assert_eq!(ready(&gateway).await.body["keys"], "fresh");
    assert_eq!(gateway.client().get("/kills", &bearer).await.status, StatusCode::OK);
    let held = format!("killgate_key_set_age_seconds{{issuer=\"{at}\"}} 0");
    let told = async || {
        let text = metrics(&gateway).await;
        (text.contains(&held) && !text.contains(&missing)).then_some(())
    };
    eventually("the metrics tell how old the keys are", told).await;

    publisher.documents.lock().unwrap().clear();
    clock.set(clock.now() + Duration::seconds(600));
    let old = async || (ready(&gateway).await.body["keys"] == "old").then_some(());
    eventually("the keys are old", old).await;
    assert_eq!(ready(&gateway).await.status, StatusCode::OK);
    clock.set(clock.now() + Duration::seconds(14_400));
    let gone = async || (ready(&gateway).await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(());
    eventually("the keys have come to their end", gone).await;
}

async fn of_two_issuers_one_without_keys_is_told_and_takes_nobody_along(engine: Engine) {
    let (publisher, signer, clock) = (Publisher::start().await, rsa(), Clock::system());
    let gateway = Gateway::start_with(engine, Setup { more: two(&publisher), ..Setup::default() }).await;
    let bearer = token(&signer, Some("JWT"), &of(&publisher, "anna"), &clock);
    assert_problem(&gateway.client().get("/me", &bearer).await, ("get", "/me"), 503, "keys_unavailable");
    assert_eq!(gateway.client().get("/me", &Gateway::token("anna", "")).await.status, StatusCode::OK);
    let answer = ready(&gateway).await;
    assert_eq!((answer.status, &answer.body["keys"]), (StatusCode::OK, &json!("missing")));
}

async fn a_bot_must_say_for_whom_it_kills(engine: Engine) {
    let more = format!(
        "[auth]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\nhs256_secret = '{JWT_SECRET}'\n\
         on_behalf_of_required = ['*-bot']\nact_required = ['portal-*']\n"
    );
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let kill = async |sub: &str, extra: Value, on_behalf_of: Option<&str>, dry_run: bool| {
        let mut body = kill_of("ledger", &[1]);
        body["dry_run"] = dry_run.into();
        if let Some(person) = on_behalf_of {
            body["on_behalf_of"] = person.into();
        }
        let token = token_with(sub, "sessions:kill", extra.as_object().unwrap().clone());
        gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await
    };
    for dry_run in [false, true] {
        let answer = kill("chat-bot", json!({}), None, dry_run).await;
        assert_eq!(answer.body["errors"][0]["field"], "on_behalf_of", "{}", answer.body);
        assert_recorded(&gateway, &answer, 422, "invalid", "failed").await;
        let answer = kill("portal-bot", json!({}), Some("anna"), dry_run).await;
        assert_recorded(&gateway, &answer, 403, "forbidden", "refused").await;
    }
    assert_eq!(gateway.clouds.calls().len(), 0);
    let named = kill("chat-bot", json!({}), Some("anna"), false).await;
    assert_eq!((named.status, &named.body["on_behalf_of"]), (StatusCode::OK, &json!("anna")), "{}", named.body);
    for sub in ["chat-bot", "portal-anna"] {
        let vouched = kill(sub, json!({ "act": { "sub": "portal" } }), None, false).await;
        assert_eq!((vouched.status, &vouched.body["on_behalf_of"]), (StatusCode::OK, &json!(sub)), "{}", vouched.body);
    }
    assert_eq!(kill("anna", json!({}), None, false).await.status, StatusCode::OK);
}

async fn any_of_several_secrets_is_taken(engine: Engine) {
    let new = "a-newer-secret-than-the-usual-one-0001";
    let auth =
        |secrets: &str| format!("[auth]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\nhs256_secret = {secrets}\n");
    let more = auth(&format!("['{new}', '{JWT_SECRET}']"));
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    assert_eq!(gateway.client().get("/me", &Gateway::token("anna", "")).await.status, StatusCode::OK);
    let minted =
        killgate::cli::token(&gateway.config, "anna", "kills:read", std::time::Duration::from_mins(1)).unwrap();
    let more = auth(&format!("'{new}'"));
    let other = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    assert_eq!(other.client().get("/me", &minted).await.status, StatusCode::OK, "the first signs");
    assert_eq!(other.client().get("/me", &Gateway::token("anna", "")).await.status, StatusCode::UNAUTHORIZED);
}

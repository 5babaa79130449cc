//! Who is let in, and what for: tokens with a shared secret, scopes, and aliases kept for some callers.

use std::fmt::Write as _;

use actix_web::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use killgate::{clock::Clock, sandbox::demo as world};
use serde_json::{Map, Value, json};

use super::{
    kit::{KILL, LIST, Operation, READ, assert_problem, assert_recorded, recorded},
    on_one_engine,
};
use crate::support::gateway::{AUDIENCE, Answer, Engine, Gateway, ISSUER, JWT_SECRET, Setup, kill_of, token_with};

on_one_engine! {
    without_a_valid_token_nobody_is_let_in_and_nothing_is_on_record,
    a_claim_with_what_is_not_seen_is_refused_by_its_name,
    every_operation_but_the_probes_wants_a_token,
    without_the_scope_a_kill_is_refused_and_on_record,
    reading_wants_a_scope_too,
    an_alias_may_be_kept_for_some_callers,
    scopes_may_come_as_a_list,
    a_claim_that_is_null_is_absent,
}

fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// Good claims with some of them changed, or taken out where null.
fn claims(changes: &Value) -> Value {
    let now = Clock::system().now().unix_timestamp();
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": now + 600, "sub": "chatops-bot", "scope": "sessions:kill kills:read",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

async fn ask(gateway: &Gateway, operation: Operation, authorization: Option<&str>) -> Answer {
    let (method, path) = operation;
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(authorization.map(|value| ("Authorization", value)));
    let path = path.replace("{id}", "0190a5f0-0000-7000-8000-000000000000");
    let body = if method == "post" { kill_of("orders-ro", &[2_075_425]).to_string() } else { String::new() };
    gateway.client().send(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), &path, &headers, body).await
}

async fn without_a_valid_token_nobody_is_let_in_and_nothing_is_on_record(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let now = Clock::system().now().unix_timestamp();
    let of = |changes: Value| format!("Bearer {}", signed(&claims(&changes), Algorithm::HS256, JWT_SECRET));
    assert_eq!(ask(&gateway, KILL, Some(&of(json!({})))).await.status, StatusCode::OK, "the token is good otherwise");
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let unsigned = format!("Bearer {}.{}.", part(json!({ "alg": "none" })), part(claims(&json!({}))));
    let other_secret = signed(&claims(&json!({})), Algorithm::HS256, "another-secret-that-nobody-knows-0001");
    let other_algorithm = signed(&claims(&json!({})), Algorithm::HS512, JWT_SECRET);
    for (authorization, reason) in [
        (of(json!({ "exp": now - 600 })), "expired"),
        (of(json!({ "exp": null })), "expiry missing"),
        (of(json!({ "nbf": now + 600 })), "not yet valid"),
        (of(json!({ "iss": "https://sso.other" })), "wrong issuer"),
        (of(json!({ "iss": null })), "wrong issuer"),
        (of(json!({ "aud": "another-service" })), "wrong audience"),
        (of(json!({ "aud": null })), "wrong audience"),
        (of(json!({ "sub": null })), "subject missing"),
        (of(json!({ "sub": "a\u{0}b" })), "malformed claim sub"),
        (of(json!({ "jti": "" })), "malformed claim jti"),
        (of(json!({ "act": {} })), "malformed claim act"),
        (of(json!({ "nbf": "now" })), "malformed claim nbf"),
        (unsigned, "algorithm not allowed"),
        (format!("Bearer {other_algorithm}"), "algorithm not allowed"),
        (format!("Bearer {other_secret}"), "bad signature"),
        ("Bearer not.a.token".to_owned(), "not a JWT"),
    ] {
        let answer = ask(&gateway, KILL, Some(&authorization)).await;
        assert_problem(&answer, KILL, 401, "unauthenticated");
        let challenge = format!(r#"Bearer realm="killgate", error="invalid_token", error_description="{reason}""#);
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
        assert_eq!(answer.body.get("kill_id"), None);
        let token = authorization.trim_start_matches("Bearer ");
        assert!(!answer.body.to_string().contains(token), "a token is repeated");
    }
    for missing in [None, Some("Basic YTpi"), Some("Bearer")] {
        let answer = ask(&gateway, KILL, missing).await;
        assert_problem(&answer, KILL, 401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="killgate""#), "{missing:?}");
    }
    assert_eq!((recorded(&gateway).await, gateway.clouds.calls().len()), (1, 1));
}

async fn a_claim_with_what_is_not_seen_is_refused_by_its_name(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for unseen in ['\u{202e}', '\u{200b}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{ad}', '\n', '\u{0}', '\u{85}'] {
        let text = format!("chat{unseen}ops");
        for (change, name) in [
            (json!({ "sub": text }), "sub"),
            (json!({ "azp": text }), "azp"),
            (json!({ "client_id": text }), "client_id"),
            (json!({ "jti": text }), "jti"),
            (json!({ "act": { "sub": text } }), "act"),
        ] {
            let token = signed(&claims(&change), Algorithm::HS256, JWT_SECRET);
            let answer = ask(&gateway, KILL, Some(&format!("Bearer {token}"))).await;
            assert_problem(&answer, KILL, 401, "unauthenticated");
            assert_eq!(answer.body["detail"], format!("malformed claim {name}"), "{unseen:?}");
        }
    }
    assert_eq!(recorded(&gateway).await, 0);
    let seen = json!({ "sub": "陈静 · e\u{301}té", "azp": "портал", "jti": "a b", "act": { "sub": "ボット" } });
    let token = signed(&claims(&seen), Algorithm::HS256, JWT_SECRET);
    assert_eq!(ask(&gateway, KILL, Some(&format!("Bearer {token}"))).await.status, StatusCode::OK);
}

async fn every_operation_but_the_probes_wants_a_token(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for operation in [KILL, LIST, READ, ("get", "/vendors"), ("get", "/targets")] {
        assert_problem(&ask(&gateway, operation, None).await, operation, 401, "unauthenticated");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/"] {
        assert_eq!(ask(&gateway, ("get", path), None).await.status, StatusCode::OK, "{path}");
    }
}

async fn without_the_scope_a_kill_is_refused_and_on_record(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for scope in ["", "kills:read", "sessions:killer openid", "SESSIONS:KILL"] {
        let token = Gateway::token("chatops-bot", scope);
        let body = kill_of("orders-ro", &[2_075_425]).to_string();
        let answer = gateway.client().post("/sessions/kill", &token, &[], body).await;
        let record = assert_recorded(&gateway, &answer, 403, "forbidden", "refused").await;
        assert_eq!(record["caller"], "chatops-bot");
        assert_eq!(record["target"]["alias"], "orders-ro", "what was asked for is on record");
        assert_eq!(record["reason"], "INC-4711 runaway report");
    }
    let listed = gateway.read("/kills?status=refused").await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 4);
    assert!(gateway.clouds.calls().is_empty());
}

async fn reading_wants_a_scope_too(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let token = Gateway::token("chatops-bot", "sessions:read");
    assert_problem(&gateway.client().get("/kills", &token).await, LIST, 403, "forbidden");
    let one = gateway.client().get(&format!("/kills/{}", answer.kill_id()), &token).await;
    assert_problem(&one, READ, 403, "forbidden");
    assert_eq!(recorded(&gateway).await, 1, "reading is no attempt");
}

async fn an_alias_may_be_kept_for_some_callers(engine: Engine) {
    let coordinates = json!({
        "vendor": "taurusdb", "instance_id": world::TAURUSDB_INSTANCE, "node_id": world::TAURUSDB_NODE,
    });
    let mut more = "[targets.kept]\ncallers = ['dba-*']\n".to_owned();
    for (key, value) in coordinates.as_object().unwrap() {
        writeln!(more, "{key} = {value}").unwrap();
    }
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    for target in [json!("kept"), coordinates.clone()] {
        let answer = gateway.kill(&kill_of(target.clone(), &[2_075_425])).await;
        let record = assert_recorded(&gateway, &answer, 403, "forbidden", "refused").await;
        assert_eq!(answer.body["field"], "target", "{record}");
    }
    assert!(gateway.clouds.calls().is_empty());
    let dba = Gateway::token("dba-ann", "sessions:kill");
    for target in [json!("kept"), coordinates] {
        let body = kill_of(target, &[2_075_425]).to_string();
        let answer = gateway.client().post("/sessions/kill", &dba, &[], body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

async fn scopes_may_come_as_a_list(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let changes = json!({ "scope": null, "scp": ["sessions:kill", "openid"], "aud": ["x", AUDIENCE] });
    let token = signed(&claims(&changes), Algorithm::HS256, JWT_SECRET);
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    let answer = gateway.client().post("/sessions/kill", &token, &[], body.clone()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let mut extra = Map::new();
    extra.insert("act".to_owned(), json!({ "sub": "chatops" }));
    let acting = token_with("alice@example.com", "sessions:kill", extra);
    let answer = gateway.client().post("/sessions/kill", &acting, &[], body).await;
    assert_eq!(answer.body["caller"], "alice@example.com");
}

async fn a_claim_that_is_null_is_absent(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let with = |name: &str, value: Value| {
        let mut claims = claims(&json!({}));
        claims[name] = value;
        format!("Bearer {}", signed(&claims, Algorithm::HS256, JWT_SECRET))
    };
    for name in ["nbf", "azp", "jti", "act", "client_id", "scp"] {
        let answer = ask(&gateway, LIST, Some(&with(name, Value::Null))).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.body);
    }
    for name in ["azp", "client_id"] {
        let answer = ask(&gateway, LIST, Some(&with(name, json!("")))).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.body);
    }
    for name in ["exp", "sub", "iss", "aud"] {
        assert_problem(&ask(&gateway, LIST, Some(&with(name, Value::Null))).await, LIST, 401, "unauthenticated");
    }
    let mut claims = claims(&json!({ "scp": ["kills:read"] }));
    claims["scope"] = Value::Null;
    let token = format!("Bearer {}", signed(&claims, Algorithm::HS256, JWT_SECRET));
    assert_eq!(ask(&gateway, LIST, Some(&token)).await.status, StatusCode::OK, "a scope that is null is absent too");
}

/// What the counter of refused tokens says for a reason.
async fn refused(gateway: &Gateway, reason: &str) -> u64 {
    let text = gateway.client().get("/metrics", "").await.body;
    let name = format!("killgate_refused_tokens_total{{reason=\"{reason}\"}} ");
    let line = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_tokens_are_counted_by_reason() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    let of = |changes: Value| format!("Bearer {}", signed(&claims(&changes), Algorithm::HS256, JWT_SECRET));
    for _ in 0..3 {
        ask(&gateway, LIST, Some(&of(json!({ "exp": 1 })))).await;
    }
    ask(&gateway, LIST, Some(&of(json!({ "azp": 7 })))).await;
    ask(&gateway, LIST, None).await;
    let counts = [
        refused(&gateway, "expired").await,
        refused(&gateway, "malformed_claim").await,
        refused(&gateway, "missing").await,
        refused(&gateway, "bad_signature").await,
    ];
    assert_eq!(counts, [3, 1, 1, 0]);
}

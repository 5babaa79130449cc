//! Who it was: the caller, who acts in its name, whom it speaks for and where it calls from, as far as that is known.

use std::fmt::Write as _;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::{
    kit::{KILL, assert_problem, assert_recorded},
    on_both_engines,
};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of, token_with};

on_both_engines! {
    an_actor_is_on_record_beside_the_client,
    a_token_in_any_spelling_is_not_recorded,
}

async fn ask(gateway: &Gateway, claims: &Value, body: &Value) -> Answer {
    let extra: Map<_, _> = claims.as_object().unwrap().clone();
    let token = token_with("alice@example.com", "sessions:kill kills:read kills:export", extra);
    gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await
}

/// The one kill of a gateway, as an export has it.
async fn exported(gateway: &Gateway) -> (Value, String) {
    let token = Gateway::token("auditor", "kills:export");
    let ndjson = gateway.client().get("/kills/export", &token).await.body;
    let line = ndjson.as_str().unwrap().lines().next().unwrap();
    let csv = gateway.client().get("/kills/export?format=csv", &token).await.body;
    (serde_json::from_str(line).unwrap(), csv.as_str().unwrap().to_owned())
}

async fn an_actor_is_on_record_beside_the_client(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let claims = json!({ "act": { "sub": "chatops-bot" }, "azp": "portal" });
    let answer = ask(&gateway, &claims, &kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(answer.body["actor"], "chatops-bot", "{}", answer.body);
    assert_eq!(
        (&answer.body["caller"], &answer.body["on_behalf_of"]),
        (&json!("alice@example.com"), &json!("alice@example.com"))
    );
    assert_eq!(gateway.record(answer.kill_id()).await, answer.body);
    let (line, csv) = exported(&gateway).await;
    assert_eq!((&line["actor"], &line["client_id"]), (&json!("chatops-bot"), &json!("portal")), "{line}");
    assert!(csv.contains(",actor,client_id,") && csv.contains(",chatops-bot,portal,"), "{csv}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_somebody_acts_for_is_the_tokens_word_and_without_an_actor_the_callers() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let mut body = kill_of("orders-ro", &[2_075_425]);
    body["on_behalf_of"] = "bob@example.com".into();
    let acting = json!({ "act": { "sub": "chatops-bot" } });
    let refused = ask(&gateway, &acting, &body).await;
    let record = assert_recorded(&gateway, &refused, 422, "invalid", "failed").await;
    assert_eq!(
        (&refused.body["field"], &record["on_behalf_of"]),
        (&json!("on_behalf_of"), &json!("alice@example.com"))
    );
    assert!(gateway.clouds.calls().is_empty());

    let claimed = ask(&gateway, &json!({}), &body).await;
    assert_eq!(claimed.body["on_behalf_of"], "bob@example.com", "{}", claimed.body);
    assert_eq!(claimed.body.get("actor"), None, "{}", claimed.body);
    body["on_behalf_of"] = "alice@example.com".into();
    assert_eq!(ask(&gateway, &acting, &body).await.status.as_u16(), 200, "what the token says too is no contradiction");
}

/// Somebody else's token, signed with a key that nobody here knows.
fn foreign() -> String {
    let claims = json!({ "iss": "https://sso.other", "sub": "eve", "exp": 1 });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&[7; 32])).unwrap()
}

/// The text with every one of these characters in JSON's escaped form.
fn escaped(text: &str) -> String {
    let codes: Vec<_> = text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    codes.concat()
}

async fn a_token_in_any_spelling_is_not_recorded(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let own = Gateway::token("chatops-bot", "sessions:kill");
    for token in [own.clone(), foreign()] {
        let (head, rest) = token.split_at(1);
        let target = r#""target":"orders-ro","select":{"ids":["2075425"]}"#;
        let spelled = format!("{}{rest}", escaped(head));
        let bodies = [
            format!(r#"{{{target},"reason":"with {token}"}}"#),
            format!(r#"{{{target},"reason":"with {spelled}"}}"#),
            format!(r#"{{{target},"reason":"with {}"}}"#, escaped(&token)),
            format!(r#"{{{target},"reason":"why","{spelled}":1}}"#),
            format!(r#"{{{target},"reason":"{{\"t\":\"\\{}{rest}\"}}"}}"#, escaped(head)),
            format!(r#"{{"reason":"with {spelled}"#),
            format!("access_token={token}"),
        ];
        for body in bodies {
            let answer = gateway.client().post("/sessions/kill", &own, &[], body.clone()).await;
            let (line, csv) = exported(&gateway).await;
            let all = format!("{} {line} {csv}", answer.body);
            let signature = token.rsplit('.').next().unwrap();
            assert!(!all.contains(signature) && !all.contains(&escaped(signature)), "{body}: {all}");
            assert!(line["request"].as_str().unwrap().contains("[token]"), "{line}");
        }
    }
    let plain = json!({ "target": "orders-ro", "select": { "ids": ["2075425"] }, "reason": "see eyewitness.report.today \u{e9}" });
    let answer = gateway.client().post("/sessions/kill", &own, &[], plain.to_string()).await;
    assert_eq!(answer.body["reason"], plain["reason"], "what only looks a little like one stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_a_header_that_is_recorded_is_not() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    let short = jsonwebtoken::encode(&Header::default(), &json!({}), &EncodingKey::from_secret(&[7; 32])).unwrap();
    assert!(short.len() <= 128);
    let answer = gateway.client().post("/sessions/kill", &token, &[("Idempotency-Key", &short)], body.clone()).await;
    assert_problem(&answer, KILL, 422, "invalid");
    assert_eq!(answer.body["field"], "Idempotency-Key");
    let answer = gateway.client().post("/sessions/kill", &token, &[("X-Request-Id", &short)], body).await;
    assert_ne!(answer.header("x-request-id"), Some(short.as_str()));
    let (line, _) = exported(&gateway).await;
    assert!(!line.to_string().contains(&short), "{line}");
}

const X: &str = "X-Forwarded-For";
const F: &str = "Forwarded";

/// Where the last kill came from, of a gateway that trusts these proxies and of a request with these headers.
async fn seen_from(gateway: &Gateway, headers: &[(&str, &str)]) -> String {
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let mut request = format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n"
    );
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    let body = kill_of("orders-ro", &[2_075_425]);
    write!(request, "Content-Length: {}\r\n\r\n{body}", body.to_string().len()).unwrap();
    let answer = super::kit::exchange(gateway, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    exported(gateway).await.0["client_address"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_trusted_proxies_the_rightmost_address_that_is_not_trusted_is_the_clients() {
    let env = vec![("KILLGATE__SERVER__TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8, 2001:db8:1::/48, 192.0.2.1")];
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { env, ..Setup::default() }).await;
    for (headers, address) in [
        (vec![], "127.0.0.1"),
        (vec![(X, "198.51.100.7")], "198.51.100.7"),
        (vec![(X, "203.0.113.9, 198.51.100.7, 10.1.2.3")], "198.51.100.7"),
        (vec![(X, "203.0.113.9"), (X, "198.51.100.7, 192.0.2.1"), (X, "10.0.0.1")], "198.51.100.7"),
        (vec![(X, "198.51.100.7:4711, [2001:db8:1::2]:443")], "198.51.100.7"),
        (vec![(X, "2001:DB8:2::7")], "2001:db8:2::7"),
        (vec![(X, "[2001:db8:2::7], 10.1.2.3")], "2001:db8:2::7"),
        (vec![(X, "::ffff:198.51.100.7, ::ffff:10.1.2.3")], "198.51.100.7"),
        (vec![(X, "10.0.0.9, 10.0.0.8")], "10.0.0.9"),
        (vec![(X, "198.51.100.7, what?, 10.0.0.8")], "10.0.0.8"),
        (vec![(X, "198.51.100.7, unknown")], "127.0.0.1"),
        (vec![(X, "198.51.100.7,, ")], "198.51.100.7"),
        (vec![(F, "for=198.51.100.7")], "198.51.100.7"),
        (vec![(F, "for=203.0.113.9;proto=http, For=\"198.51.100.7:80\";by=10.0.0.1, for=10.1.2.3")], "198.51.100.7"),
        (vec![(F, "for=\"[2001:db8:2::7]:4711\";host=\"a,b\""), (F, "for=192.0.2.1")], "2001:db8:2::7"),
        (vec![(F, "for=\"a, for=198.51.100.7, for=10.1.2.3")], "198.51.100.7"),
        (vec![(F, "for=198.51.100.7, for=_hidden, for=10.0.0.8")], "10.0.0.8"),
        (vec![(F, "for=198.51.100.7, proto=https")], "127.0.0.1"),
        (vec![(X, "198.51.100.7"), (F, "for=198.51.100.7")], "198.51.100.7"),
        (vec![(X, "198.51.100.7"), (F, "for=203.0.113.9")], "127.0.0.1"),
    ] {
        assert_eq!(seen_from(&gateway, &headers).await, address, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_believed_where_a_call_came_from() {
    for proxies in [None, Some("10.0.0.0/8")] {
        let env = proxies.map(|proxies| ("KILLGATE__SERVER__TRUSTED_PROXIES", proxies)).into_iter().collect();
        let gateway = Gateway::start_with(Engine::Sqlite, Setup { env, ..Setup::default() }).await;
        for header in [("X-Forwarded-For", "198.51.100.7"), ("Forwarded", "for=198.51.100.7")] {
            assert_eq!(seen_from(&gateway, &[header]).await, "127.0.0.1");
        }
    }
}

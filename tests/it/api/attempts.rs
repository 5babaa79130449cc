//! Every attempt of an authenticated caller is on record, however it ends: what was sent, who sent it and from where,
//! and the token's id, never the token.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

use super::{
    kit::{assert_recorded, recorded},
    on_both_engines,
};
use crate::support::{
    gateway::{AUDIENCE, Answer, Engine, Gateway, ISSUER, JWT_SECRET, Setup, kill_of},
    patience::{eventually, in_time},
};

on_both_engines! {
    a_refused_attempt_is_recorded_whole,
    a_rate_limited_attempt_is_recorded_whole,
    an_attempt_on_what_is_not_there_is_recorded_whole,
    an_invalid_attempt_is_recorded_whole,
    a_reused_key_is_recorded_whole,
    a_body_that_is_not_json_is_recorded_by_its_beginning,
    a_body_that_is_too_large_is_recorded_by_its_beginning,
    a_body_of_another_media_type_is_recorded,
    a_body_that_breaks_off_is_recorded_as_far_as_it_came,
    a_token_in_the_body_is_not_recorded,
}

/// What answers do not tell of an attempt.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    request: Option<String>,
    caller: String,
    on_behalf_of: Option<String>,
    client_id: Option<String>,
    client_address: Option<String>,
    token_id: Option<String>,
    request_id: Option<String>,
}

const ROW: &str = "SELECT request, caller, on_behalf_of, client_id, client_address, token_id, request_id FROM kills \
                   WHERE id = $1";

async fn row(gateway: &Gateway, kill_id: &str) -> Row {
    let id: Uuid = kill_id.parse().expect("an id");
    match &gateway.config.audit.database {
        killgate::config::Database::Postgres(url) => {
            let mut connection = PgConnection::connect(url.expose()).await.expect("the test cluster runs");
            sqlx::query_as(ROW).bind(id).fetch_one(&mut connection).await.expect("a row")
        }
        killgate::config::Database::Sqlite(path) => {
            let url = format!("sqlite://{}", path.display());
            let mut connection = SqliteConnection::connect(&url).await.expect("the file is there");
            sqlx::query_as(ROW).bind(id).fetch_one(&mut connection).await.expect("a row")
        }
    }
}

/// A token that says all that a token can say of who holds it.
fn token(scope: &str) -> String {
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": 4_000_000_000_u64, "sub": "chatops-bot", "scope": scope,
        "azp": "console", "jti": "token-7",
    });
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).expect("a token")
}

async fn ask(gateway: &Gateway, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<_> = headers.iter().copied().chain([("X-Request-Id", "request-7")]).collect();
    gateway.client().post("/sessions/kill", &token("sessions:kill"), &headers, body.to_owned()).await
}

/// Asserts that this was recorded, and all that is known of who sent it.
async fn assert_whole(gateway: &Gateway, kill_id: &str, request: Option<&str>, on_behalf_of: Option<&str>) {
    let text = |text: &str| Some(text.to_owned());
    let expected = Row {
        request: request.map(str::to_owned),
        caller: "chatops-bot".into(),
        on_behalf_of: on_behalf_of.map(str::to_owned),
        client_id: text("console"),
        client_address: text("127.0.0.1"),
        token_id: text("token-7"),
        request_id: text("request-7"),
    };
    assert_eq!(row(gateway, kill_id).await, expected);
    assert!(gateway.clouds.calls().len() <= 1, "it reached a vendor");
}

fn asked(target: &str) -> Value {
    let mut body = kill_of(target, &[2_075_425]);
    body["on_behalf_of"] = "alice@example.com".into();
    body
}

async fn a_refused_attempt_is_recorded_whole(engine: Engine) {
    let more = "[[protect]]\ntarget = \"orders-ro\"\nusers = [\"*\"]\n".to_owned();
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    let body = asked("orders-ro").to_string();
    let answer = ask(&gateway, &[], &body).await;
    assert_recorded(&gateway, &answer, 403, "forbidden", "refused").await;
    assert_whole(&gateway, answer.kill_id(), Some(&body), Some("alice@example.com")).await;

    let headers = [("X-Request-Id", "request-7")];
    let answer = gateway.client().post("/sessions/kill", &token("kills:read"), &headers, body.clone()).await;
    assert_recorded(&gateway, &answer, 403, "forbidden", "refused").await;
    assert_whole(&gateway, answer.kill_id(), Some(&body), Some("alice@example.com")).await;
}

async fn a_rate_limited_attempt_is_recorded_whole(engine: Engine) {
    let more = "[callers]\nkills_per_second = 1\nburst = 1\n".to_owned();
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    let body = asked("orders-ro").to_string();
    // Both at once: a moment later the second might be done too.
    let (one, other) = tokio::join!(ask(&gateway, &[], &body), ask(&gateway, &[], &body));
    let limited = if one.status.as_u16() == 200 { other } else { one };
    assert_recorded(&gateway, &limited, 429, "rate_limited", "rate_limited").await;
    let sent = row(&gateway, limited.kill_id()).await;
    assert_eq!(sent.request, Some(body));
    assert_eq!((sent.token_id.as_deref(), sent.client_id.as_deref()), (Some("token-7"), Some("console")));
    assert_eq!(sent.on_behalf_of.as_deref(), Some("alice@example.com"));
}

async fn an_attempt_on_what_is_not_there_is_recorded_whole(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let body = asked("nowhere").to_string();
    let answer = ask(&gateway, &[], &body).await;
    let record = assert_recorded(&gateway, &answer, 404, "unknown_target", "failed").await;
    assert_eq!(record["target"], Value::Null, "there is no such target");
    assert_whole(&gateway, answer.kill_id(), Some(&body), Some("alice@example.com")).await;
}

async fn an_invalid_attempt_is_recorded_whole(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let mut invalid = asked("orders-ro");
    invalid["reason"] = "".into();
    let mut malformed = asked("orders-ro");
    malformed["reson"] = 7.into();
    for (body, status, code) in [(invalid, 422, "invalid"), (malformed, 400, "malformed")] {
        let body = body.to_string();
        let answer = ask(&gateway, &[], &body).await;
        assert_recorded(&gateway, &answer, status, code, "failed").await;
        assert_whole(&gateway, answer.kill_id(), Some(&body), Some("alice@example.com")).await;
    }
}

async fn a_reused_key_is_recorded_whole(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let key = [("Idempotency-Key", "key")];
    let first = ask(&gateway, &key, &kill_of("orders-ro", &[2_075_426]).to_string()).await;
    assert_eq!(first.status.as_u16(), 200, "{}", first.body);
    let body = asked("orders-ro").to_string();
    let answer = ask(&gateway, &key, &body).await;
    assert_recorded(&gateway, &answer, 422, "key_reused", "failed").await;
    assert_whole(&gateway, answer.kill_id(), Some(&body), Some("alice@example.com")).await;
}

async fn a_body_that_is_not_json_is_recorded_by_its_beginning(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let long = "kill them all, ".repeat(1000);
    let beginning: String = long.chars().take(4096).collect();
    for (body, kept) in [
        ("kill 4711\0 at once", json!("kill 4711\0 at once")),
        (r#"{"target":"orders-ro","#, json!(r#"{"target":"orders-ro","#)),
        (&long, json!(beginning + "…")),
    ] {
        let answer = ask(&gateway, &[], body).await;
        assert_recorded(&gateway, &answer, 400, "malformed", "failed").await;
        assert_whole(&gateway, answer.kill_id(), Some(&kept.to_string()), None).await;
    }
    let answer = ask(&gateway, &[], "").await;
    assert_recorded(&gateway, &answer, 400, "malformed", "failed").await;
    assert_whole(&gateway, answer.kill_id(), None, None).await;
}

async fn a_body_that_is_too_large_is_recorded_by_its_beginning(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let mut body = asked("orders-ro");
    body["reason"] = "why ".repeat(20_000).into();
    let body = body.to_string();
    let answer = ask(&gateway, &[], &body).await;
    assert_recorded(&gateway, &answer, 413, "too_large", "failed").await;
    let beginning: String = body.chars().take(4096).collect();
    assert_whole(&gateway, answer.kill_id(), Some(&json!(beginning + "…").to_string()), None).await;
}

async fn a_body_of_another_media_type_is_recorded(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let json = asked("orders-ro").to_string();
    let answer = ask(&gateway, &[("Content-Type", "text/plain")], &json).await;
    let record = assert_recorded(&gateway, &answer, 415, "unsupported_media_type", "failed").await;
    assert_eq!(record["target"]["alias"], "orders-ro");
    assert_whole(&gateway, answer.kill_id(), Some(&json), Some("alice@example.com")).await;

    let answer = ask(&gateway, &[("Content-Type", "application/x-www-form-urlencoded")], "target=orders-ro").await;
    assert_recorded(&gateway, &answer, 415, "unsupported_media_type", "failed").await;
    assert_whole(&gateway, answer.kill_id(), Some(r#""target=orders-ro""#), None).await;
}

async fn a_body_that_breaks_off_is_recorded_as_far_as_it_came(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let head = format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         X-Request-Id: request-7\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
        token("sessions:kill")
    );
    let mut connection = TcpStream::connect(gateway.app.address()).await.expect("a gateway that listens");
    connection.write_all(format!("{head}{{\"target\":\"orders").as_bytes()).await.expect("a gateway that reads");
    connection.shutdown().await.expect("half a connection");
    // What is answered to a caller that left is not the point.
    let _ = in_time(connection.read_to_end(&mut vec![])).await;
    let recorded = async || gateway.read("/kills").await.body["items"][0]["id"].as_str().map(str::to_owned);
    let id = eventually("it is on record", recorded).await;
    assert_whole(&gateway, &id, Some(r#""{\"target\":\"orders""#), None).await;
}

async fn a_token_in_the_body_is_not_recorded(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = token("sessions:kill");
    let mut body = asked("orders-ro");
    body["reason"] = format!("with {token}").into();
    let bodies = [format!("access_token={token}"), json!({ "token": token }).to_string(), body.to_string()];
    for body in &bodies {
        let answer = gateway.client().post("/sessions/kill", &token, &[], body.clone()).await;
        let (row, record) = (row(&gateway, answer.kill_id()).await, gateway.record(answer.kill_id()).await);
        assert!(!format!("{row:?} {record}").contains(&token), "{row:?} {record}");
        assert!(row.request.is_some_and(|request| request.contains("[token]")));
    }
    assert_eq!(recorded(&gateway).await, bodies.len());
}

//! `GET /me`: who the gateway takes a caller for, and what it may do.

use actix_web::http::{Method, StatusCode};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::{
    kit::{Operation, assert_problem},
    on_one_engine,
};
use crate::support::gateway::{AUDIENCE, Answer, Engine, Gateway, ISSUER, JWT_SECRET, Setup};

on_one_engine! {
    a_caller_is_told_who_it_is_and_what_it_may_do,
    where_the_scopes_came_from_is_told,
    whether_it_may_name_coordinates_is_told,
    it_wants_a_token_and_nothing_else,
}

const ME: Operation = ("get", "/me");

/// Asks with a token that says this beside what every token says.
async fn me(gateway: &Gateway, claims: &Value) -> Answer {
    let mut all = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": 4_000_000_000_u64, "sub": "alice@example.com" });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &all, &key).unwrap();
    gateway.client().get("/me", &token).await
}

async fn a_caller_is_told_who_it_is_and_what_it_may_do(engine: Engine) {
    let limits = "[callers]\nkills_per_second = 3\nburst = 7\nlists_per_second = 2\nlists_burst = 4\n".to_owned();
    let gateway = Gateway::start_with(engine, Setup { more: limits, ..Setup::default() }).await;
    let claims =
        json!({ "act": { "sub": "chatops-bot" }, "azp": "portal", "scope": "sessions:read openid sessions:kill" });
    let answer = me(&gateway, &claims).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(gateway.client().get("/kills/nothing", "bad").await.header("cache-control"), Some("no-store"));
    assert_eq!(gateway.client().send(Method::GET, "/healthz", &[], String::new()).await.header("cache-control"), None);
    let expected = json!({
        "caller": "alice@example.com",
        "actor": "chatops-bot",
        "client_id": "portal",
        "scopes": ["sessions:kill", "sessions:read"],
        "scopes_from": "scope",
        "expires_at": "2096-10-02T07:06:40.000Z",
        "limits": { "kills": { "per_second": 3, "burst": 7 }, "lists": { "per_second": 2, "burst": 4 } },
        "by_coordinates": true,
    });
    assert_eq!((answer.status, answer.body), (StatusCode::OK, expected));
    assert_eq!(gateway.read("/kills").await.body["items"], json!([]), "asking is no attempt");
}

async fn where_the_scopes_came_from_is_told(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (claims, scopes, from) in [
        (json!({ "scp": ["kills:read"] }), json!(["kills:read"]), json!("scp")),
        (json!({ "scope": "", "scp": ["kills:read"] }), json!([]), json!("scope")),
        (json!({ "scope": null, "scp": "kills:read" }), json!(["kills:read"]), json!("scp")),
        (json!({}), json!([]), Value::Null),
    ] {
        let answer = me(&gateway, &claims).await.body;
        assert_eq!((&answer["scopes"], &answer["scopes_from"]), (&scopes, &from), "{claims}");
        assert_eq!((&answer["actor"], &answer["client_id"]), (&Value::Null, &Value::Null));
    }
}

async fn whether_it_may_name_coordinates_is_told(engine: Engine) {
    let grant = "[access]\n[[access.grant]]\ncallers = ['alice@*']\nvendors = ['das']\n";
    for (access, may) in [("[access]\ncoordinates = ['dba-*']\n", false), (grant, true), ("[access]\n", false)] {
        let gateway = Gateway::start_with(engine, Setup { more: access.to_owned(), ..Setup::default() }).await;
        assert_eq!(me(&gateway, &json!({})).await.body["by_coordinates"], may, "{access}");
    }
}

async fn it_wants_a_token_and_nothing_else(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    assert_problem(&gateway.client().get("/me", "").await, ME, 401, "unauthenticated");
    let token = Gateway::token("anybody", "");
    assert_eq!(gateway.client().get("/me", &token).await.status, StatusCode::OK);
    assert_problem(&gateway.client().get("/me?who=bob", &token).await, ME, 400, "malformed");
    let answer = gateway.client().post("/me", &token, &[], String::new()).await;
    assert_problem(&answer, ME, 405, "method_not_allowed");
}

use std::time::Duration;

use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::clock::Clock;

fn list() -> Ask {
    let path = format!("{}/nodes/{}/processes", demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE);
    Ask::huawei_unsigned("GET", &path, &Value::Null)
}

fn now() -> time::OffsetDateTime {
    Clock::system().now()
}

fn login(password: &str, scope: &Value) -> Ask {
    let user = json!({
        "name": demo::HUAWEI_USERNAME, "password": password, "domain": {"name": demo::HUAWEI_DOMAIN},
    });
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    let body = json!({"auth": {"identity": identity, "scope": scope}});
    Ask::new("POST", "/v3/auth/tokens?nocatalog=true", &body.to_string())
}

async fn token(sandbox: &Sandbox) -> String {
    let got = login(demo::HUAWEI_PASSWORD, &json!({"project": {"name": demo::HUAWEI_REGION}})).send(sandbox).await;
    assert_eq!((got.status, &got.json()["token"]["project"]["id"]), (201, &json!(demo::HUAWEI_PROJECT_ID)));
    got.headers.value("x-subject-token").unwrap().to_owned()
}

#[tokio::test]
async fn nobody_comes_in_without_good_credentials() {
    let sandbox = demo_world();
    let signed = list().sign_huawei(now());
    let minute = time::Duration::minutes(1);
    let cases = [
        (list(), "x-auth-token not found"),
        (list().header("x-auth-token", "MIIforged"), "decrypt token fail"),
        (signed.clone().header("x-auth-token", "MIIforged"), "two kinds"),
        (signed.clone().header("authorization", "Basic YTpi"), "format is wrong"),
        (list().sign_huawei_with(now(), "OTHERKEY", "x"), "ak OTHERKEY not exist"),
        (list().sign_huawei(now() - minute * 16), "signature expired"),
        (list().sign_huawei(now() + minute * 16), "signature expired"),
        (list().header("x-project-id", "another").sign_huawei(now()), "x-project-id"),
        (list().header("x-security-token", "unknown").sign_huawei(now()), "verify security token fail"),
    ];
    for (ask, text) in cases {
        let got = ask.refused(&sandbox, 401, "APIGW.0301").await;
        assert!(got.text().contains(text) && got.json()["request_id"].is_string(), "{}", got.text());
    }
    assert_eq!(list().sign_huawei(now() - minute * 14).send(&sandbox).await.status, 200);
    let elsewhere = format!("/v3/{}/instances/{}/process", "0".repeat(32), demo::DAS_INSTANCE);
    Ask::new("DELETE", &elsewhere, "{}").sign_huawei(now()).refused(&sandbox, 400, "DAS.200113").await;
    Ask::new("GET", "/v2/anything", "").refused(&sandbox, 404, "APIGW.0101").await;
}

#[tokio::test]
async fn five_wrong_signatures_in_a_row_lock_the_key() {
    let clock = Clock::manual(datetime!(2026-01-02 03:04:05 UTC));
    let clouds = Clouds::demo_at(clock.clone());
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), clouds).unwrap();
    let wrong = || list().sign_huawei_with(clock.now(), demo::HUAWEI_ACCESS_KEY, "wrong");
    let right = || list().sign_huawei(clock.now());
    for _ in 0..4 {
        let got = wrong().refused(&sandbox, 401, "APIGW.0301").await;
        assert!(got.text().contains("verify aksk signature fail"));
    }
    // A good one starts the count anew.
    assert_eq!(right().send(&sandbox).await.status, 200);
    for _ in 0..5 {
        assert!(!sandbox.clouds.locked());
        wrong().refused(&sandbox, 401, "APIGW.0301").await;
    }
    assert!(sandbox.clouds.locked());
    assert!(right().refused(&sandbox, 401, "APIGW.0301").await.text().contains("AK access failed to reach the limit"));
    clock.set(clock.now() + Duration::from_mins(5));
    assert_eq!(right().send(&sandbox).await.status, 200);
}

#[tokio::test]
async fn a_changed_byte_spoils_the_signature() {
    let sandbox = demo_world();
    let path = format!("{}/nodes/{}/processes", demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE);
    let kill = Ask::huawei("DELETE", &path, &json!({"processes": [2_075_425]}));
    let kill = kill.body("{\"processes\":[2075426]}");
    kill.refused(&sandbox, 401, "APIGW.0301").await;
    let call = sandbox.clouds.calls_for(Action::TaurusdbKill).remove(0);
    assert_eq!((call.verdict, call.code.as_deref()), (Verdict::Denied, Some("APIGW.0301")));
}

#[tokio::test]
async fn a_token_works_until_it_expires_or_is_revoked() {
    let clock = Clock::manual(datetime!(2026-01-02 03:04:05 UTC));
    let clouds = Clouds::demo_at(clock.clone());
    clouds.set_token_life(Duration::from_mins(1));
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), clouds).unwrap();

    let first = token(&sandbox).await;
    let with = |token: &str| list().header("x-auth-token", token);
    assert_eq!(with(&first).send(&sandbox).await.status, 200);
    clock.set(clock.now() + Duration::from_mins(1));
    assert!(with(&first).refused(&sandbox, 401, "APIGW.0301").await.text().contains("token expires"));
    let second = token(&sandbox).await;
    assert_eq!(with(&second).send(&sandbox).await.status, 200);
    sandbox.clouds.revoke_tokens();
    assert!(with(&second).refused(&sandbox, 401, "APIGW.0301").await.text().contains("decrypt token fail"));
    assert_eq!(sandbox.clouds.logins(), 2);
}

#[tokio::test]
async fn a_login_is_checked() {
    let sandbox = demo_world();
    let project = json!({"project": {"id": demo::HUAWEI_PROJECT_ID}});
    login("wrong", &project).refused(&sandbox, 401, "401").await;
    login(demo::HUAWEI_PASSWORD, &json!({"project": {"name": "mars-1"}})).refused(&sandbox, 404, "404").await;
    login(demo::HUAWEI_PASSWORD, &project).body("{}").refused(&sandbox, 400, "400").await;
    sandbox.clouds.misbehave_times(1, Action::IamToken, Behaviour::Throttle);
    login(demo::HUAWEI_PASSWORD, &project).refused(&sandbox, 429, "IAM.0012").await;
    let got = login(demo::HUAWEI_PASSWORD, &json!({"domain": {"name": demo::HUAWEI_DOMAIN}})).send(&sandbox).await;
    let token = got.headers.value("x-subject-token").unwrap().to_owned();
    list().header("x-auth-token", &token).refused(&sandbox, 401, "APIGW.0307").await;
    assert_eq!(sandbox.clouds.logins(), 1);
}

#[tokio::test]
async fn temporary_keys_need_their_token_signed() {
    let sandbox = demo_world();
    let mut customer = sandbox.clouds.huawei();
    customer.security_token = Some("temporary".into());
    sandbox.clouds.set_huawei(customer);
    list().sign_huawei(now()).refused(&sandbox, 401, "APIGW.0301").await;
    list().sign_huawei(now()).header("x-security-token", "temporary").refused(&sandbox, 401, "APIGW.0301").await;
    assert_eq!(list().header("x-security-token", "temporary").sign_huawei(now()).send(&sandbox).await.status, 200);
}

use std::time::Duration;

use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::clock::Clock;

const NOON: time::OffsetDateTime = datetime!(2026-01-02 12:00 UTC);
const MACHINE: &str = "/openstack/latest/securitykey";
const ROLES: &str = "/latest/meta-data/cam/security-credentials/";

/// A demo world at noon.
fn world_at_noon() -> (Sandbox, Clock) {
    let clock = Clock::manual(NOON);
    (Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo_at(clock.clone())).unwrap(), clock)
}

fn plain(method: &str, target: &str) -> Ask {
    Ask::new(method, target, "").without("content-type")
}

async fn metadata_token(sandbox: &Sandbox) -> String {
    let got =
        plain("PUT", "/meta-data/latest/api/token").header("x-metadata-token-ttl-seconds", "60").send(sandbox).await;
    assert_eq!(got.status, 200);
    got.text()
}

async fn machine_keys(sandbox: &Sandbox) -> Value {
    let token = metadata_token(sandbox).await;
    plain("GET", MACHINE).header("x-metadata-token", &token).send(sandbox).await.json()["credential"].clone()
}

fn list() -> Ask {
    let path = format!("{}/nodes/{}/processes", demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE);
    Ask::huawei_unsigned("GET", &path, &Value::Null)
}

fn signed(keys: &Value, at: time::OffsetDateTime) -> Ask {
    let text = |name: &str| keys[name].as_str().unwrap().to_owned();
    list().header("x-security-token", &text("securitytoken")).sign_huawei_with(at, &text("access"), &text("secret"))
}

#[tokio::test]
async fn a_machines_keys_want_a_token_and_are_good_for_an_hour() {
    let (sandbox, clock) = world_at_noon();
    assert_eq!(plain("GET", MACHINE).send(&sandbox).await.status, 401);
    assert_eq!(plain("GET", MACHINE).header("x-metadata-token", "forged").send(&sandbox).await.status, 401);
    for life in ["", "0", "21601", "an hour"] {
        let ask = plain("PUT", "/meta-data/latest/api/token").header("x-metadata-token-ttl-seconds", life);
        assert_eq!(ask.send(&sandbox).await.status, 400, "{life}");
    }
    let keys = machine_keys(&sandbox).await;
    assert_eq!(keys["expires_at"], "2026-01-02T13:00:00.000000Z");
    assert_eq!(signed(&keys, NOON).send(&sandbox).await.status, 200);
    // The same ones until ten minutes before their end; then both are good.
    clock.set(NOON + Duration::from_mins(49));
    assert_eq!(machine_keys(&sandbox).await, keys);
    clock.set(NOON + Duration::from_mins(51));
    let next = machine_keys(&sandbox).await;
    assert_ne!(next["access"], keys["access"]);
    for keys in [&keys, &next] {
        assert_eq!(signed(keys, clock.now()).send(&sandbox).await.status, 200);
    }
    clock.set(NOON + Duration::from_hours(1));
    signed(&keys, clock.now()).refused(&sandbox, 401, "APIGW.0301").await;
    assert_eq!(signed(&next, clock.now()).send(&sandbox).await.status, 200);

    sandbox.clouds.set_machine(false, None);
    let token = metadata_token(&sandbox).await;
    let got = plain("GET", MACHINE).header("x-metadata-token", &token).send(&sandbox).await;
    assert!(got.status == 401 && got.text().contains("Please configure Cloud Service Agency first"));
    assert_eq!(plain("GET", ROLES).send(&sandbox).await.status, 404);
}

#[tokio::test]
async fn temporary_keys_without_their_token_or_with_anothers_or_revoked_are_refused() {
    let (sandbox, _) = world_at_noon();
    let keys = machine_keys(&sandbox).await;
    let (access, secret) = (keys["access"].as_str().unwrap(), keys["secret"].as_str().unwrap());
    for ask in [list(), list().header("x-security-token", "another")] {
        ask.sign_huawei_with(NOON, access, secret).refused(&sandbox, 401, "APIGW.0301").await;
    }
    // It has to be signed.
    let token = keys["securitytoken"].as_str().unwrap();
    list()
        .sign_huawei_with(NOON, access, secret)
        .header("x-security-token", token)
        .refused(&sandbox, 401, "APIGW.0301")
        .await;
    sandbox.clouds.revoke_keys();
    signed(&keys, NOON).refused(&sandbox, 401, "APIGW.0301").await;
    let others = machine_keys(&sandbox).await;
    assert_eq!(signed(&others, NOON).send(&sandbox).await.status, 200);
}

fn tencent(keys: &Value, at: time::OffsetDateTime) -> Ask {
    let text = |name: &str| keys[name].as_str().unwrap().to_owned();
    let body = json!({"InstanceId": demo::DCDB_INSTANCE});
    let ask = Ask::tencent_unsigned("DescribeDCDBInstanceDetail", &body);
    ask.sign_tencent_with(at, &text("TmpSecretId"), &text("TmpSecretKey"), "dcdb").header("x-tc-token", &text("Token"))
}

#[tokio::test]
async fn a_machines_role_is_named_and_its_keys_are_good_to_their_end() {
    let (sandbox, clock) = world_at_noon();
    let role = plain("GET", ROLES).send(&sandbox).await.text();
    assert_eq!(role, demo::TENCENT_ROLE);
    assert_eq!(plain("GET", &format!("{ROLES}another")).send(&sandbox).await.status, 404);
    let keys = plain("GET", &format!("{ROLES}{role}")).send(&sandbox).await.json();
    assert_eq!((&keys["Code"], &keys["ExpiredTime"]), (&json!("Success"), &json!(NOON.unix_timestamp() + 3600)));
    let got = tencent(&keys, NOON).send(&sandbox).await;
    assert!(got.code().is_empty() && got.status == 200, "{}", got.text());
    tencent(&keys, NOON).without("x-tc-token").refused(&sandbox, 200, "AuthFailure.TokenFailure").await;
    tencent(&keys, NOON).header("x-tc-token", "another").refused(&sandbox, 200, "AuthFailure.TokenFailure").await;
    clock.set(NOON + Duration::from_hours(1));
    tencent(&keys, clock.now()).refused(&sandbox, 200, "AuthFailure.TokenFailure").await;
}

fn assume(action: &str, change: &[(&str, Value)]) -> Ask {
    let mut body = json!({"RoleArn": demo::TENCENT_ROLE_ARN, "RoleSessionName": "killgate", "DurationSeconds": 900});
    if action == "AssumeRole" {
        body["ExternalId"] = json!(demo::TENCENT_EXTERNAL_ID);
    } else {
        body["ProviderId"] = json!(demo::TENCENT_PROVIDER_ID);
        body["WebIdentityToken"] = json!(demo::TENCENT_WEB_IDENTITY_TOKEN);
    }
    for (name, value) in change {
        if value.is_null() {
            body.as_object_mut().unwrap().remove(*name);
        } else {
            body[name] = value.clone();
        }
    }
    let ask = Ask::tencent_unsigned(action, &body).header("x-tc-version", "2018-08-13");
    ask.header("x-tc-region", demo::TENCENT_REGION)
}

fn by_keys(change: &[(&str, Value)]) -> Ask {
    let (id, key) = (demo::TENCENT_SECRET_ID, demo::TENCENT_SECRET_KEY);
    assume("AssumeRole", change).sign_tencent_with(NOON, id, key, "sts")
}

#[tokio::test]
async fn a_role_is_assumed_with_every_parameter_and_a_good_signature() {
    let (sandbox, _) = world_at_noon();
    let got = by_keys(&[]).send(&sandbox).await.json()["Response"].clone();
    assert_eq!(got["ExpiredTime"], NOON.unix_timestamp() + 900, "{got}");
    let keys = &got["Credentials"];
    assert_eq!(tencent(keys, NOON).send(&sandbox).await.code(), "");
    for (change, code) in [
        (("RoleArn", Value::Null), "MissingParameter"),
        (("RoleSessionName", Value::Null), "MissingParameter"),
        (("RoleSessionName", json!("a b")), "InvalidParameter.ParamError"),
        (("DurationSeconds", json!(43_201)), "InvalidParameter"),
        (("DurationSeconds", json!("900")), "InvalidParameter"),
        (("ExternalId", Value::Null), "UnauthorizedOperation"),
        (("RoleArn", json!("qcs::cam::uin/1:roleName/x")), "ResourceNotFound.RoleNotFound"),
        (("Agency", json!("x")), "UnknownParameter"),
    ] {
        by_keys(&[change]).refused(&sandbox, 200, code).await;
    }
    let (id, key) = (demo::TENCENT_SECRET_ID, demo::TENCENT_SECRET_KEY);
    let ask = || assume("AssumeRole", &[]);
    for (ask, code) in [
        (ask().sign_tencent_with(NOON, id, "another", "sts"), "AuthFailure.SignatureFailure"),
        (ask().sign_tencent_with(NOON, id, key, "dcdb"), "AuthFailure.InvalidAuthorization"),
        (ask(), "AuthFailure.InvalidAuthorization"),
        (ask().header("authorization", "SKIP"), "AuthFailure.InvalidAuthorization"),
        (ask().header("x-tc-version", "2018-04-11").sign_tencent_with(NOON, id, key, "sts"), "InvalidAction"),
        (by_keys(&[]).without("x-tc-region"), "MissingParameter"),
    ] {
        ask.refused(&sandbox, 200, code).await;
    }
}

#[tokio::test]
async fn a_pods_token_is_taken_unsigned_and_no_other() {
    let (sandbox, _) = world_at_noon();
    let ask = |change: &[(&str, Value)]| assume("AssumeRoleWithWebIdentity", change).header("authorization", "SKIP");
    let got = ask(&[]).send(&sandbox).await.json()["Response"].clone();
    assert_eq!(tencent(&got["Credentials"], NOON).send(&sandbox).await.code(), "", "{got}");
    ask(&[]).without("authorization").refused(&sandbox, 200, "AuthFailure.InvalidAuthorization").await;
    ask(&[("WebIdentityToken", json!("forged"))]).refused(&sandbox, 200, "InvalidParameter.ParamError").await;
    ask(&[("WebIdentityToken", Value::Null)]).refused(&sandbox, 200, "MissingParameter").await;
    let calls = Ask::new("GET", "/_sandbox/calls", "").send(&sandbox).await.text();
    assert!(!calls.contains(demo::TENCENT_WEB_IDENTITY_TOKEN), "{calls}");
}

fn agency(change: impl FnOnce(&mut Value)) -> Ask {
    let role =
        json!({"agency_name": demo::HUAWEI_AGENCY, "domain_name": demo::HUAWEI_AGENCY_DOMAIN, "duration_seconds": 900});
    let mut body = json!({"auth": {"identity": {"methods": ["assume_role"], "assume_role": role}}});
    change(&mut body["auth"]["identity"]);
    Ask::new("POST", "/v3.0/OS-CREDENTIAL/securitytokens", &body.to_string())
}

#[tokio::test]
async fn an_agency_is_assumed_by_a_signature_or_by_a_token_for_the_whole_account() {
    let (sandbox, clock) = world_at_noon();
    let got = agency(|_| ()).sign_huawei(NOON).send(&sandbox).await;
    assert_eq!(got.status, 201, "{}", got.text());
    let keys = got.json()["credential"].clone();
    assert_eq!(signed(&keys, NOON).send(&sandbox).await.status, 200);
    clock.set(NOON + Duration::from_mins(15));
    signed(&keys, clock.now()).refused(&sandbox, 401, "APIGW.0301").await;
    clock.set(NOON);

    let login = async |scope: Value| {
        let user = json!({
            "name": demo::HUAWEI_USERNAME, "password": demo::HUAWEI_PASSWORD, "domain": {"name": demo::HUAWEI_DOMAIN},
        });
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": scope}}).to_string();
        Ask::new("POST", "/v3/auth/tokens", &body).send(&sandbox).await
    };
    let token = login(json!({"domain": {"name": demo::HUAWEI_DOMAIN}})).await;
    let token = token.headers.value("x-subject-token").unwrap().to_owned();
    assert_eq!(agency(|_| ()).header("x-auth-token", &token).send(&sandbox).await.status, 201);
    let narrow = login(json!({"project": {"name": demo::HUAWEI_REGION}})).await;
    let narrow = narrow.headers.value("x-subject-token").unwrap().to_owned();
    agency(|_| ()).header("x-auth-token", &narrow).refused(&sandbox, 401, "APIGW.0307").await;
    assert_eq!(login(json!({"domain": {"name": "another"}})).await.status, 404);

    agency(|_| ()).refused(&sandbox, 401, "APIGW.0301").await;
    let refused = async |change: fn(&mut Value), status, code| {
        agency(change).sign_huawei(NOON).refused(&sandbox, status, code).await;
    };
    refused(|identity| identity["assume_role"]["agency_name"] = json!("another"), 404, "IAM.0004").await;
    refused(|identity| identity["assume_role"]["duration_seconds"] = json!(899), 400, "IAM.0011").await;
    refused(|identity| identity["methods"] = json!(["token"]), 400, "IAM.0011").await;
    refused(|identity| identity["assume_role"]["domain_name"] = Value::Null, 400, "IAM.0011").await;
}

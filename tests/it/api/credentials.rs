//! How accounts prove themselves: a user with a password, keys, and keys that are good for a while.

use actix_web::http::StatusCode;
use killgate::{
    clock::Clock,
    sandbox::{Action, Clouds, HuaweiCustomer, TencentCustomer, demo as world},
};
use time::Duration;

use super::{kit::assert_recorded, on_one_engine};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of};

on_one_engine! {
    a_user_logs_in_once_for_many_kills,
    a_revoked_token_is_renewed_once_and_the_kill_succeeds,
    a_wrong_password_is_tried_once_a_minute,
    temporary_keys_carry_their_token,
    without_their_token_temporary_keys_are_denied,
    a_key_that_is_refused_again_and_again_is_not_worn_out,
}

/// The usual Huawei account, as a user with that password.
fn user(password: &str) -> String {
    let (region, domain, name) = (world::HUAWEI_REGION, world::HUAWEI_DOMAIN, world::HUAWEI_USERNAME);
    format!(
        "[accounts.huawei-test]\ncloud = 'huawei'\nregion = '{region}'\n\
         iam = {{ domain = '{domain}', username = '{name}', password = '{password}' }}\n\
         endpoints = {{ gaussdb = '{{clouds}}', das = '{{clouds}}', taurusdb = '{{clouds}}', iam = '{{clouds}}' }}\n\
         vendors.gaussdb = {{ requests_per_second = 1000, requests_per_minute = 0 }}\n\
         vendors.taurusdb = {{ requests_per_second = 1000, requests_per_minute = 0 }}\n"
    )
}

async fn gateway(engine: Engine, more: String) -> Gateway {
    Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await
}

async fn kill(gateway: &Gateway, alias: &str, id: u64) -> Answer {
    gateway.kill(&kill_of(alias, &[id])).await
}

async fn a_user_logs_in_once_for_many_kills(engine: Engine) {
    let gateway = gateway(engine, user(world::HUAWEI_PASSWORD)).await;
    let asked: Vec<_> = (0..8).map(|n| kill_of("orders-ro", &[2_075_425 + n])).collect();
    let answers = futures_util::future::join_all(asked.iter().map(|body| gateway.kill(body))).await;
    assert!(answers.iter().all(|answer| answer.body["status"] == "succeeded"), "{answers:?}");
    assert_eq!(kill(&gateway, "ledger", 10_180).await.body["status"], "succeeded");
    assert_eq!(kill(&gateway, "shop", 11_212).await.status, StatusCode::ACCEPTED);
    assert_eq!(gateway.clouds.logins(), 1);
    let calls = gateway.clouds.calls();
    let kills = calls.iter().filter(|call| call.action != Some(Action::IamToken));
    assert!(kills.clone().all(|call| call.headers.value("x-auth-token").is_some()), "{calls:?}");
    assert!(kills.into_iter().all(|call| call.headers.value("authorization").is_none()), "{calls:?}");
}

async fn a_revoked_token_is_renewed_once_and_the_kill_succeeds(engine: Engine) {
    let gateway = gateway(engine, user(world::HUAWEI_PASSWORD)).await;
    assert_eq!(kill(&gateway, "orders-ro", 2_075_425).await.status, StatusCode::OK);
    gateway.clouds.revoke_tokens();
    let answer = kill(&gateway, "orders-ro", 2_075_426).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "killed", "{}", answer.body);
    assert_eq!(gateway.clouds.logins(), 2);
    let statuses: Vec<_> = gateway.clouds.calls_for(Action::TaurusdbKill).iter().map(|call| call.status).collect();
    assert_eq!(statuses, [200, 401, 200]);
}

async fn a_wrong_password_is_tried_once_a_minute(engine: Engine) {
    let clock = Clock::manual(Clock::system().now());
    let setup = Setup {
        more: user("not-the-password-0001"),
        clock: Some(clock.clone()),
        clouds: Some(Clouds::demo_at(clock.clone())),
        ..Setup::default()
    };
    let gateway = Gateway::start_blind_with(engine, setup).await;
    for _ in 0..4 {
        let answer = kill(&gateway, "orders-ro", 2_075_425).await;
        let record = assert_recorded(&gateway, &answer, 502, "upstream_denied", "failed").await;
        assert!(!record.to_string().contains("not-the-password-0001"), "{record}");
    }
    assert_eq!(gateway.clouds.calls_for(Action::IamToken).len(), 1);
    clock.set(clock.now() + Duration::seconds(61));
    kill(&gateway, "ledger", 10_180).await;
    assert_eq!(gateway.clouds.calls_for(Action::IamToken).len(), 2);
    assert_eq!(gateway.clouds.calls().len(), 2, "nothing but logins was sent");
}

const TEMPORARY: &str = "temporary-token-0001";

/// Clouds whose customers have temporary keys.
fn clouds() -> Clouds {
    let clouds = Clouds::demo();
    clouds.set_huawei(HuaweiCustomer { security_token: Some(TEMPORARY.to_owned()), ..world::huawei_customer() });
    clouds.set_tencent(TencentCustomer { token: Some(TEMPORARY.to_owned()), ..world::tencent_customer() });
    clouds
}

async fn temporary_keys_carry_their_token(engine: Engine) {
    let more = format!(
        "[accounts.huawei-test]\ncloud = 'huawei'\nregion = '{}'\nproject_id = '{}'\naccess_key = '{}'\n\
         secret_key = '{}'\nsecurity_token = '{TEMPORARY}'\n\
         endpoints = {{ gaussdb = '{{clouds}}', das = '{{clouds}}', taurusdb = '{{clouds}}' }}\n\
         [accounts.tencent-test]\ncloud = 'tencent'\nregion = '{}'\nsecret_id = '{}'\nsecret_key = '{}'\n\
         token = '{TEMPORARY}'\nendpoints.dcdb = '{{clouds}}'\n",
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_ACCESS_KEY,
        world::HUAWEI_SECRET_KEY,
        world::TENCENT_REGION,
        world::TENCENT_SECRET_ID,
        world::TENCENT_SECRET_KEY,
    );
    let setup = Setup { more, clouds: Some(clouds()), ..Setup::default() };
    let gateway = Gateway::start_blind_with(engine, setup).await;
    assert_eq!(kill(&gateway, "orders-ro", 2_075_425).await.body["sessions"][0]["outcome"], "killed");
    assert_eq!(kill(&gateway, "ledger", 10_180).await.body["sessions"][0]["outcome"], "killed");
    assert_eq!(kill(&gateway, "orders-shard-1", 1111).await.status, StatusCode::ACCEPTED);
}

async fn without_their_token_temporary_keys_are_denied(engine: Engine) {
    let setup = Setup { clouds: Some(clouds()), ..Setup::default() };
    let gateway = Gateway::start_blind_with(engine, setup).await;
    for (alias, id) in [("orders-ro", 2_075_425), ("orders-shard-1", 1111)] {
        let answer = kill(&gateway, alias, id).await;
        let record = assert_recorded(&gateway, &answer, 502, "upstream_denied", "failed").await;
        assert!(record["upstream"]["error_message"].is_null(), "{record}");
    }
    assert_eq!(gateway.clouds.calls().len(), 2, "keys cannot be renewed");
}

async fn a_key_that_is_refused_again_and_again_is_not_worn_out(engine: Engine) {
    let clouds = Clouds::demo();
    clouds.set_huawei(HuaweiCustomer { secret_key: "rotated-meanwhile".to_owned(), ..world::huawei_customer() });
    let setup = Setup { clouds: Some(clouds), ..Setup::default() };
    let gateway = Gateway::start_blind_with(engine, setup).await;
    for _ in 0..8 {
        let answer = kill(&gateway, "orders-ro", 2_075_425).await;
        assert_recorded(&gateway, &answer, 502, "upstream_denied", "failed").await;
    }
    assert!(!gateway.clouds.locked(), "five bad signatures in a row would lock it for everybody");
    assert_eq!(gateway.clouds.calls().len(), 3);
}

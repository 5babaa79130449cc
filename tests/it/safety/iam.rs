//! Tokens of Huawei's IAM: an expired one is renewed once and the kill sent again, and nothing else is.

use killgate::sandbox::{Action, Behaviour, Canned, demo as world};

use super::{Operation, all_sessions_are, assert_unknown, on_one_engine, operations};
use crate::support::gateway::{Engine, Gateway, Setup};

on_one_engine! {
    an_expired_token_is_renewed_and_the_kill_sent_again,
    a_token_that_is_never_taken_is_renewed_once,
    a_lost_answer_after_a_renewal_is_not_repeated,
    without_a_login_no_kill_is_sent,
}

/// A gateway that logs in as a user.
pub(super) async fn start(engine: Engine) -> Gateway {
    let more = format!(
        r#"
        [accounts.huawei-test]
        cloud = "huawei"
        region = "{}"
        project_id = "{}"
        iam = {{ domain = "{}", username = "{}", password = "{}" }}
        endpoints = {{ gaussdb = "{{clouds}}", das = "{{clouds}}", taurusdb = "{{clouds}}", iam = "{{clouds}}" }}
        [vendors.gaussdb]
        max_wait_ms = 2000
        "#,
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_DOMAIN,
        world::HUAWEI_USERNAME,
        world::HUAWEI_PASSWORD,
    );
    Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await
}

fn at_huawei() -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(|operation| operation.action != Action::DcdbKill)
}

async fn an_expired_token_is_renewed_and_the_kill_sent_again(engine: Engine) {
    let gateway = start(engine).await;
    for (logins, operation) in (1..).zip(at_huawei()) {
        // The first kill logs in by itself; the others find a token that the cloud has forgotten.
        let expected = if logins == 1 { 1 } else { 2 };
        let answer = gateway.kill(&operation.body).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        assert_eq!(gateway.clouds.calls_for(operation.action).len(), expected, "{:?}", operation.action);
        assert_eq!(gateway.clouds.logins(), logins);
        gateway.clouds.revoke_tokens();
    }
}

async fn a_token_that_is_never_taken_is_renewed_once(engine: Engine) {
    let gateway = start(engine).await;
    for operation in at_huawei() {
        let refusal = Canned::json(401, r#"{"error_code":"APIGW.0301","error_msg":"decrypt token fail"}"#);
        gateway.clouds.misbehave_times(9, operation.action, Behaviour::Status(refusal));
        let answer = gateway.kill(&operation.body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_denied"), "{}", answer.body);
        let kill = gateway.record(answer.kill_id()).await;
        assert!(all_sessions_are(&kill, "failed", operation.sessions), "{kill}");
        assert!(gateway.clouds.calls_for(operation.action).len() <= 2, "{:?}", operation.action);
    }
    assert_eq!(gateway.clouds.calls_for(Action::GaussdbKill).len(), 2);
    assert_eq!(gateway.clouds.logins(), 2);
}

async fn a_lost_answer_after_a_renewal_is_not_repeated(engine: Engine) {
    let gateway = start(engine).await;
    for (logins, operation) in (2..).zip(at_huawei()) {
        let expired = Canned::json(401, r#"{"error_code":"APIGW.0301","error_msg":"token expires"}"#);
        gateway.clouds.misbehave_times(1, operation.action, Behaviour::Status(expired));
        gateway.clouds.misbehave_times(1, operation.action, Behaviour::Drop);
        let answer = gateway.kill(&operation.body).await;
        assert_unknown(&gateway, &answer, &operation, "lost after a renewal").await;
        assert_eq!(gateway.clouds.calls_for(operation.action).len(), 2);
        assert_eq!(gateway.clouds.logins(), logins);
        // The cloud takes the token, so that the next refusal is worth a renewal again.
        assert!(gateway.kill(&operation.body).await.status.is_success());
    }
}

async fn without_a_login_no_kill_is_sent(engine: Engine) {
    let operation = at_huawei().next().unwrap();
    for (behaviour, expected, status) in [
        (Behaviour::Drop, (502, "upstream_failed"), "failed"),
        (Behaviour::Throttle, (429, "upstream_throttled"), "rate_limited"),
        (Behaviour::Garble, (502, "upstream_failed"), "failed"),
    ] {
        // A gateway each: whom IAM throttled or answered nonsense leaves it alone for a while.
        let gateway = start(engine).await;
        gateway.clouds.misbehave(Action::IamToken, behaviour.clone());
        let answer = gateway.kill(&operation.body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), expected, "{behaviour:?}: {}", answer.body);
        let kill = gateway.record(answer.kill_id()).await;
        assert_eq!(kill["status"], status, "{kill}");
        assert!(all_sessions_are(&kill, "failed", operation.sessions), "{kill}");
        assert_eq!(gateway.clouds.calls_for(operation.action).len(), 0);
    }
}

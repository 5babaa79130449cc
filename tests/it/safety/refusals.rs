//! Rule 2, the other side: what the vendor surely refused may be sent again, and how often it is.

use futures_util::future::join_all;
use killgate::{
    sandbox::{Action, Behaviour, Canned, Verdict, demo as world},
    upstream::TABLE,
};

use super::{Operation, all_sessions_are, on_one_engine, operations};
use crate::support::{
    gateway::{Engine, Gateway, Setup},
    patience::in_time,
    way::nobody,
};

on_one_engine! {
    a_throttled_kill_is_sent_again_until_it_is_taken,
    a_kill_that_stays_throttled_ends_as_rate_limited_within_the_callers_time,
    a_kill_that_is_denied_is_not_sent_again,
    a_kill_that_reaches_nobody_has_failed,
}

async fn a_throttled_kill_is_sent_again_until_it_is_taken(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let kills = operations().into_iter().map(|Operation { action, body, .. }| {
        let gateway = &gateway;
        async move {
            gateway.clouds.misbehave_times(2, action, Behaviour::Throttle);
            let answer = gateway.kill(&body).await;
            assert!(answer.status.is_success(), "{action:?}: {}", answer.body);
            let calls = gateway.clouds.calls_for(action);
            let verdicts: Vec<_> = calls.iter().map(|call| call.verdict).collect();
            assert_eq!(verdicts, [Verdict::Throttled, Verdict::Throttled, Verdict::Served], "{action:?}");
        }
    });
    join_all(kills).await;
}

async fn a_kill_that_stays_throttled_ends_as_rate_limited_within_the_callers_time(engine: Engine) {
    let more = TABLE.iter().map(|vendor| format!("[vendors.{}]\nmax_wait_ms = 2000\n", vendor.name()));
    let more: String = more.collect();
    // A gateway for each: throttled once, it leaves that vendor alone for a moment.
    let kills = operations().map(async |operation| {
        let gateway = Gateway::start_blind_with(engine, Setup { more: more.clone(), ..Setup::default() }).await;
        gateway.clouds.misbehave(operation.action, Behaviour::Throttle);
        let answer = in_time(gateway.kill(&operation.body)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "upstream_throttled"), "{}", answer.body);
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
        let kill = gateway.record(answer.kill_id()).await;
        assert_eq!(kill["status"], "rate_limited", "{kill}");
        assert!(all_sessions_are(&kill, "failed", operation.sessions), "{kill}");
        let calls = gateway.clouds.calls_for(operation.action).len();
        assert!((1..=10).contains(&calls), "{:?}: {calls}", operation.action);
    });
    join_all(kills).await;
}

async fn a_kill_that_is_denied_is_not_sent_again(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for operation in operations() {
        let (action, mut sent) = (operation.action, 0);
        let mut refusals = vec![Behaviour::Deny];
        if action == Action::DcdbKill {
            // Keys cannot be renewed, so another try would be refused again.
            let body = r#"{"Response":{"Error":{"Code":"AuthFailure.TokenFailure","Message":"?"},"RequestId":"{request_id}"}}"#;
            refusals.push(Behaviour::Status(Canned::json(200, body)));
        }
        for refusal in refusals {
            gateway.clouds.misbehave_times(1, action, refusal.clone());
            let answer = gateway.kill(&operation.body).await;
            sent += 1;
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (502, "upstream_denied"),
                "{refusal:?} {}",
                answer.body
            );
            let kill = gateway.record(answer.kill_id()).await;
            assert_eq!(kill["status"], "failed", "{kill}");
            assert!(all_sessions_are(&kill, "failed", operation.sessions), "{kill}");
            assert_eq!(gateway.clouds.calls_for(action).len(), sent, "{action:?}");
        }
    }
}

async fn a_kill_that_reaches_nobody_has_failed(engine: Engine) {
    let (_kept, nobody) = nobody();
    let more = format!(
        r#"
        [accounts.huawei-test]
        cloud = "huawei"
        region = "{}"
        project_id = "{}"
        access_key = "{}"
        secret_key = "{}"
        endpoints = {{ gaussdb = "http://{nobody}", das = "http://{nobody}", taurusdb = "http://{nobody}" }}
        [accounts.tencent-test]
        cloud = "tencent"
        region = "{}"
        secret_id = "{}"
        secret_key = "{}"
        endpoints.dcdb = "http://{nobody}"
        "#,
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_ACCESS_KEY,
        world::HUAWEI_SECRET_KEY,
        world::TENCENT_REGION,
        world::TENCENT_SECRET_ID,
        world::TENCENT_SECRET_KEY,
    );
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    let kills = operations().into_iter().map(|operation| {
        let gateway = &gateway;
        async move {
            let answer = gateway.kill(&operation.body).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_failed"), "{}", answer.body);
            let kill = gateway.record(answer.kill_id()).await;
            assert_eq!(kill["status"], "failed", "{kill}");
            assert!(all_sessions_are(&kill, "failed", operation.sessions), "{kill}");
        }
    });
    join_all(kills).await;
    assert_eq!(gateway.clouds.calls().len(), 0);
}

//! Alibaba's DAS: a task tells a reason for each session, and every call has a signature and a nonce of its own.

use std::{collections::BTreeSet, time::Duration};

use killgate::sandbox::{Action, AlibabaCustomer, Behaviour, Canned, Clouds, Lie, Verdict, demo as world};
use serde_json::json;

use super::{
    Engine, Gateway, Setup,
    each::{fate, gateway, products, products::ALIAS, settled},
};
use crate::support::{gateway::kill_of, patience::eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_tells_what_became_of_each_session() {
    let product = products::alidas();
    let gateway = gateway(&product, "").await;
    gateway.clouds.set_flow_time(Duration::ZERO);
    // Gone between the look and the kill.
    gateway.clouds.misbehave_times(1, product.list, Behaviour::Slow(Duration::ZERO));
    let answer = gateway.kill(&kill_of(ALIAS, &product.reports())).await;
    let kill = settled(&gateway, &answer, "succeeded").await;
    assert!(product.reports().iter().all(|id| fate(&kill, *id) == ("killed", "")), "{kill}");
    let tasks = gateway.clouds.calls_for(Action::AlidasTask);
    assert!(!tasks.is_empty() && tasks.iter().all(|call| call.query.contains("TaskId=")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_fails_is_not_called_a_kill() {
    let product = products::alidas();
    let gateway = gateway(&product, "").await;
    let reasons = json!({ "Code": 200, "Success": true, "RequestId": "{request_id}", "Data": {
        "TaskState": "FAILURE", "Result": [{ "Id": product.report(), "Reason": "SESSION_NO_PERMISSION" }],
    } });
    gateway.clouds.misbehave(product.kill, Behaviour::Lie(Lie::FlowFails));
    gateway.clouds.misbehave(Action::AlidasTask, Behaviour::Status(Canned::json(200, &reasons.to_string())));
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    let kill = settled(&gateway, &answer, "failed").await;
    assert_eq!(fate(&kill, product.report()), ("failed", "the vendor's account has no right to end it"), "{kill}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_nobody_knows_leaves_it_to_the_list() {
    let product = products::alidas();
    let gateway = gateway(&product, "").await;
    gateway.clouds.misbehave(Action::AlidasTask, Behaviour::Lie(Lie::FlowForgotten));
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    let kill = settled(&gateway, &answer, "succeeded").await;
    assert_eq!(fate(&kill, product.report()), ("killed", "seen gone"), "{kill}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_gathered_too_long_is_given_up_and_nothing_is_sent() {
    let product = products::alidas();
    let gateway = gateway(&product, "").await;
    let never = json!({ "Code": 200, "Success": true, "RequestId": "{request_id}", "Data": {
        "IsFinish": false, "State": "RUNNING", "ResultId": "async__1",
    } });
    gateway.clouds.misbehave(product.list, Behaviour::Status(Canned::json(200, &never.to_string())));
    let asked = tokio::spawn({
        let client = gateway.client().clone();
        let token = Gateway::token("chatops-bot", "sessions:kill sessions:read");
        let body = kill_of(ALIAS, &[product.report()]).to_string();
        async move { client.post("/sessions/kill", &token, &[], body).await }
    });
    gateway.clouds.arrived(product.list, 3).await;
    // It has been asked for again and again; now it is there.
    gateway.clouds.behave();
    let answer = asked.await.unwrap();
    let kill = gateway.record(answer.kill_id()).await;
    let is_over = ["failed", "succeeded", "accepted"].iter().any(|status| kill["status"] == *status);
    assert!(is_over, "{kill}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_signed_with_a_nonce_of_its_own_and_with_temporary_keys_too() {
    let product = products::alidas();
    let clouds = Clouds::demo();
    clouds.set_alibaba(AlibabaCustomer {
        security_token: Some("canary/ali+token==".into()),
        ..world::alibaba_customer()
    });
    let more = product.configuration().replace("[targets.", "security_token = 'canary/ali+token=='\n[targets.");
    let setup = Setup { more, clouds: Some(clouds), ..Setup::default() };
    let gateway = Gateway::start_with(Engine::Sqlite, setup).await;
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    settled(&gateway, &answer, "succeeded").await;
    let calls = gateway.clouds.calls();
    assert!(calls.iter().all(|call| call.verdict == Verdict::Served), "{calls:?}");
    let nonces: BTreeSet<_> = calls.iter().map(|call| call.headers.value("x-acs-signature-nonce").unwrap()).collect();
    assert_eq!(nonces.len(), calls.len());
    assert!(!format!("{calls:?}").contains("canary/ali"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_a_denial_and_no_secret_comes_back() {
    let product = products::alidas();
    let more = product.configuration().replace(world::ALIBABA_ACCESS_KEY_SECRET, "canary-secret-of-nobody");
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_denied"), "{}", answer.body);
    let kill = eventually("it is recorded", async || Some(gateway.record(answer.kill_id()).await)).await.to_string();
    for secret in ["canary-secret-of-nobody", world::ALIBABA_ACCESS_KEY_ID, "SignedHeaders"] {
        assert!(!kill.contains(secret) && !answer.body.to_string().contains(secret), "{kill}");
    }
}

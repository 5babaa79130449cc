//! While a call waits for its turn, kills for the same target share it.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Canned, demo as world};
use serde_json::{Value, json};

use super::{all, asked_to_pause, assert_accepted, assert_recorded, ids, sent, shards};
use crate::support::{
    collector::{Collector, Mood},
    gateway::{Engine, Gateway, Setup, kill_of},
    lateness::Lateness,
    patience::eventually,
};

/// One call a second, and patience.
const FEW: &str = "
    [vendors.dcdb]
    requests_per_second = 1
    reserved_percent = 0
    max_wait_ms = 60000
";

/// A gateway that a vendor has just asked to wait for some seconds, and the targets. Whoever comes now has company by
/// the time it may go. Its first call was throttled, its second one is the same again; `then` is what the others meet.
async fn asked_to_wait(then: impl IntoIterator<Item = Behaviour>) -> (Gateway, Vec<Value>) {
    asked_to_wait_with("", then).await
}

async fn asked_to_wait_with(more: &str, then: impl IntoIterator<Item = Behaviour>) -> (Gateway, Vec<Value>) {
    let (gateway, targets) = shards(Engine::Postgres, 3, &format!("{FEW}{more}")).await;
    for behaviour in [asked_to_pause(4), taken()].into_iter().chain(then) {
        gateway.clouds.misbehave_times(1, Action::DcdbKill, behaviour);
    }
    let (client, body) = (gateway.client().clone(), ids(&targets[1], &[1]).to_string());
    let token = Gateway::token("chatops-bot", "sessions:kill");
    tokio::spawn(async move { client.post("/sessions/kill", &token, &[], body).await });
    gateway.clouds.arrived(Action::DcdbKill, 1).await;
    (gateway, targets)
}

/// A call that is served as it should be.
fn taken() -> Behaviour {
    Behaviour::Slow(std::time::Duration::ZERO)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_that_wait_for_one_target_share_a_call_with_each_id_once() {
    let lateness = Lateness::watch();
    let (gateway, targets) = asked_to_wait([]).await;
    let bodies = [ids(&targets[0], &[1, 2]), ids(&targets[0], &[2, 3]), ids(&targets[2], &[4])];
    let answers = all(&gateway, &bodies).await;
    assert_accepted(&answers);
    let mut calls = sent(&gateway.clouds).split_off(2);
    for ids in &mut calls {
        ids.sort_unstable();
    }
    calls.sort_unstable();
    assert_eq!(calls, [vec![1, 2, 3], vec![4]]);
    // Each has a record of its own, with its own sessions.
    for (answer, own) in answers.iter().zip([["1", "2"].as_slice(), &["2", "3"], &["4"]]) {
        let told: Vec<_> = answer.body["sessions"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
        assert_eq!(told, own);
    }
    let [first, second, other] = answers.as_slice() else { panic!("three were asked") };
    assert_ne!(first.kill_id(), second.kill_id());
    let task = |answer: &crate::support::gateway::Answer| answer.body["upstream"]["task_id"].clone();
    assert!(task(first) == task(second) && task(first) != task(other));
    lateness.assert_kept(&gateway.clouds.calls_for(Action::DcdbKill), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_of_a_shared_call_has_a_link_to_each_of_its_kills() {
    let collector = Collector::start(Mood::Takes).await;
    let (gateway, targets) = asked_to_wait_with(&collector.section(), []).await;
    let answers = all(&gateway, &[1, 2, 3].map(|id| ids(&targets[0], &[id]))).await;
    assert_accepted(&answers);
    let batch = collector.span("of a shared call", |span| span.name == "batch").await;
    assert!(batch.has("killgate.kills", "#3"), "{batch:#?}");
    let call = collector.span("of the call itself", |span| span.parent == batch.id).await;
    assert_eq!((call.name.as_str(), &call.trace), ("dcdb KillSession", &batch.trace));
    let waits = async || {
        let waits =
            collector.spans().into_iter().filter(|span| span.name == "dispatch" && batch.links.contains(&span.id));
        Some(waits.map(|span| (span.id, span.trace)).unzip::<_, _, BTreeSet<_>, BTreeSet<_>>())
            .filter(|(waits, _)| waits.len() == 3)
    };
    let (waits, traces) = eventually("the waits of all three", waits).await;
    assert_eq!(traces.len(), 3, "each is in a trace of its own");
    assert!(waits.contains(&batch.parent) && traces.contains(&batch.trace));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_call_that_is_refused_fails_each_of_its_kills_and_no_id_is_sent_again() {
    let refusal =
        r#"{"Response":{"Error":{"Code":"InvalidParameterValue","Message":"SessionId"},"RequestId":"{request_id}"}}"#;
    let refused = Behaviour::Status(Canned::json(200, refusal));
    let (gateway, targets) = asked_to_wait([refused]).await;
    let answers = all(&gateway, &[1, 2, 3].map(|id| ids(&targets[0], &[id]))).await;
    let calls = sent(&gateway.clouds).split_off(2);
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    for answer in &answers {
        assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "upstream_rejected"));
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("shared a call with other kills, one of whose ids was refused: ask again"), "{detail}");
        assert_recorded(&gateway, answer, "failed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_makes_each_kill_of_the_call_unknown_and_nothing_is_repeated() {
    let (gateway, targets) = asked_to_wait([Behaviour::Drop]).await;
    let answers = all(&gateway, &[ids(&targets[0], &[1, 2]), ids(&targets[0], &[2, 3])]).await;
    assert_eq!(sent(&gateway.clouds).len(), 3);
    for (answer, own) in answers.iter().zip([["1", "2"], ["2", "3"]]) {
        assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"));
        assert_recorded(&gateway, answer, "unknown").await;
        let sessions = own.map(|id| json!({ "id": id, "outcome": "unknown" }));
        assert_eq!(gateway.record(answer.kill_id()).await["sessions"], json!(sessions));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_picks_is_never_shared() {
    let more = format!(
        r#"
        [accounts.huawei-test]
        cloud = "huawei"
        region = "{}"
        project_id = "{}"
        access_key = "{}"
        secret_key = "{}"
        endpoints = {{ gaussdb = "{{clouds}}", das = "{{clouds}}", taurusdb = "{{clouds}}" }}
        vendors.taurusdb = {{ requests_per_second = 2, reserved_percent = 0, max_wait_ms = 60000 }}
        "#,
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_ACCESS_KEY,
        world::HUAWEI_SECRET_KEY,
    );
    let gateway = Gateway::start_blind_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    all(&gateway, &[kill_of("orders-ro", &[1]), kill_of("orders-ro", &[2])]).await;
    let before = gateway.clouds.calls_for(Action::TaurusdbKill).len();
    let pick = json!({ "target": "orders-ro", "select": { "intelligent": true }, "reason": "load" });
    let bodies = [pick.clone(), kill_of("orders-ro", &[3]), pick, kill_of("orders-ro", &[4])];
    let statuses: Vec<_> = all(&gateway, &bodies).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [202, 200, 202, 200]);
    assert_eq!(gateway.clouds.calls_for(Action::IntelligentKill).len(), 2);
    // The ids may share a call, with each other only.
    let of_ids = gateway.clouds.calls_for(Action::TaurusdbKill).len() - before;
    assert!((1..=2).contains(&of_ids), "{of_ids}");
}

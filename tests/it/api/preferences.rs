//! `Prefer: wait=N` and `dry_run`: how long to wait, and not at all.

use std::time::Duration;

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Lie, Place, demo as world};
use serde_json::{Value, json};

use super::{on_both_engines, on_one_engine};
use crate::support::{
    gateway::{Engine, Gateway, kill_of, targets},
    patience::{eventually, in_time},
};

on_both_engines! {
    whoever_does_not_wait_is_told_what_is_known,
    a_dry_run_is_on_record_and_sends_nothing_that_changes_anything,
}

on_one_engine! {
    whoever_waits_is_answered_once_the_outcome_is_final,
    a_wait_that_is_too_short_ends_with_what_is_known,
    a_kill_goes_on_when_its_caller_waits_no_longer,
    other_preferences_are_ignored,
}

async fn prefer(gateway: &Gateway, preference: &str, alias: &str, id: u64) -> crate::support::gateway::Answer {
    gateway.kill_with(&[("Prefer", preference)], &kill_of(alias, &[id])).await
}

async fn whoever_waits_is_answered_once_the_outcome_is_final(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let answer = in_time(prefer(&gateway, "wait=60", "orders-shard-1", 1111)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("preference-applied"), Some("wait=60"));
    assert_eq!(answer.body["status"], "succeeded");
    assert!(answer.body["completed_at"].is_string());
    assert_eq!(gateway.record(answer.kill_id()).await, answer.body);
}

async fn whoever_does_not_wait_is_told_what_is_known(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave(Action::TaurusdbKill, Behaviour::Hold);
    let answer = prefer(&gateway, "wait=0", "orders-ro", 2_075_425).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &json!("pending")));
    assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    assert_eq!(answer.header("location"), Some(format!("/kills/{}", answer.kill_id()).as_str()));
    assert_eq!(answer.body["sessions"], json!([{ "id": "2075425", "outcome": "unknown" }]));
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    gateway.clouds.behave();
    gateway.app.kills().idle().await;
    assert_eq!(gateway.record(answer.kill_id()).await["status"], "succeeded");
}

async fn a_wait_that_is_too_short_ends_with_what_is_known(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave(Action::DcdbKill, Behaviour::Lie(Lie::FlowRuns(Duration::from_mins(1))));
    let asked = async || {
        let answer = in_time(prefer(&gateway, "wait=1", "orders-shard-1", 1111)).await;
        // On a slow machine a second may be over before the vendor has answered.
        (answer.body["status"] != "pending").then_some(answer)
    };
    let answer = eventually("the vendor takes it within the wait", asked).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &json!("accepted")));
    assert_eq!(answer.body["completed_at"], Value::Null);
    assert!(answer.body["upstream"]["task_id"].is_string(), "{}", answer.body);
}

async fn a_kill_goes_on_when_its_caller_waits_no_longer(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let client = gateway.client().clone();
    let token = Gateway::token("chatops-bot", "sessions:kill");
    gateway.clouds.misbehave(Action::TaurusdbKill, Behaviour::Hold);
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    let caller = tokio::spawn(async move { client.post("/sessions/kill", &token, &[], body).await });
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    gateway.clouds.behave();
    gateway.app.kills().idle().await;
    let kills = gateway.read("/kills").await.body;
    assert_eq!(kills["items"][0]["status"], "succeeded", "{kills}");
    let place = Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE);
    assert!(!gateway.clouds.alive(&place).contains(&2_075_425));
}

async fn other_preferences_are_ignored(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for garbage in ["wait", "wait=", "wait=soon", "wait=-1", "respond-async", "=", "wait = x; y", "handling=lenient"] {
        let answer = prefer(&gateway, garbage, "orders-ro", 2_075_425).await;
        assert_eq!(answer.status, StatusCode::OK, "{garbage}: {}", answer.body);
        assert_eq!(answer.header("preference-applied"), None, "{garbage}");
    }
    for among_others in ["respond-async, wait=10", "WAIT=10; x=y", "wait=\"10\"", "handling=lenient,wait = 10"] {
        let answer = prefer(&gateway, among_others, "orders-ro", 2_075_425).await;
        assert_eq!(answer.header("preference-applied"), Some("wait=10"), "{among_others}");
    }
}

async fn a_dry_run_is_on_record_and_sends_nothing_that_changes_anything(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, _) in targets() {
        let mut body = kill_of(alias, &[1, 2]);
        body["dry_run"] = true.into();
        let answer = gateway.kill(&body).await;
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("preview")), "{}", answer.body);
        assert_eq!((&answer.body["target"]["alias"], &answer.body["select"]), (&json!(alias), &body["select"]));
        assert!(answer.body["completed_at"].is_string());
        assert_eq!(gateway.record(answer.kill_id()).await, answer.body);
    }
    let mut body = kill_of("orders-ro", &[1]);
    (body["dry_run"], body["select"]) = (true.into(), json!({ "intelligent": true }));
    assert_eq!(gateway.kill(&body).await.body["status"], "preview");
    // It may look.
    let kills = [Action::GaussdbKill, Action::DasKill, Action::TaurusdbKill, Action::IntelligentKill, Action::DcdbKill];
    assert!(kills.into_iter().all(|kill| gateway.clouds.calls_for(kill).is_empty()));
}

//! The five operations, end to end: what the cloud saw, what the caller was told, what is on record.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Place, demo as world};
use serde_json::{Value, json};

use super::on_both_engines;
use crate::support::gateway::{Engine, Gateway, kill_of};

on_both_engines! {
    gaussdb_kills_sessions_of_a_component,
    taurusdb_tells_killed_from_not_found,
    taurusdb_lets_the_database_pick,
    das_kills_a_users_sessions_and_is_only_accepted,
    dcdb_takes_a_task_and_its_flow_settles_it,
}

/// The body of the one call of that action that the clouds saw.
fn sent(gateway: &Gateway, action: Action) -> Value {
    let calls = gateway.clouds.calls_for(action);
    assert_eq!(calls.len(), 1, "{calls:?}");
    serde_json::from_slice(&calls[0].body).unwrap()
}

async fn gaussdb_kills_sessions_of_a_component(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let answer = gateway.kill(&kill_of("ledger", &[10_180, 10_185])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["status"], "succeeded");
    assert_eq!(answer.header("location"), Some(format!("/kills/{}", answer.kill_id()).as_str()));
    let body = json!({ "node_id": world::GAUSSDB_NODE, "component_id": "cn_5001", "session_ids": ["10180", "10185"] });
    assert_eq!(sent(&gateway, Action::GaussdbKill), body);
    assert_eq!(gateway.record(answer.kill_id()).await, answer.body);
}

async fn taurusdb_tells_killed_from_not_found(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425, 99])).await;
    let sessions = json!([{ "id": "2075425", "outcome": "killed" }, { "id": "99", "outcome": "not_found" }]);
    assert_eq!(answer.body["sessions"], sessions, "{}", answer.body);
    assert_eq!(answer.body["status"], "succeeded");
    assert_eq!(sent(&gateway, Action::TaurusdbKill), json!({ "processes": [2_075_425, 99] }));
}

async fn taurusdb_lets_the_database_pick(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    gateway.clouds.set_history_delay(std::time::Duration::ZERO);
    let body = json!({ "target": "orders-ro", "select": { "intelligent": true }, "reason": "load" });
    let answer = gateway.kill_with(&[("Prefer", "wait=30")], &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((&answer.body["status"], &answer.body["sessions"]), (&json!("succeeded"), &json!([])));
    assert!(answer.body["upstream"]["task_id"].is_string(), "{}", answer.body);
    assert_eq!(sent(&gateway, Action::IntelligentKill), json!({ "node_id": world::TAURUSDB_NODE }));
}

async fn das_kills_a_users_sessions_and_is_only_accepted(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let body = json!({ "target": "shop", "select": { "match": { "user": "report" } }, "reason": "load" });
    let answer = gateway.kill(&body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!((&answer.body["status"], &answer.body["completed_at"]), (&json!("accepted"), &Value::Null));
    assert_eq!(sent(&gateway, Action::DasKill), json!({ "db_user_id": world::DAS_DB_USER_ID, "user": "report" }));
}

async fn dcdb_takes_a_task_and_its_flow_settles_it(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let accepted = gateway.kill(&kill_of("orders-shard-1", &[1111, 1112])).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    let wanted = json!({ "InstanceId": world::DCDB_INSTANCE, "ShardId": world::DCDB_SHARD, "SessionId": [1111, 1112] });
    assert_eq!(sent(&gateway, Action::DcdbKill), wanted);

    let place = Place::dcdb(world::DCDB_INSTANCE, world::DCDB_SHARD, world::DCDB_NODE);
    let settled = gateway.kill_with(&[("Prefer", "wait=30")], &kill_of("orders-shard-1", &[1113])).await;
    assert_eq!(settled.status, StatusCode::OK, "{}", settled.body);
    assert_eq!(settled.body["sessions"], json!([{ "id": "1113", "outcome": "killed" }]));
    assert!(!gateway.clouds.alive(&place).contains(&1113));
}

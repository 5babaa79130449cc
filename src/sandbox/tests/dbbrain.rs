use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;

fn ask(action: &str, body: &Value) -> Ask {
    let ask = Ask::tencent_unsigned(action, body).header("x-tc-version", "2021-05-27");
    ask.sign_tencent_with(Clock::system().now(), demo::TENCENT_SECRET_ID, demo::TENCENT_SECRET_KEY, "dbbrain")
}

fn kill(more: &Value) -> Ask {
    let mut body = json!({"InstanceId": demo::DBBRAIN_INSTANCE, "Product": "mysql"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask("KillMySqlThreads", &body)
}

async fn prepared(sandbox: &Sandbox, ids: &[u64], record: bool) -> Value {
    let ask = kill(&json!({"Stage": "Prepare", "Threads": ids, "RecordHistory": record}));
    ask.send(sandbox).await.json()["Response"]["SqlExecId"].clone()
}

#[tokio::test]
async fn nobody_is_ended_before_the_commit() {
    let sandbox = demo_world();
    let place = Place::of("dbbrain", demo::DBBRAIN_INSTANCE);
    let id = prepared(&sandbox, &[4111, 7], false).await;
    assert!(sandbox.clouds.alive(&place).contains(&4111));
    let done = kill(&json!({"Stage": "Commit", "SqlExecId": id})).send(&sandbox).await.json();
    assert_eq!(done["Response"]["Threads"], json!([4111]), "{done}");
    assert!(!sandbox.clouds.alive(&place).contains(&4111));
}

#[tokio::test]
async fn with_a_history_one_that_is_gone_calls_the_kill_off() {
    let sandbox = demo_world();
    let id = prepared(&sandbox, &[4111, 7], true).await;
    let done = kill(&json!({"Stage": "Commit", "SqlExecId": id})).send(&sandbox).await.json();
    assert_eq!(done["Response"]["Threads"], json!([]), "{done}");
}

#[tokio::test]
async fn wrong_parameters_have_their_documented_codes() {
    let sandbox = demo_world();
    let list = |body: &Value| ask("DescribeMySqlProcessList", body);
    for (ask, code) in [
        (kill(&json!({"Stage": "Prepare", "Threads": ["1"]})), "InvalidParameter"),
        (kill(&json!({"Stage": "Begin", "Threads": [1]})), "InvalidParameter"),
        (kill(&json!({"Stage": "Commit", "SqlExecId": "other"})), "FailedOperation"),
        (kill(&json!({"Stage": "Commit", "SqlExecId": "other", "Threads": [1]})), "UnknownParameter"),
        (list(&json!({"InstanceId": "cdb-other"})), "ResourceNotFound"),
        (list(&json!({"InstanceId": demo::DBBRAIN_INSTANCE, "Product": "cynosdb"})), "InvalidParameterValue"),
        (list(&json!({"InstanceId": demo::DBBRAIN_INSTANCE, "Limit": 1001})), "InvalidParameter"),
        (list(&json!({"InstanceId": demo::DBBRAIN_INSTANCE, "Offset": 1})), "UnknownParameter"),
        (Ask::tencent("KillMySqlThreads", &json!({})), "InvalidAction"),
    ] {
        ask.refused(&sandbox, 200, code).await;
    }
}

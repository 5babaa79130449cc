//! What lives on several shards.

use killgate::sandbox::{Action, demo as world};
use serde_json::{Value, json};

use super::{A, B, Gateway, kills::refusal, on_one_engine, started};
use crate::support::gateway::Engine;

on_one_engine! {
    each_session_says_its_shard,
    several_shards_are_named_in_a_query,
    a_shard_that_cannot_be_listed_leaves_the_others_and_is_told,
}

async fn listed(gateway: &Gateway, query: &str) -> Value {
    let token = Gateway::token("anna", "sessions:read");
    gateway.client().get(&format!("/sessions?{query}"), &token).await.body
}

fn shards(list: &Value) -> Vec<(&str, &str)> {
    let items = list["items"].as_array().unwrap_or_else(|| panic!("{list}"));
    items.iter().map(|item| (item["shard"].as_str().unwrap(), item["id"].as_str().unwrap())).collect()
}

async fn each_session_says_its_shard(engine: Engine) {
    let gateway = started(engine, "").await;
    let list = listed(&gateway, "target=all&user=twin").await;
    assert_eq!((shards(&list), &list["complete"]), (vec![(A, "4711"), (B, "4711")], &json!(true)));
    assert_eq!(list.get("unlisted"), None);
    assert_eq!(listed(&gateway, "target=all").await["items"].as_array().unwrap().len(), 13 + 11);
    let one = listed(&gateway, "target=orders-shard-1&user=twin").await;
    assert_eq!((&one["items"][0]["id"], one["items"][0].get("shard")), (&json!("4711"), None), "{one}");
    gateway.clouds.put_ids(&super::place(A), 50_000..50_250);
    assert_eq!(listed(&gateway, "target=all&user=app&limit=1000").await["complete"], true, "over all its pages");
}

async fn several_shards_are_named_in_a_query(engine: Engine) {
    let gateway = started(engine, "").await;
    let place = format!("vendor=dcdb&instance_id={}", world::DCDB_INSTANCE);
    for named in ["all".to_owned(), format!("{B},{A}")] {
        let list = listed(&gateway, &format!("{place}&shards={named}&user=twin")).await;
        assert_eq!(shards(&list), [(A, "4711"), (B, "4711")], "{named}");
    }
    for (bad, field) in [("shards=", "shards"), ("shards=a,,b", "shards"), ("shards=all&node_id=7", "node_id")] {
        let problem = listed(&gateway, &format!("{place}&{bad}")).await;
        assert_eq!((&problem["code"], &problem["field"]), (&json!("invalid"), &json!(field)), "{bad}: {problem}");
    }
    let problem = listed(&gateway, &format!("{place}&shards=all&shard_id={A}")).await;
    assert_eq!(
        problem["detail"], "target.shard_id exactly one of shard_id, shard_serial_id, shards is required",
        "{problem}"
    );
}

async fn a_shard_that_cannot_be_listed_leaves_the_others_and_is_told(engine: Engine) {
    let gateway = started(engine, "").await;
    gateway.clouds.misbehave_at(B, Action::DcdbProcesses, refusal("InternalError.OperateDatabaseFailed"));
    let list = listed(&gateway, "target=all&user=twin").await;
    assert_eq!((shards(&list), &list["complete"]), (vec![(A, "4711")], &json!(false)));
    assert_eq!((&list["unlisted"][0]["shard"], list["unlisted"].as_array().unwrap().len()), (&json!(B), 1), "{list}");
    gateway.clouds.misbehave_at(A, Action::DcdbProcesses, refusal("InternalError.OperateDatabaseFailed"));
    assert_eq!(listed(&gateway, "target=all").await["code"], "upstream_failed");
}

//! Tencent's international site: sessions are ended by id, and that is all there is.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Clouds, demo as world};
use serde_json::{Value, json};

use super::{Engine, Gateway, Setup, recorded_as};
use crate::support::gateway::kill_of;

async fn international(more: &str) -> Gateway {
    let clouds = Clouds::demo();
    clouds.make_international();
    let account = format!(
        "[accounts.tencent-test]\ncloud = 'tencent'\nsite = 'international'\nregion = '{}'\nsecret_id = '{}'\n\
         secret_key = '{}'\nendpoints.dcdb = '{{clouds}}'\n",
        world::TENCENT_REGION,
        world::TENCENT_SECRET_ID,
        world::TENCENT_SECRET_KEY,
    );
    let setup = Setup { more: account + more, clouds: Some(clouds), ..Setup::default() };
    Gateway::start_with(Engine::Sqlite, setup).await
}

const TARGET: &str = "orders-shard-1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_by_ids_is_sent_and_settled_by_its_flow() {
    let gateway = international("").await;
    let answer = gateway.kill(&kill_of(TARGET, &[1111])).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(kill["sessions"][0]["outcome"], "killed", "{kill}");
    for action in [Action::DcdbProcesses, Action::DcdbDetail] {
        assert!(gateway.clouds.calls_for(action).is_empty(), "{action:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_list_or_a_node_is_refused_by_name_and_nothing_is_sent() {
    let gateway = international("").await;
    let full = json!({ "vendor": "dcdb", "instance_id": world::DCDB_INSTANCE, "shard_id": world::DCDB_SHARD });
    let mut of_node = full.clone();
    of_node["node_id"] = json!(world::DCDB_NODE);
    let with = |member: &str, value: Value| {
        let mut body = kill_of(TARGET, &[1111]);
        body[member] = value;
        body
    };
    let pinned = json!({ "ids": [{ "id": 1111, "user": "app" }] });
    for (body, code, field) in [
        (with("select", json!({ "match": { "user": "app" } })), "unsupported_selector", "select.match"),
        (with("select", pinned), "invalid", "select"),
        (with("dry_run", json!(true)), "invalid", "dry_run"),
        (with("confirm", json!("c1.anything")), "invalid", "confirm"),
        (with("target", of_node.clone()), "invalid", "target.node_id"),
    ] {
        let answer = gateway.kill(&body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, code), "{}", answer.body);
        assert_eq!(answer.body["field"], field, "{}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains("site") || field == "select.match");
    }
    let token = Gateway::token("dba", "sessions:read");
    let listed = gateway.client().get(&format!("/sessions?target={TARGET}"), &token).await;
    assert_eq!((listed.status, listed.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", listed.body);
    assert!(gateway.clouds.calls().is_empty());
    let vendors = gateway.client().get("/vendors", &token).await;
    let dcdb = vendors.body["items"].as_array().unwrap().iter().find(|vendor| vendor["name"] == "dcdb").unwrap();
    let account = &dcdb["accounts"][0];
    assert_eq!((&account["site"], &account["listing"]), (&json!("international"), &json!(null)), "{account}");
    assert_eq!(account["selectors"], json!(["ids"]));
    assert_eq!(account["coordinates"], json!(["instance_id", "shard_id", "shard_serial_id", "shards"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_rule_protects_sessions_none_can_be_told_apart_and_none_is_sent() {
    let gateway = international("[[protect]]\nvendor = 'dcdb'\nusers = ['dba_*']\n").await;
    let answer = gateway.kill(&kill_of(TARGET, &[1111])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("no list of them for this account"), "{}", answer.body);
    assert!(gateway.clouds.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_is_not_looked_for_in_vain() {
    let gateway = international("[vendors.dcdb]\ntimeout_ms = 1500\n").await;
    gateway.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::Drop);
    let answer = gateway.kill(&kill_of(TARGET, &[1111])).await;
    assert_eq!(answer.code(), "outcome_unknown", "{}", answer.body);
    // Whatever is looked at is looked at by the time that another kill is settled.
    let other = gateway.kill(&kill_of(TARGET, &[1112])).await;
    recorded_as(&gateway, other.kill_id(), "succeeded").await;
    assert!(gateway.clouds.calls_for(Action::DcdbProcesses).is_empty());
    assert_eq!(gateway.record(answer.kill_id()).await["status"], "unknown");
}

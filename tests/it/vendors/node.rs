//! DCDB: a kill goes to the node that was looked at.

use killgate::sandbox::{Action, Behaviour, Canned, Place, demo as world};
use serde_json::{Value, json};

use super::{Engine, Gateway};
use crate::{
    safety::recorded_as,
    support::{gateway::Setup, patience::eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_that_looked_names_the_node_that_it_looked_at() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let instance = world::DCDB_INSTANCE;
    for shard in [("shard_id", world::DCDB_SHARD), ("shard_serial_id", world::DCDB_SHARD_SERIAL)] {
        let target = json!({ "vendor": "dcdb", "instance_id": instance, shard.0: shard.1 });
        let select = json!({ "match": { "user": "report", "limit": 1 } });
        let answer = gateway.kill(&json!({ "target": target, "select": select, "reason": "INC-4711" })).await;
        assert_eq!(answer.body["sessions"][0]["outcome"], "accepted", "{}", answer.body);
        assert!(answer.body["target"].get("node_id").is_none(), "it says what was asked for: {}", answer.body);
        let sent = gateway.clouds.calls_for(Action::DcdbKill).pop().unwrap();
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body["NodeId"], world::DCDB_NODE, "{body}");
        let list = gateway.clouds.calls_for(Action::DcdbProcesses).pop().unwrap();
        let listed: Value = serde_json::from_slice(&list.body).unwrap();
        assert_eq!(listed["NodeId"], body["NodeId"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_switch_the_list_of_the_new_primary_says_nothing_of_the_sessions_of_the_old() {
    let more = "[vendors.dcdb]\ntimeout_ms = 1500\n".to_owned();
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    let node = |id: &str, role: &str| json!({ "NodeId": id, "Role": role });
    let switched = json!({ "Response": { "RequestId": "r", "Shards": [{
        "ShardInstanceId": world::DCDB_SHARD, "ShardSerialId": world::DCDB_SHARD_SERIAL,
        "NodesInfo": [node(world::DCDB_STANDBY_NODE, "master"), node(world::DCDB_NODE, "slave")],
    }] } });
    gateway.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::DropBefore);
    let select = json!({ "match": { "user": "report", "limit": 1 } });
    let body = json!({ "target": "orders-shard-1", "select": select, "reason": "INC-4711" });
    let meanwhile = async {
        gateway.clouds.arrived(Action::DcdbKill, 1).await;
        gateway.clouds.misbehave(Action::DcdbDetail, Behaviour::Status(Canned::json(200, &switched.to_string())));
    };
    let (answer, ()) = tokio::join!(gateway.kill(&body), meanwhile);
    assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
    // One list was read before it; two pages after it are a whole look.
    let looked = async || Some(gateway.clouds.calls_for(Action::DcdbProcesses).len()).filter(|lists| *lists >= 4);
    eventually("it is looked for", looked).await;
    let kill = gateway.record(answer.kill_id()).await;
    let session = &kill["sessions"][0];
    assert_eq!((&kill["status"], &session["outcome"]), (&json!("unknown"), &json!("unknown")), "it lives: {kill}");
    let id = session["id"].as_str().unwrap().parse().unwrap();
    gateway.clouds.remove(&Place::dcdb(world::DCDB_INSTANCE, world::DCDB_SHARD, world::DCDB_NODE), id);
    recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    for list in gateway.clouds.calls_for(Action::DcdbProcesses) {
        let body: Value = serde_json::from_slice(&list.body).unwrap();
        assert_eq!(body["NodeId"], world::DCDB_NODE);
    }
}

//! DCDB: a kill goes to the node that was looked at.

use killgate::sandbox::{Action, demo as world};
use serde_json::{Value, json};

use super::{Engine, Gateway};

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

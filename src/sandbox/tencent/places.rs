//! DCDB: an instance in detail, its shards and their nodes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{bad, dcdb::answer, refuse};
use crate::sandbox::{
    Place,
    answer::{Answer, Refusal},
    fields::Members,
    log::Incoming,
    session::Table,
    state::State,
};

pub(super) fn detail(state: &State, incoming: &Incoming) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(bad)?;
    let instance = body.required_text("InstanceId").map_err(bad)?;
    body.finish().map_err(bad)?;
    let mut shards: BTreeMap<(&str, Option<&str>), Vec<Value>> = BTreeMap::new();
    for Table { place, serial, primary, .. } in &state.world.tables {
        if let Place::Dcdb { instance_id, shard_id, node_id } = place
            && *instance_id == instance
        {
            let role = if *primary { "master" } else { "slave" };
            let node = json!({"NodeId": node_id, "Role": role, "Zone": "ap-guangzhou-3"});
            shards.entry((shard_id, serial.as_deref())).or_default().push(node);
        }
    }
    if shards.is_empty() {
        return Err(refuse("InvalidParameter.InstanceNotFound", "The instance is not found."));
    }
    let shards = shards.into_iter().map(|((shard, serial), nodes)| {
        json!({"ShardInstanceId": shard, "ShardSerialId": serial, "Status": 2, "NodesInfo": nodes})
    });
    let shards: Vec<_> = shards.collect();
    Ok(answer(json!({"InstanceId": instance, "Status": 2, "ShardCount": shards.len(), "Shards": shards}), incoming.at))
}

//! DCDB: an instance has shards, and each of them its nodes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Service, answer, bad, killsession::KillSession, node, of_nodes, refuse};
use crate::sandbox::{
    Action, Place,
    answer::{Answer, Refusal},
    fields::Members,
    log::Incoming,
    session::Table,
    state::{State, World},
};

const VENDOR: &str = "dcdb";

pub(super) static DCDB: KillSession = KillSession {
    service: Service { vendor: VENDOR, name: "dcdb", version: "2018-04-11" },
    kill: Action::DcdbKill,
    flow: Action::DcdbFlow,
    processes: Action::DcdbProcesses,
    detail: (Action::DcdbDetail, "DescribeDCDBInstanceDetail", detail),
    place,
};

fn detail(state: &State, incoming: &Incoming) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(bad)?;
    let instance = body.required_text("InstanceId").map_err(bad)?;
    body.finish().map_err(bad)?;
    let mut shards: BTreeMap<(&str, Option<&str>), Vec<Value>> = BTreeMap::new();
    for Table { place, serial, primary, .. } in &state.world.tables {
        let of_instance = place.is_beside(&Place::of(VENDOR, &instance));
        if let Some(shard) = place.shard_id.as_deref().filter(|_| of_instance) {
            shards.entry((shard, serial.as_deref())).or_default().push(node(place, *primary));
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

/// Reads instance and shard and finds the node: the one named, or the primary.
fn place(world: &World, body: &mut Members, node: Option<&str>) -> Result<Place, Refusal> {
    let instance = body.required_text("InstanceId").map_err(bad)?;
    let shard = body.text("ShardId").map_err(bad)?;
    let serial = body.text("ShardSerialId").map_err(bad)?;
    let of_instance = |table: &&Table| table.place.is_beside(&Place::of(VENDOR, &instance));
    if shard.is_some() == serial.is_some() {
        return Err(refuse("InvalidParameter", "Exactly one of ShardId and ShardSerialId is needed."));
    }
    if !world.tables.iter().any(|table| of_instance(&table)) {
        return Err(refuse("InvalidParameter.InstanceNotFound", "The instance is not found."));
    }
    let of_shard = |table: &&Table| match &shard {
        Some(_) => table.place.shard_id == shard,
        None => table.serial == serial,
    };
    let nodes: Vec<_> = world.tables.iter().filter(of_instance).filter(of_shard).collect();
    if nodes.is_empty() {
        return Err(refuse("InvalidParameterValue.ShardNotExist", "The shard does not exist."));
    }
    of_nodes(&nodes, node)
}

//! Tencent DCDB (TDSQL for MySQL): [`KillSession`] on one shard.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::{Division, Places, Target};

use super::killsession::{CAPABILITIES, KillSession, Primaries, coordinate, is_name, primary};
use crate::upstream::{Capabilities, Coordinate, FaultKind, Need, cloud::tencent, coordinates::names_places, json};

const MAINLAND: Capabilities = Capabilities {
    product: "Tencent Cloud DCDB (TDSQL for MySQL)",
    coordinates: &[INSTANCE, SHARD, SERIAL, SHARDS, NODE],
    // A shard has an id and a serial id, each of which is its own; a node is one of a shard's, and without it the primary
    // is meant. Several shards are the places of each.
    tells_apart: &["instance_id", "shard_id", "shard_serial_id"],
    ..CAPABILITIES
};

const INSTANCE: Coordinate = coordinate("instance_id", Need::Required, "tdsqlshard-2gk4nxyz");
const SHARD: Coordinate = coordinate("shard_id", Need::OneOf("shard"), "shard-ljilb4st");
const SERIAL: Coordinate = coordinate("shard_serial_id", Need::OneOf("shard"), "set_1468379419_1");
const SHARDS: Coordinate = Coordinate {
    name: Division::Shard.several(),
    need: Need::OneOf("shard"),
    expected: "`all`, or a list of 1 to 100 different shard ids, each of 1 to 64 letters, digits, `-` or `_`",
    example: "all",
    check: |text| names_places(text, is_shard),
};
const NODE: Coordinate = coordinate("node_id", Need::OptionalWithout(Division::Shard.several()), "681390887981");

pub(super) static DCDB: KillSession = KillSession {
    name: "dcdb",
    mainland: &MAINLAND,
    // The vendor's international SDK (3.1.193, 2026) has neither `DescribeProcessList` nor `NodeId`.
    international: &Capabilities { coordinates: &[INSTANCE, SHARD, SERIAL, SHARDS], listing: None, ..MAINLAND },
    api: tencent::Api { name: "dcdb", version: "2018-04-11" },
    parameters: &[
        ("instance_id", "InstanceId"),
        ("shard_id", "ShardId"),
        ("shard_serial_id", "ShardSerialId"),
        ("node_id", "NodeId"),
    ],
    detail: "DescribeDCDBInstanceDetail",
    nodes,
    primaries: Some(primaries),
};

/// No shard is called like a node of another cloud: the name of a place tells what it is.
fn is_shard(text: &str) -> bool {
    is_name(text) && Division::of(text) == Division::Shard
}

/// The nodes of a shard. The detail of an instance has every shard under both of its names, with its nodes, in the form in
/// which other actions take them.
fn nodes(target: &Target, detail: &Value) -> Result<Vec<Value>, FaultKind> {
    let is_meant = |shard: &&Value| {
        let is = |name: &str, member: &str| target.coordinates.get(name).is_some_and(|known| shard[member] == **known);
        is("shard_id", "ShardInstanceId") || is("shard_serial_id", "ShardSerialId")
    };
    let shards = tencent::rows(detail, "Shards").ok_or(FaultKind::Unreadable)?;
    let shard = shards.iter().find(is_meant).ok_or(FaultKind::TargetNotFound)?;
    nodes_of(shard)
}

fn nodes_of(shard: &Value) -> Result<Vec<Value>, FaultKind> {
    Ok(json::rows(&shard["NodesInfo"]).ok_or(FaultKind::Unreadable)?.to_vec())
}

/// The primary of each shard that the target names and that there is; `None` where it has none now.
fn primaries(target: &Target, detail: &Value) -> Result<Primaries, FaultKind> {
    let wanted = target.places();
    let is_meant = |shard: &str| match &wanted {
        Some(Places::These(these)) => these.contains(&shard),
        Some(Places::All) | None => true,
    };
    let shards = tencent::rows(detail, "Shards").ok_or(FaultKind::Unreadable)?;
    let mut primaries = BTreeMap::new();
    for shard in shards {
        let id = json::text(&shard["ShardInstanceId"]).filter(|id| is_shard(id)).ok_or(FaultKind::Unreadable)?;
        if is_meant(&id) {
            primaries.insert(id, primary(&nodes_of(shard)?)?);
        }
    }
    Ok(primaries)
}

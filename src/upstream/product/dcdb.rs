//! Tencent DCDB (TDSQL for MySQL): [`KillSession`] on one shard.

use serde_json::Value;

use crate::domain::Target;

use super::killsession::{CAPABILITIES, KillSession, coordinate};
use crate::upstream::{Capabilities, Coordinate, FaultKind, Need, cloud::tencent, json};

const MAINLAND: Capabilities = Capabilities {
    product: "Tencent Cloud DCDB (TDSQL for MySQL)",
    coordinates: &[INSTANCE, SHARD, SERIAL, NODE],
    // A shard has an id and a serial id, each of which is its own; a node is one of a shard's, and without it the primary
    // is meant.
    tells_apart: &["instance_id", "shard_id", "shard_serial_id"],
    ..CAPABILITIES
};

const INSTANCE: Coordinate = coordinate("instance_id", Need::Required, "tdsqlshard-2gk4nxyz");
const SHARD: Coordinate = coordinate("shard_id", Need::OneOf("shard"), "shard-ljilb4st");
const SERIAL: Coordinate = coordinate("shard_serial_id", Need::OneOf("shard"), "set_1468379419_1");
const NODE: Coordinate = coordinate("node_id", Need::Optional, "681390887981");

pub(super) static DCDB: KillSession = KillSession {
    name: "dcdb",
    mainland: &MAINLAND,
    // The vendor's international SDK (3.1.193, 2026) has neither `DescribeProcessList` nor `NodeId`.
    international: &Capabilities { coordinates: &[INSTANCE, SHARD, SERIAL], listing: None, ..MAINLAND },
    api: tencent::Api { name: "dcdb", version: "2018-04-11" },
    parameters: &[
        ("instance_id", "InstanceId"),
        ("shard_id", "ShardId"),
        ("shard_serial_id", "ShardSerialId"),
        ("node_id", "NodeId"),
    ],
    detail: "DescribeDCDBInstanceDetail",
    nodes,
};

/// The nodes of a shard. The detail of an instance has every shard under both of its names, with its nodes, in the form in
/// which other actions take them.
fn nodes(target: &Target, detail: &Value) -> Result<Vec<Value>, FaultKind> {
    let is_meant = |shard: &&Value| {
        let is = |name: &str, member: &str| target.coordinates.get(name).is_some_and(|known| shard[member] == **known);
        is("shard_id", "ShardInstanceId") || is("shard_serial_id", "ShardSerialId")
    };
    let shards = tencent::rows(detail, "Shards").ok_or(FaultKind::Unreadable)?;
    let shard = shards.iter().find(is_meant).ok_or(FaultKind::TargetNotFound)?;
    Ok(json::rows(&shard["NodesInfo"]).ok_or(FaultKind::Unreadable)?.to_vec())
}

//! Tencent DCDB (TDSQL for MySQL): [`KillSession`] on one shard.

use serde_json::Value;

use crate::domain::{Order, Target, VendorName};

use super::killsession::{KILL, KillSession, OWN_USERS, coordinate};
use crate::upstream::{
    By, Call, Capabilities, Coordinate, Counting, Fault, FaultKind, IdRule, Known, ListFilter, ListingKind, Need, Own,
    Page, Reply, SelectorKind, Site, Step, Takes, Vendor, cloud::tencent, json,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Dcdb;

const MAINLAND: Capabilities = Capabilities {
    product: "Tencent Cloud DCDB (TDSQL for MySQL)",
    by: By::Cloud(&tencent::Tencent),
    coordinates: &[INSTANCE, SHARD, SERIAL, NODE],
    // A shard has an id and a serial id, each of which is its own; a node is one of a shard's, and without it the primary
    // is meant.
    tells_apart: &["instance_id", "shard_id", "shard_serial_id"],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids],
    // No maximum is published.
    max_ids_per_call: 100,
    most_ids_per_call: None,
    // "20 requests per second" for each action, on every page of this product.
    requests_per_second: 20,
    requests_per_minute: None,
    counting: Counting::ByAction { kill: KILL },
    can_follow_up: true,
    listing: Some(ListingKind { needs_one_of: &[], most: None, tells: &[] }),
    own: Own { users: OWN_USERS, commands: Own::MYSQL_COMMANDS, applications: &[] },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

static CAPABILITIES: Capabilities = MAINLAND;
/// The vendor's international SDK (3.1.193, 2026) has neither `DescribeProcessList` nor `NodeId`.
static INTERNATIONAL: Capabilities =
    Capabilities { coordinates: &[INSTANCE, SHARD, SERIAL], listing: None, ..MAINLAND };

const INSTANCE: Coordinate = coordinate("instance_id", Need::Required, "tdsqlshard-2gk4nxyz");
const SHARD: Coordinate = coordinate("shard_id", Need::OneOf("shard"), "shard-ljilb4st");
const SERIAL: Coordinate = coordinate("shard_serial_id", Need::OneOf("shard"), "set_1468379419_1");
const NODE: Coordinate = coordinate("node_id", Need::Optional, "681390887981");

static SCRIPT: KillSession = KillSession {
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

impl Vendor for Dcdb {
    fn name(&self) -> VendorName {
        VendorName("dcdb")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn capabilities_at(&self, site: Site) -> &'static Capabilities {
        match site {
            Site::Mainland => &CAPABILITIES,
            Site::International => &INTERNATIONAL,
        }
    }

    fn open(&self, order: &Order) -> Call {
        SCRIPT.open(order)
    }

    fn follow_up(&self, _: &Order, known: &Known) -> Option<Call> {
        SCRIPT.follow_up(known)
    }

    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault> {
        SCRIPT.next(order, known, reply)
    }

    fn list(&self, target: &Target, filter: &ListFilter, row: usize) -> Option<Call> {
        Some(SCRIPT.list(target, filter, row))
    }

    fn page(&self, target: &Target, row: usize, reply: &Reply) -> Result<Page, Fault> {
        SCRIPT.page(target, row, reply)
    }
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
    Ok(json::rows(&shard["NodesInfo"]).ok_or(FaultKind::Unreadable)?.to_vec())
}

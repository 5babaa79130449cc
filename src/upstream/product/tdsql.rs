//! Tencent TDSQL for MySQL/MariaDB, whose API is called `mariadb`: [`KillSession`] on a whole instance, without shards.

use serde_json::Value;

use crate::domain::Target;

use super::killsession::{CAPABILITIES, KillSession, coordinate, is_name};
use crate::upstream::{Capabilities, Coordinate, FaultKind, Need, cloud::tencent};

const MAINLAND: Capabilities = Capabilities {
    product: "Tencent Cloud TDSQL for MySQL/MariaDB",
    coordinates: &[INSTANCE, NODE],
    // Without a node the primary is meant.
    tells_apart: &["instance_id"],
    ..CAPABILITIES
};

const INSTANCE: Coordinate = Coordinate {
    expected: "`tdsql-` and up to 58 letters, digits, `-` or `_`",
    check: |text| text.starts_with("tdsql-") && is_name(text),
    ..coordinate("instance_id", Need::Required, "tdsql-e9tklsgz")
};
const NODE: Coordinate = coordinate("node_id", Need::Optional, "064eeaff8314");

pub(super) static TDSQL: KillSession = KillSession {
    name: "tdsql",
    mainland: &MAINLAND,
    // The vendor's international SDK (3.1.193, 2026) has neither a list nor `NodeId`.
    international: &Capabilities { coordinates: &[INSTANCE], listing: None, ..MAINLAND },
    api: tencent::Api { name: "mariadb", version: "2017-03-12" },
    parameters: &[("instance_id", "InstanceId"), ("node_id", "NodeId")],
    // `DescribeInstanceNodeInfo` has nodes too, under ids of 40 digits that no other action takes.
    detail: "DescribeDBInstanceDetail",
    nodes,
    primaries: None,
};

/// The nodes of an instance.
fn nodes(_: &Target, detail: &Value) -> Result<Vec<Value>, FaultKind> {
    Ok(tencent::rows(detail, "NodesInfo").ok_or(FaultKind::Unreadable)?.to_vec())
}

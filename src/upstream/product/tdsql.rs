//! Tencent TDSQL for MySQL/MariaDB, whose API is called `mariadb`: [`KillSession`] on a whole instance, without shards.

use serde_json::Value;

use crate::domain::{Order, Target, VendorName};

use super::killsession::{KILL, KillSession, OWN_USERS, coordinate, is_name};
use crate::upstream::{
    By, Call, Capabilities, Coordinate, Counting, Fault, FaultKind, IdRule, Known, ListFilter, ListingKind, Need, Own,
    Page, Reply, SelectorKind, Site, Step, Takes, Vendor, cloud::tencent,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Tdsql;

const MAINLAND: Capabilities = Capabilities {
    product: "Tencent Cloud TDSQL for MySQL/MariaDB",
    by: By::Cloud(&tencent::Tencent),
    coordinates: &[INSTANCE, NODE],
    // Without a node the primary is meant.
    tells_apart: &["instance_id"],
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
/// The vendor's international SDK (3.1.193, 2026) has neither a list nor `NodeId`.
static INTERNATIONAL: Capabilities = Capabilities { coordinates: &[INSTANCE], listing: None, ..MAINLAND };

const INSTANCE: Coordinate = Coordinate {
    expected: "`tdsql-` and up to 58 letters, digits, `-` or `_`",
    check: |text| text.starts_with("tdsql-") && is_name(text),
    ..coordinate("instance_id", Need::Required, "tdsql-e9tklsgz")
};
const NODE: Coordinate = coordinate("node_id", Need::Optional, "064eeaff8314");

static SCRIPT: KillSession = KillSession {
    api: tencent::Api { name: "mariadb", version: "2017-03-12" },
    parameters: &[("instance_id", "InstanceId"), ("node_id", "NodeId")],
    // `DescribeInstanceNodeInfo` has nodes too, under ids of 40 digits that no other action takes.
    detail: "DescribeDBInstanceDetail",
    nodes,
};

impl Vendor for Tdsql {
    fn name(&self) -> VendorName {
        VendorName("tdsql")
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

/// The nodes of an instance.
fn nodes(_: &Target, detail: &Value) -> Result<Vec<Value>, FaultKind> {
    Ok(tencent::rows(detail, "NodesInfo").ok_or(FaultKind::Unreadable)?.to_vec())
}

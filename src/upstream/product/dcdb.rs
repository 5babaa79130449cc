//! Tencent DCDB (TDSQL for MySQL): `KillSession`, an asynchronous task on one shard.
//!
//! Success means that the task was taken. What became of it is asked with `DescribeFlow`: that its flow id is
//! the task's id is our inference, so a flow that cannot be found leaves the outcome unknown, not failed.

use std::time::Duration;

use actix_web::http::Method;
use serde_json::{Map, Value, json};

use crate::domain::{Order, Outcome, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, Need, Next, Own, Page, Reply, SelectorKind, Site, Stage, Step, Vendor, cloud::tencent, json,
    process::Row,
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
    checks_likeness: false,
    cancels: false,
};

static CAPABILITIES: Capabilities = MAINLAND;
/// The vendor's international SDK (3.1.193, 2026) has neither `DescribeProcessList` nor `NodeId`.
static INTERNATIONAL: Capabilities =
    Capabilities { coordinates: &[INSTANCE, SHARD, SERIAL], listing: None, ..MAINLAND };

/// TDSQL keeps names with this beginning to itself; the rest is MySQL's own. No page lists them.
const OWN_USERS: &[&str] = &["tdsqlsys_*", "mysql.*", "mariadb.sys", "system user", "event_scheduler"];

const PROCESS: Row = Row {
    id: "Id",
    user: "User",
    host: "Host",
    database: "Db",
    command: Some("Command"),
    seconds: "Time",
    state: "State",
    statement: "Info",
};
/// Most rows of a page.
const PAGE: usize = 100;

/// Names of this product are 1 to 64 letters, digits, `-` or `_`; no prefix can be relied on.
const fn coordinate(name: &'static str, need: Need, example: &'static str) -> Coordinate {
    let expected = "1 to 64 letters, digits, `-` or `_`";
    Coordinate { name, need, expected, example, check: is_name }
}

fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(fine)
}

const INSTANCE: Coordinate = coordinate("instance_id", Need::Required, "tdsqlshard-2gk4nxyz");
const SHARD: Coordinate = coordinate("shard_id", Need::OneOf("shard"), "shard-ljilb4st");
const SERIAL: Coordinate = coordinate("shard_serial_id", Need::OneOf("shard"), "set_1468379419_1");
const NODE: Coordinate = coordinate("node_id", Need::Optional, "681390887981");

/// The coordinates as `KillSession` spells them.
const PARAMETERS: [(&str, &str); 4] = [
    ("instance_id", "InstanceId"),
    ("shard_id", "ShardId"),
    ("shard_serial_id", "ShardSerialId"),
    ("node_id", "NodeId"),
];

const KILL: &str = "KillSession";
const FLOW_PAUSE: Duration = Duration::from_millis(500);

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
        let ids: Vec<i64> = order.selector.ids().iter().filter_map(|id| id.0.parse().ok()).collect();
        let mut body = place(&order.target, &PARAMETERS);
        body.insert("SessionId".to_owned(), json!(ids));
        action("kill", Effect::Kill, KILL, &body.into())
    }

    fn follow_up(&self, _: &Order, known: &Known) -> Option<Call> {
        let flow: i64 = known.task_id.as_ref()?.parse().ok()?;
        Some(action("describe_flow", Effect::Read, "DescribeFlow", &json!({ "FlowId": flow })))
    }

    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault> {
        let response = match (tencent::answer(reply), reply.stage) {
            (Err(fault), "describe_flow") if fault.code.as_deref() == Some("InvalidParameter.FlowNotFound") => {
                return Ok(Step::Done(Answer::all(order, Outcome::Unknown).request(fault.request_id)));
            }
            (response, _) => response?,
        };
        let unreadable = || Fault { request_id: json::text(&response["RequestId"]), ..Fault::unreadable(reply) };
        let answer = if reply.stage == "describe_flow" {
            match response["Status"].as_i64().ok_or_else(unreadable)? {
                0 => Answer::all(order, Outcome::Killed),
                1 => Answer::all(order, Outcome::Failed),
                2 => {
                    let again = self.follow_up(order, known).ok_or_else(unreadable)?;
                    return Ok(Step::Wait { pause: FLOW_PAUSE, then: again });
                }
                _ => Answer::all(order, Outcome::Unknown),
            }
        } else {
            let task = response.get("TaskId").and_then(json::id).ok_or_else(unreadable)?;
            Answer::all(order, Outcome::Accepted).task(task)
        };
        Ok(Step::Done(answer.request(json::text(&response["RequestId"]))))
    }

    /// Processes are listed by node. A kill without one goes to the primary, so that is asked for first.
    fn list(&self, target: &Target, filter: &ListFilter, row: usize) -> Option<Call> {
        if !target.coordinates.contains_key("node_id") {
            let body = place(target, &PARAMETERS[..1]);
            return Some(action("detail", Effect::Read, "DescribeDCDBInstanceDetail", &body.into()));
        }
        let mut body = place(target, &PARAMETERS);
        let filters: Vec<_> = [("user", &filter.user), ("db", &filter.database)]
            .into_iter()
            .filter_map(|(name, value)| Some(json!({ "Name": name, "Values": [value.as_ref()?] })))
            .collect();
        if !filters.is_empty() {
            body.insert("Filters".to_owned(), filters.into());
        }
        body.extend([("Offset".to_owned(), json!(row)), ("Limit".to_owned(), json!(PAGE))]);
        Some(action("list", Effect::Read, "DescribeProcessList", &body.into()))
    }

    fn page(&self, target: &Target, row: usize, reply: &Reply) -> Result<Page, Fault> {
        let response = tencent::answer(reply)?;
        let page = if reply.stage == "detail" {
            primary(target, &response).map(Page::At)
        } else {
            let sessions = tencent::rows(&response, "ProcessList").and_then(|rows| PROCESS.read_each(rows));
            sessions.ok_or(FaultKind::Unreadable).map(|sessions| {
                // No total is told, so that only a page with nothing new is known to be the last.
                let next = Next::Perhaps(row + sessions.len());
                Page::Sessions { sessions, next, total: None }
            })
        };
        page.map_err(|kind| Fault { request_id: json::text(&response["RequestId"]), ..Fault::of(kind, reply) })
    }
}

/// The place with the node that is its shard's primary now. The detail of an instance has every shard under both of its
/// names, with its nodes, in the form in which other actions take them.
fn primary(target: &Target, detail: &Value) -> Result<Target, FaultKind> {
    let is_meant = |shard: &&Value| {
        let is = |name: &str, member: &str| target.coordinates.get(name).is_some_and(|known| shard[member] == **known);
        is("shard_id", "ShardInstanceId") || is("shard_serial_id", "ShardSerialId")
    };
    let shards = tencent::rows(detail, "Shards").ok_or(FaultKind::Unreadable)?;
    let shard = shards.iter().find(is_meant).ok_or(FaultKind::TargetNotFound)?;
    let nodes = json::rows(&shard["NodesInfo"]).ok_or(FaultKind::Unreadable)?;
    let node = nodes.iter().find(|node| node["Role"] == "master").ok_or(FaultKind::TargetNotFound)?;
    let node = json::text(&node["NodeId"]).filter(|node| is_name(node)).ok_or(FaultKind::Unreadable)?;
    let mut target = target.clone();
    target.coordinates.insert("node_id", node);
    Ok(target)
}

/// These coordinates of a target, as the product spells them.
fn place(target: &Target, parameters: &[(&str, &str)]) -> Map<String, Value> {
    let given = |(coordinate, parameter): &(&str, &str)| {
        let value = target.coordinates.get(*coordinate)?;
        Some(((*parameter).to_owned(), json!(value)))
    };
    parameters.iter().filter_map(given).collect()
}

/// One action of API 3.0: POST with JSON, the action named in a header.
fn action(stage: Stage, effect: Effect, name: &'static str, body: &Value) -> Call {
    let headers = vec![("x-tc-action", name), ("x-tc-version", "2018-04-11")];
    Call::json(stage, effect, name, Method::POST, "/".to_owned(), body).with_headers(headers)
}

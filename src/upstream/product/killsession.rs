//! `KillSession` of Tencent's TDSQL products: the same script at two services, an asynchronous task on one node.
//!
//! Success means that the task was taken. What became of it is asked with `DescribeFlow`: that its flow id is
//! the task's id is our inference, so a flow that cannot be found leaves the outcome unknown, not failed.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use crate::domain::{Order, Outcome, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, Need, Next, Own, Page, Reply, SelectorKind, Site, Step, Takes, Vendor, cloud::tencent, json,
    process::Row,
};

/// What one of the products has of its own.
#[derive(Debug)]
pub(super) struct KillSession {
    pub(super) name: &'static str,
    pub(super) mainland: &'static Capabilities,
    pub(super) international: &'static Capabilities,
    pub(super) api: tencent::Api,
    /// The coordinates as `KillSession` spells them, the instance first.
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// The action that tells an instance's nodes.
    pub(super) detail: &'static str,
    /// The nodes of the place in the answer to it; `None` where it cannot be read.
    pub(super) nodes: fn(&Target, &Value) -> Result<Vec<Value>, FaultKind>,
    /// The primary of each of several shards in that answer; `None` where the product has no shards.
    pub(super) primaries: Option<FindPrimaries>,
}

type FindPrimaries = fn(&Target, &Value) -> Result<Primaries, FaultKind>;

/// The primary of each shard, where it has one.
pub(super) type Primaries = BTreeMap<String, Option<String>>;

/// What both of them can do; which products they are and their coordinates are their own.
pub(super) const CAPABILITIES: Capabilities = Capabilities {
    product: "",
    by: By::Cloud(&tencent::Tencent),
    coordinates: &[],
    tells_apart: &[],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids],
    // No maximum is published.
    max_ids_per_call: 100,
    most_ids_per_call: None,
    // "20 requests per second" for each action, on every page of these products.
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

/// TDSQL keeps names with this beginning to itself; the rest is MySQL's own. No page lists them.
const OWN_USERS: &[&str] = &["tdsqlsys_*", "mysql.*", "mariadb.sys", "system user", "event_scheduler"];

const KILL: &str = "KillSession";

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
const FLOW_PAUSE: Duration = Duration::from_millis(500);

/// Names of these products are 1 to 64 letters, digits, `-` or `_`; no prefix can be relied on.
pub(super) const fn coordinate(name: &'static str, need: Need, example: &'static str) -> Coordinate {
    let expected = "1 to 64 letters, digits, `-` or `_`";
    Coordinate { name, need, expected, example, check: is_name }
}

pub(super) fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(fine)
}

impl Vendor for KillSession {
    fn name(&self) -> VendorName {
        VendorName(self.name)
    }

    fn capabilities(&self) -> &'static Capabilities {
        self.mainland
    }

    fn capabilities_at(&self, site: Site) -> &'static Capabilities {
        match site {
            Site::Mainland => self.mainland,
            Site::International => self.international,
        }
    }

    fn open(&self, order: &Order) -> Call {
        let ids = order.selector.numbers();
        let mut body = place(&order.target, self.parameters);
        body.insert("SessionId".to_owned(), json!(ids));
        self.api.call("kill", Effect::Kill, KILL, &body)
    }

    fn follow_up(&self, _: &Order, known: &Known) -> Option<Call> {
        let flow: i64 = known.task_id.as_ref()?.parse().ok()?;
        Some(self.api.call("describe_flow", Effect::Read, "DescribeFlow", &json!({ "FlowId": flow })))
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
        if !target.has_node() {
            let body = place(target, &self.parameters[..1]);
            return Some(self.api.call("detail", Effect::Read, self.detail, &body));
        }
        let mut body = place(target, self.parameters);
        let filters: Vec<_> = [("user", &filter.user), ("db", &filter.database)]
            .into_iter()
            .filter_map(|(name, value)| Some(json!({ "Name": name, "Values": [value.as_ref()?] })))
            .collect();
        if !filters.is_empty() {
            body.insert("Filters".to_owned(), filters.into());
        }
        body.extend([("Offset".to_owned(), json!(row)), ("Limit".to_owned(), json!(PAGE))]);
        Some(self.api.call("list", Effect::Read, "DescribeProcessList", &body))
    }

    fn page(&self, target: &Target, row: usize, reply: &Reply) -> Result<Page, Fault> {
        let response = tencent::answer(reply)?;
        let page = if reply.stage == "detail" {
            self.exactly(target, &response).map(Page::At)
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

impl KillSession {
    /// The place with the node that is its primary now; of several shards, with each one's.
    fn exactly(&self, target: &Target, detail: &Value) -> Result<Target, FaultKind> {
        if let Some(primaries) = self.primaries.filter(|_| target.division().is_some()) {
            let target = target.on_nodes(&primaries(target, detail)?);
            return if target.has_node() { Ok(target) } else { Err(FaultKind::TargetNotFound) };
        }
        let node = primary(&(self.nodes)(target, detail)?)?.ok_or(FaultKind::TargetNotFound)?;
        let mut target = target.clone();
        target.coordinates.insert("node_id", node);
        Ok(target)
    }
}

/// The primary among these nodes; `None` where none is.
pub(super) fn primary(nodes: &[Value]) -> Result<Option<String>, FaultKind> {
    let Some(node) = nodes.iter().find(|node| node["Role"] == "master") else { return Ok(None) };
    let node = json::text(&node["NodeId"]).filter(|node| is_name(node)).ok_or(FaultKind::Unreadable)?;
    Ok(Some(node))
}

/// These coordinates of a target, as the product spells them.
fn place(target: &Target, parameters: &[(&str, &str)]) -> Map<String, Value> {
    let given = |(coordinate, parameter): &(&str, &str)| {
        let value = target.coordinates.get(*coordinate)?;
        Some(((*parameter).to_owned(), json!(value)))
    };
    parameters.iter().filter_map(given).collect()
}

//! Tencent DBbrain, for TencentDB for MySQL and TDSQL-C for MySQL: `KillMySqlThreads`, in two steps.
//!
//! `Prepare` changes nothing and gives an id; `Commit` with that id, within ten seconds, ends the threads and names those that
//! it ended. A thread that it does not name may live. With `RecordHistory`, which is the vendor's default, threads that
//! are not there would call a kill off, as a whole as far as anybody can tell, so it is switched off: who is there is looked at
//! first anyway. Whether an id of `Commit` runs twice is nowhere stated; none is ever sent twice. The
//! list has neither pages nor a total.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::{Order, Outcome, Session, SessionId, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, NOT_REPORTED, Need, Next, Own, Page, Reply, SelectorKind, Site, Step, Takes, Vendor, cloud::tencent,
    json, process::Row,
};

/// See the module.
#[derive(Debug)]
pub(super) struct DbBrain;

const MAINLAND: Capabilities = Capabilities {
    product: "Tencent Cloud DBbrain, for TencentDB for MySQL and TDSQL-C for MySQL",
    by: By::Cloud(&tencent::Tencent),
    coordinates: &[INSTANCE],
    tells_apart: &["instance_id"],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids],
    // No maximum is published; the console ends 100 at a time.
    max_ids_per_call: 100,
    most_ids_per_call: None,
    // "20 requests per second" for each action; both steps of a kill are one action.
    requests_per_second: 20,
    requests_per_minute: None,
    counting: Counting::ByAction { kill: KILL },
    can_follow_up: false,
    listing: Some(ListingKind { needs_one_of: &[], most: Some(MOST_ROWS), tells: &[] }),
    own: Own { users: OWN_USERS, commands: Own::MYSQL_COMMANDS, applications: &[] },
    takes: Takes::Ids,
    steps: 2,
    cancels: false,
};

static CAPABILITIES: Capabilities = MAINLAND;
/// The international SDK (3.1.193, 2026) has the kill and no list of processes.
static INTERNATIONAL: Capabilities = Capabilities { listing: None, ..MAINLAND };

/// TencentDB keeps these names to itself; the rest is MySQL's own.
const OWN_USERS: &[&str] =
    &["tencentroot", "tencentdb_*", "cdb_*", "tdsqlsys_*", "mysql.*", "system user", "event_scheduler"];

/// Every member of a process is a text.
const PROCESS: Row = Row {
    id: "ID",
    user: "User",
    host: "Host",
    database: "DB",
    command: Some("Command"),
    seconds: "Time",
    state: "State",
    statement: "Info",
};

const INSTANCE: Coordinate = Coordinate {
    name: "instance_id",
    need: Need::Required,
    expected: "the id of an instance of TencentDB for MySQL (`cdb-…`, `cdbro-…`) or of TDSQL-C for MySQL (`cynosdbmysql-…`)",
    example: "cdb-5e3wqzx1",
    check: |text| PRODUCTS.iter().any(|(prefix, _)| text.strip_prefix(prefix).is_some_and(is_name)),
};
/// How the ids of each product's instances begin, and what the API calls it.
const PRODUCTS: [(&str, &str); 3] = [("cdb-", "mysql"), ("cdbro-", "mysql"), ("cynosdbmysql-", "cynosdb")];

fn is_name(text: &str) -> bool {
    (1..=48).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

const API: tencent::Api = tencent::Api { name: "dbbrain", version: "2021-05-27" };
const KILL: &str = "KillMySqlThreads";
/// For how long after `Prepare` has left `Commit` may leave: the vendor's ten seconds, less what the way takes.
const COMMIT_WITHIN: Duration = Duration::from_secs(8);
/// The most that a list is asked for. The vendor publishes no maximum.
const MOST_ROWS: usize = 1000;

impl Vendor for DbBrain {
    fn name(&self) -> VendorName {
        VendorName("dbbrain")
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
        let ids = order.selector.numbers();
        let body = json!({
            "InstanceId": order.target.coordinate("instance_id"), "Product": product(&order.target),
            "Stage": "Prepare", "Threads": ids, "RecordHistory": false,
        });
        API.call(PREPARE, Effect::Read, KILL, &body)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None // No task; the list tells.
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        let response = tencent::answer(reply).map_err(|fault| of_preparing(fault, reply))?;
        let request_id = json::text(&response["RequestId"]);
        let unreadable = || Fault { request_id: request_id.clone(), ..Fault::unreadable(reply) };
        if reply.effect == Effect::Read {
            let exec_id = json::text(&response["SqlExecId"]).ok_or_else(unreadable)?;
            return Ok(Step::Commit { call: commit(order, &exec_id), within: COMMIT_WITHIN });
        }
        let sessions = killed(order, &response["Threads"]).ok_or_else(unreadable)?;
        Ok(Step::Done(Answer::each(sessions).request(request_id)))
    }

    fn list(&self, target: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        let body = json!({
            "InstanceId": target.coordinate("instance_id"), "Product": product(target), "Limit": MOST_ROWS,
        });
        Some(API.call("list", Effect::Read, "DescribeMySqlProcessList", &body))
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        let response = tencent::answer(reply)?;
        let sessions = tencent::rows(&response, "ProcessList").and_then(|rows| PROCESS.read_each(rows));
        let unreadable = || Fault { request_id: json::text(&response["RequestId"]), ..Fault::unreadable(reply) };
        let sessions = sessions.ok_or_else(unreadable)?;
        // As many as were asked for are taken for a part.
        let next = if sessions.len() < MOST_ROWS { Next::End } else { Next::Cut };
        Ok(Page::Sessions { sessions, next, total: None })
    }
}

const PREPARE: &str = "prepare";

/// What the API calls the product of a target.
fn product(target: &Target) -> &'static str {
    let id = target.coordinate("instance_id");
    PRODUCTS.iter().find(|(prefix, _)| id.starts_with(prefix)).map_or("mysql", |(_, product)| product)
}

fn commit(order: &Order, exec_id: &str) -> Call {
    let body = json!({
        "InstanceId": order.target.coordinate("instance_id"), "Product": product(&order.target),
        "Stage": "Commit", "SqlExecId": exec_id,
    });
    API.call("commit", Effect::Kill, KILL, &body)
}

/// A failure while it was prepared: nothing can have run, so it is a refusal and not worth another try.
fn of_preparing(fault: Fault, reply: &Reply) -> Fault {
    let has_failed = fault.code.as_deref().is_some_and(|code| code.split('.').next() == Some("FailedOperation"));
    let is_refusal = reply.effect == Effect::Read && fault.kind == FaultKind::ServerError && has_failed;
    if is_refusal { Fault { kind: FaultKind::Refused, ..fault } } else { fault }
}

/// What became of each session. `None` where the answer names any that was not asked for: the vendor's sample has a `0`
/// there.
fn killed(order: &Order, threads: &Value) -> Option<Vec<Session>> {
    let killed = json::ids(threads)?;
    let ids = order.selector.ids();
    let are_ours = killed.iter().all(|id| ids.iter().any(|asked| asked.0 == *id));
    let outcome = |id: &SessionId| {
        if killed.contains(&id.0) {
            Session::new(id, Outcome::Killed)
        } else {
            Session::new(id, Outcome::Failed).because(NOT_REPORTED)
        }
    };
    are_ours.then(|| ids.iter().map(outcome).collect())
}

//! Alibaba Cloud Database Autonomy Service (DAS), for RDS for MySQL and PolarDB for MySQL:
//! `CreateKillInstanceSessionTaskWithMaintainUser`, a task that tells a reason for each session.
//!
//! Of two actions that do the same this is the one that takes no database account: the other one wants its password in the
//! query, where anything on the way may write it down. The SDK has it and no page of the vendor's does, so whether it is open to
//! everybody is not certain. The list is gathered: the first call gives an id, and with that it is asked for until it
//! is there. It has no pages, and a total. One node of a PolarDB cluster must be named; an instance of RDS has none.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::{Order, Outcome, Session, SessionId, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, Need, Next, Own, Page, Reply, SelectorKind, Stage, Step, Takes, Vendor, cloud::alibaba, json,
    process::Row,
};

/// See the module.
#[derive(Debug)]
pub(super) struct AliDas;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Alibaba Cloud DAS, for RDS for MySQL and PolarDB for MySQL",
    by: By::Cloud(&alibaba::Alibaba),
    coordinates: &[INSTANCE, NODE],
    // Every node is a server of its own.
    tells_apart: &["instance_id", "node_id"],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids],
    // No maximum is published.
    max_ids_per_call: 100,
    most_ids_per_call: None,
    // No rate is published.
    requests_per_second: 5,
    requests_per_minute: None,
    counting: Counting::Together,
    can_follow_up: true,
    listing: Some(ListingKind { needs_one_of: &[], most: None, tells: &[] }),
    own: Own { users: OWN_USERS, commands: Own::MYSQL_COMMANDS, applications: &[] },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

/// Accounts that the vendor keeps for itself, as they are seen on its instances; the task spares internal users by itself.
/// The rest is MySQL's own.
const OWN_USERS: &[&str] = &[
    "aurora",
    "aurora_proxy",
    "aliyun_root",
    "rds_service",
    "replicator",
    "mysql.*",
    "system user",
    "event_scheduler",
];

const SESSION: Row = Row {
    id: "SessionId",
    user: "User",
    host: "Client",
    database: "DbName",
    command: Some("Command"),
    seconds: "Time",
    state: "State",
    statement: "SqlText",
};

const INSTANCE: Coordinate = Coordinate {
    name: "instance_id",
    need: Need::Required,
    expected: "the id of an instance of RDS for MySQL (`rm-…`) or of a cluster of PolarDB for MySQL (`pc-…`)",
    example: "rm-bp1qw8t3xkz0c5m7n",
    check: |text| is_id(text, "rm-") || is_id(text, "pc-"),
};
const NODE: Coordinate = Coordinate {
    name: "node_id",
    need: Need::Where { other: "instance_id", begins: "pc-" },
    expected: "the id of a node of a PolarDB cluster (`pi-…`), which must be given there and nowhere else",
    example: "pi-bp1h5k2x9v4c8d3z6",
    check: |text| is_id(text, "pi-"),
};

fn is_id(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    (1..=60).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

const VERSION: &str = "2020-01-16";
const TASK_PAUSE: Duration = Duration::from_secs(1);
const LIST_PAUSE: Duration = Duration::from_millis(500);

impl Vendor for AliDas {
    fn name(&self) -> VendorName {
        VendorName("alidas")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        let ids = order.selector.numbers();
        let kill = [("SessionIds", json!(ids).to_string()), ("KillAllSessions", "false".to_owned())];
        call("kill", Effect::Kill, "CreateKillInstanceSessionTaskWithMaintainUser", &order.target, kill)
    }

    fn follow_up(&self, order: &Order, known: &Known) -> Option<Call> {
        let task = [("TaskId", known.task_id.clone()?)];
        Some(call("task", Effect::Read, "GetKillInstanceSessionTaskResult", &order.target, task))
    }

    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault> {
        let body = alibaba::answer(reply)?;
        let request_id = json::text(&body["RequestId"]);
        let unreadable = || Fault { request_id: request_id.clone(), ..Fault::unreadable(reply) };
        let answer = if reply.stage == "task" {
            let data = &body["Data"];
            let state = json::text(&data["TaskState"]).ok_or_else(unreadable)?;
            if state == "RUNNING" {
                let again = self.follow_up(order, known).ok_or_else(unreadable)?;
                return Ok(Step::Wait { pause: TASK_PAUSE, then: again });
            }
            let rows = json::rows(&data["Result"]).ok_or_else(unreadable)?;
            Answer::each(order.selector.ids().iter().map(|id| told(id, &state, rows)).collect())
        } else {
            // A list as text is the answer to something else: all sessions of a cluster.
            let task = json::id(&body["Data"]).filter(|task| !task.starts_with('['));
            Answer::all(order, Outcome::Accepted).task(task.ok_or_else(unreadable)?)
        };
        Ok(Step::Done(answer.request(request_id)))
    }

    fn list(&self, target: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        Some(call("list", Effect::Read, LIST, target, []))
    }

    fn page(&self, target: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        let body = alibaba::answer(reply)?;
        let request_id = json::text(&body["RequestId"]);
        let fault = |kind| Fault { request_id: request_id.clone(), ..Fault::of(kind, reply) };
        let data = &body["Data"];
        if json::text(&data["State"]).is_some_and(|state| state.starts_with("FAIL")) {
            return Err(fault(FaultKind::ServerError));
        }
        if data["IsFinish"] == false {
            let result = json::id(&data["ResultId"]).ok_or_else(|| fault(FaultKind::Unreadable))?;
            let call = call("list", Effect::Read, LIST, target, [("ResultId", result)]);
            return Ok(Page::Later { call, pause: LIST_PAUSE });
        }
        let page = || {
            let sessions = SESSION.read_all(data["SessionData"].get("SessionList")?)?;
            let total = json::id(&data["SessionData"]["TotalSessionCount"])?.parse().ok()?;
            Some(Page::Sessions { sessions, next: Next::End, total: Some(total) })
        };
        page().filter(|_| data["IsFinish"] == true).ok_or_else(|| fault(FaultKind::Unreadable))
    }
}

const LIST: &str = "GetMySQLAllSessionAsync";

/// One action about the sessions of a target.
fn call<const N: usize>(
    stage: Stage,
    effect: Effect,
    action: &'static str,
    target: &Target,
    more: [(&'static str, String); N],
) -> Call {
    let node = target.coordinates.get("node_id").map(|node| ("NodeId", node.clone()));
    let place = [("InstanceId", target.coordinate("instance_id").to_owned())].into_iter().chain(node);
    alibaba::call(stage, effect, VERSION, action, place.chain(more).collect())
}

/// What a task that has ended tells of a session. One that it leaves out was not ended where the task failed, and else
/// nobody knows.
fn told(id: &SessionId, state: &str, rows: &[Value]) -> Session {
    let row = rows.iter().find(|row| json::id(&row["Id"]).is_some_and(|other| other == id.0));
    let reason = row.and_then(|row| json::text(&row["Reason"]));
    let (outcome, why) = match (reason.as_deref(), state) {
        (Some("SESSION_KILLED"), _) => return Session::new(id, Outcome::Killed),
        (Some("SESSION_EXPIRED"), _) => (Outcome::NotFound, "not there when it was to be ended"),
        (Some("SESSION_NO_PERMISSION" | "SESSION_ACCOUNT_ERROR"), _) => {
            (Outcome::Failed, "the vendor's account has no right to end it")
        }
        (Some("SESSION_IGNORED_USER" | "SESSION_INTERNAL_USER_OR_COMMAND"), _) => {
            (Outcome::Failed, "the vendor spares it")
        }
        (None, "FAILURE") => (Outcome::Failed, "the task failed"),
        _ => return Session::new(id, Outcome::Unknown),
    };
    Session::new(id, outcome).because(why)
}

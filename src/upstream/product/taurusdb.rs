//! Huawei TaurusDB: `DELETE …/instances/{id}/nodes/{id}/processes` with a body, and
//! `POST …/instances/{id}/intelligent-kill-session`, where the database picks.
//!
//! Killing by ids answers with two lists; internal threads are skipped without an error, so the lists need not
//! add up to what was asked. The intelligent kill is a task whose only trace is the history. Threads are listed in
//! pages; internal ones are not among them. Several nodes, each a server of its own, may be one target.

use std::time::Duration;

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::{
    clock::unix_millis,
    domain::{Division, Order, Outcome, Selector, Session, SessionId, Target, VendorName},
};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, NOT_REPORTED, Need, Own, Page, Reply, SelectorKind, Step, Takes, Vendor, cloud::huawei,
    coordinates::names_places, json, process::Row,
};

/// See the module.
#[derive(Debug)]
pub(super) struct TaurusDb;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Huawei Cloud TaurusDB",
    by: By::Cloud(&huawei::Huawei),
    coordinates: &[INSTANCE, NODE, NODES],
    // Every node is a server of its own.
    tells_apart: &["instance_id", "node_id"],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids, SelectorKind::Intelligent],
    // "1 to 20" in the vendor's own definition of the API (2026).
    max_ids_per_call: 20,
    most_ids_per_call: Some(20),
    requests_per_second: 5,
    // "60 calls a minute for each user" in the guide of the RDS family (2026), whose gateway these calls share a policy
    // with; that it is the same figure is our reading.
    requests_per_minute: Some(60),
    counting: Counting::Together,
    can_follow_up: true,
    listing: Some(ListingKind { needs_one_of: &[], most: None, tells: &[] }),
    own: Own { users: OWN_USERS, commands: Own::MYSQL_COMMANDS, applications: &[] },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

/// "System accounts" of the user guide (2025), and MySQL's own.
const OWN_USERS: &[&str] =
    &["rdsAdmin", "rdsRepl", "rdsBackup", "rdsMetric", "rdsProxy", "mysql.*", "system user", "event_scheduler"];

const THREAD: Row = Row {
    id: "id",
    user: "user",
    host: "host",
    database: "db",
    command: Some("command"),
    seconds: "time",
    state: "state",
    statement: "info",
};

const INSTANCE: Coordinate = huawei::required(
    "instance_id",
    "36 letters or digits ending in `in07`",
    "e09fb1b1c8ab4c9d8b3bb8f0e6c3a2f1in07",
    |text| huawei::tagged(text, "in07"),
);
const NODE: Coordinate = Coordinate {
    name: Division::Node.one(),
    need: Need::OneOf("node"),
    expected: "36 letters or digits ending in `no07`",
    example: "0b2f8e6a5d4c4b3a9e8d7c6b5a4f3e2dno07",
    check: is_node,
};
const NODES: Coordinate = Coordinate {
    name: Division::Node.several(),
    need: Need::OneOf("node"),
    expected: "`all`, or a list of 1 to 100 different node ids, each of 36 letters or digits ending in `no07`",
    example: "all",
    check: |text| names_places(text, is_node),
};

fn is_node(text: &str) -> bool {
    huawei::tagged(text, "no07")
}

/// How long before the kill, and after now, the history is searched: clocks differ.
const HISTORY_MARGIN_MS: i64 = 300_000;
/// The instance with its nodes.
const INSTANCE_STAGE: &str = "instance";
const HISTORY_PAUSE: Duration = Duration::from_secs(2);
/// Longest link that is kept.
const MOST_LINK: usize = 500;

impl Vendor for TaurusDb {
    fn name(&self) -> VendorName {
        VendorName("taurusdb")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        if matches!(order.selector, Selector::Intelligent) {
            let (instance, node) = (order.target.coordinate("instance_id"), order.target.coordinate("node_id"));
            let path = format!("/v3/{{project_id}}/instances/{instance}/intelligent-kill-session");
            let body = json!({ "node_id": node });
            let action = "intelligent-kill-session";
            return Call::json("intelligent_kill", Effect::Kill, action, Method::POST, path, &body);
        }
        let ids = order.selector.numbers();
        Call::json(
            "kill",
            Effect::Kill,
            "delete-processes",
            Method::DELETE,
            processes(&order.target),
            &json!({ "processes": ids }),
        )
    }

    fn follow_up(&self, order: &Order, known: &Known) -> Option<Call> {
        let has_task = known.task_id.is_some() && matches!(order.selector, Selector::Intelligent);
        has_task.then(|| history(order, known))
    }

    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault> {
        huawei::answer(reply, |http| {
            let body = json::read(&http.body)?;
            let answer = match reply.stage {
                "intelligent_kill" => Answer::all(order, Outcome::Accepted).task(json::id(&body["task_id"])?),
                "intelligent_history" => match runs(&body)?.iter().find(|run| is_over(known, run)) {
                    Some(run) => Answer::all(order, Outcome::Killed).evidence(link(run)),
                    None => return Some(Ok(Step::Wait { pause: HISTORY_PAUSE, then: history(order, known) })),
                },
                _ => read_lists(order, &body)?,
            };
            Some(Ok(Step::Done(answer.request(http.request_id.clone()))))
        })
    }

    fn list(&self, target: &Target, _: &ListFilter, row: usize) -> Option<Call> {
        if !target.has_node() {
            let path = format!("/v3/{{project_id}}/instances/{}", target.coordinate("instance_id"));
            return Some(Call::get(INSTANCE_STAGE, "instance", path, vec![]));
        }
        Some(Call::get("list", "processes", processes(target), huawei::page_from(row).into()))
    }

    fn page(&self, target: &Target, row: usize, reply: &Reply) -> Result<Page, Fault> {
        if reply.stage == INSTANCE_STAGE {
            return huawei::answer(reply, |http| {
                let nodes = nodes(&json::read(&http.body)?)?;
                let each = || Page::At(target.at_each(nodes.iter().map(String::as_str)));
                Some(if nodes.is_empty() { Err(Fault::of(FaultKind::TargetNotFound, reply)) } else { Ok(each()) })
            });
        }
        huawei::page(reply, row, &THREAD, "processes", "total_count")
    }

    fn pick(&self, target: &Target) -> Option<Call> {
        let instance = target.coordinate("instance_id");
        let path = format!("/v3/{{project_id}}/instances/{instance}/intelligent-kill-session/statistic");
        let query = vec![("node_id", target.coordinate("node_id").to_owned())];
        Some(Call::get("intelligent_preview", "intelligent-kill-session/statistic", path, query))
    }

    fn picked(&self, reply: &Reply) -> Result<Vec<SessionId>, Fault> {
        huawei::picked(reply)
    }
}

/// The nodes of an instance, of whatever role and status: one that cannot be listed says so itself.
fn nodes(body: &Value) -> Option<Vec<String>> {
    let instance = body.get("instance").filter(|instance| instance.is_object())?;
    json::rows(&instance["nodes"])?.iter().map(|node| json::text(&node["id"]).filter(|id| is_node(id))).collect()
}

fn processes(target: &Target) -> String {
    let (instance, node) = (target.coordinate("instance_id"), target.coordinate("node_id"));
    format!("/v3/{{project_id}}/instances/{instance}/nodes/{node}/processes")
}

/// The runs around this kill. The query takes milliseconds as text, the reply has seconds.
fn history(order: &Order, known: &Known) -> Call {
    let path = format!(
        "/v3/{{project_id}}/instances/{}/intelligent-kill-session/history",
        order.target.coordinate("instance_id")
    );
    let query = vec![
        ("node_id", order.target.coordinate("node_id").to_owned()),
        ("start_time", (unix_millis(known.sent_at) - HISTORY_MARGIN_MS).to_string()),
        ("end_time", (unix_millis(known.now) + HISTORY_MARGIN_MS).to_string()),
        ("limit", "100".to_owned()),
        ("offset", "0".to_owned()),
    ];
    Call::get("intelligent_history", "intelligent-kill-session/history", path, query)
}

/// Whether a run of the history is the task's. It lists runs that have ended: 13 and 62 seconds after their task was made in the
/// samples of the vendor's own definition.
fn is_over(known: &Known, run: &Value) -> bool {
    json::id(&run["task_id"]) == known.task_id && !run["end_time"].is_null()
}

fn runs(body: &Value) -> Option<&[Value]> {
    json::rows(body.get("intelligent_kill_session_histories")?)
}

/// Where the vendor keeps the list of the sessions that a run ended. For how long, and in what form, is not documented.
fn link(run: &Value) -> Option<String> {
    let link = json::text(&run["download_link"])?;
    let fine = link.len() <= MOST_LINK && link.starts_with("https://") && !link.contains(char::is_control);
    fine.then_some(link)
}

fn read_lists(order: &Order, body: &Value) -> Option<Answer> {
    let killed = json::ids(&body["processes_killed"])?;
    let not_found = json::ids(&body["processes_not_found"])?;
    let sessions = order.selector.ids().iter().map(|id| {
        if killed.contains(&id.0) {
            Session::new(id, Outcome::Killed)
        } else if not_found.contains(&id.0) {
            Session::new(id, Outcome::NotFound)
        } else {
            Session::new(id, Outcome::Failed).because(NOT_REPORTED)
        }
    });
    Some(Answer::each(sessions.collect()))
}

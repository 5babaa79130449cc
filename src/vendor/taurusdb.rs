//! Huawei TaurusDB: `DELETE …/instances/{id}/nodes/{id}/processes` with a body, and
//! `POST …/instances/{id}/intelligent-kill-session`, where the database picks.
//!
//! Killing by ids answers with two lists; internal threads are skipped without an error, so the lists need not
//! add up to what was asked. The intelligent kill is a task whose only trace is the history. Threads are listed in
//! pages; internal ones are not among them.

use std::{collections::HashSet, time::Duration};

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::{
    clock::unix_millis,
    domain::{Match, Order, Outcome, Selector, Session, SessionId, Target, VendorName},
};

use super::{
    Answer, Call, Capabilities, Cloud, Coordinate, Effect, Fault, IdRule, Known, ListingKind, Own, Page, Reply,
    SelectorKind, Step, Vendor, huawei, json, process::Row,
};

/// See the module.
#[derive(Debug)]
pub(super) struct TaurusDb;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Huawei Cloud TaurusDB",
    cloud: Cloud::Huawei,
    coordinates: &[INSTANCE, NODE],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids, SelectorKind::Intelligent],
    // Nothing is published for the API; the vendor's own console allows 20 sessions a kill.
    max_ids_per_call: 20,
    requests_per_second: 5,
    counted_per_action: false,
    can_look: true,
    listing: Some(ListingKind { needs_one_of: &[], most: None }),
    own: Own { users: OWN_USERS, commands: Own::MYSQL_COMMANDS },
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
const NODE: Coordinate = huawei::required(
    "node_id",
    "36 letters or digits ending in `no07`",
    "0b2f8e6a5d4c4b3a9e8d7c6b5a4f3e2dno07",
    |text| huawei::tagged(text, "no07"),
);

/// How long before the kill, and after now, the history is searched: clocks differ.
const HISTORY_MARGIN_MS: i64 = 300_000;
const HISTORY_PAUSE: Duration = Duration::from_secs(2);

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
        let ids: Vec<i64> = order.selector.ids().iter().filter_map(|id| id.0.parse().ok()).collect();
        Call::json(
            "kill",
            Effect::Kill,
            "processes",
            Method::DELETE,
            processes(&order.target),
            &json!({ "processes": ids }),
        )
    }

    fn look(&self, order: &Order, known: &Known) -> Option<Call> {
        let has_task = known.task_id.is_some() && matches!(order.selector, Selector::Intelligent);
        has_task.then(|| history(order, known))
    }

    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault> {
        huawei::answer(reply, |reply| {
            let body: Value = serde_json::from_slice(&reply.body).ok()?;
            let answer = match reply.stage {
                "intelligent_kill" => Answer::all(order, Outcome::Accepted).task(json::id(&body["task_id"])?),
                "intelligent_history" if !has_run(known, &body)? => {
                    return Some(Ok(Step::Wait { pause: HISTORY_PAUSE, then: history(order, known) }));
                }
                "intelligent_history" => Answer::all(order, Outcome::Killed),
                _ => read_lists(order, &body)?,
            };
            Some(Ok(Step::Done(answer.request(reply.request_id.clone()))))
        })
    }

    fn preview(&self, order: &Order) -> Option<Call> {
        let picks = matches!(order.selector, Selector::Intelligent);
        picks.then(|| {
            let (instance, node) = (order.target.coordinate("instance_id"), order.target.coordinate("node_id"));
            let path = format!("/v3/{{project_id}}/instances/{instance}/intelligent-kill-session/statistic");
            let query = vec![("node_id", node.to_owned())];
            Call::get("intelligent_preview", "intelligent-kill-session/statistic", path, query)
        })
    }

    fn picks(&self, reply: &Reply) -> Result<Vec<SessionId>, Fault> {
        huawei::read(reply, read_picks)
    }

    fn list(&self, target: &Target, _: &Match, row: usize) -> Option<Call> {
        Some(Call::get("list", "processes", processes(target), huawei::page_from(row).into()))
    }

    fn page(&self, _: &Target, row: usize, reply: &Reply) -> Result<Page, Fault> {
        huawei::page(reply, row, &THREAD, "processes", "total_count")
    }
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

/// Whether the task is in the history, which lists runs that have ended.
fn has_run(known: &Known, body: &Value) -> Option<bool> {
    let runs = body["intelligent_kill_session_histories"].as_array()?;
    let ended = |run: &Value| json::id(&run["task_id"]) == known.task_id && !run["end_time"].is_null();
    Some(runs.iter().any(ended))
}

/// The sessions of every group: a group can lead under each of the three rankings, and is then given three times.
fn read_picks(body: &Value) -> Option<Vec<SessionId>> {
    let mut seen = HashSet::new();
    let mut picks = vec![];
    for group in body["statistics"].as_array()? {
        for id in json::ids(&group["ids"])? {
            let id = CAPABILITIES.session_id.parse(&id)?;
            if seen.insert(id.clone()) {
                picks.push(SessionId(id));
            }
        }
    }
    Some(picks)
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
            Session::new(id, Outcome::Failed).because("not reported as killed")
        }
    });
    Some(Answer::each(sessions.collect()))
}

//! The rules that are never broken, tried where they are most easily broken: lost answers, a record that goes
//! away, gateways that die, callers that hang up, crowds, and secrets that are echoed.

mod again;
mod binary;
mod confirms;
mod crash;
mod crowd;
mod database;
mod demo;
mod echoes;
mod hang_up;
mod iam;
mod keys;
mod lies;
mod lost_answers;
mod order;
mod parts;
pub(crate) mod process;
mod readers;
mod ready;
mod refusals;
mod secrets;
mod settled;
mod shutdown;
mod takeover;
mod traces;
mod wire;
mod writing;

use crate::support::{
    gateway::{Answer, Gateway, kill_of, on_both_engines, on_one_engine, url_of},
    patience::eventually,
};
use killgate::sandbox::{Action, Behaviour, Clouds};
use serde_json::{Value, json};

/// Every vendor gives up on a call soon.
const IMPATIENT: &str = "
    [vendors.gaussdb]
    timeout_ms = 3000
    [vendors.das]
    timeout_ms = 3000
    [vendors.taurusdb]
    timeout_ms = 3000
    [vendors.dcdb]
    timeout_ms = 3000
";

/// One of the five ways to kill: what the cloud calls it, what a caller sends, how many sessions it names.
struct Operation {
    action: Action,
    body: Value,
    sessions: usize,
}

fn operations() -> [Operation; 5] {
    let intelligent = json!({ "target": "orders-ro", "select": { "intelligent": true }, "reason": "load" });
    [
        Operation { action: Action::GaussdbKill, body: kill_of("ledger", &[10_180, 10_185]), sessions: 2 },
        Operation { action: Action::DasKill, body: kill_of("shop", &[11_212, 11_213]), sessions: 2 },
        Operation { action: Action::TaurusdbKill, body: kill_of("orders-ro", &[2_075_425, 2_075_426]), sessions: 2 },
        Operation { action: Action::IntelligentKill, body: intelligent, sessions: 0 },
        Operation { action: Action::DcdbKill, body: kill_of("orders-shard-1", &[1111, 1112]), sessions: 2 },
    ]
}

/// The record of a kill once its status is that word.
pub(crate) async fn recorded_as(gateway: &Gateway, id: &str, status: &str) -> Value {
    // The record may have been away just now.
    let path = format!("/kills/{id}");
    let is_so = async || Some(gateway.read(&path).await.body).filter(|kill| kill["status"] == status);
    eventually(&format!("{id} is {status}"), is_so).await
}

/// Keeps every list from gateways, so that what is unknown stays so.
fn let_nobody_look(clouds: &Clouds) {
    for list in [Action::GaussdbSessions, Action::DasProcesses, Action::TaurusdbProcesses, Action::DcdbProcesses] {
        clouds.misbehave(list, Behaviour::Deny);
    }
}

/// Every recorded kill, newest first.
async fn records(gateway: &Gateway) -> Vec<Value> {
    let answer = gateway.read("/kills?limit=500").await;
    answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).clone()
}

/// Whether every session of that kill has that outcome, and there are so many.
fn all_sessions_are(kill: &Value, outcome: &str, count: usize) -> bool {
    let sessions = kill["sessions"].as_array().expect("a list");
    sessions.len() == count && sessions.iter().all(|session| session["outcome"] == outcome)
}

/// Asserts the one answer there is to a kill of which nobody knows whether it happened, and its record.
async fn assert_unknown(gateway: &Gateway, answer: &Answer, operation: &Operation, why: &str) {
    assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{why}: {}", answer.body);
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!(kill["status"], "unknown", "{why}: {kill}");
    assert!(all_sessions_are(&kill, "unknown", operation.sessions), "{why}: {kill}");
}

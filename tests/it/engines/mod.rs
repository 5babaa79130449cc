//! Database servers by their own protocol: real ones, spoken to through the gateway.

mod crash;
mod kinds;
mod log;
mod my;
mod postgresql;
mod reconnecting;
mod tls;

use serde::Serialize;
use serde_json::{Value, json};

use crate::support::{
    gateway::{Answer, Gateway},
    patience::eventually,
};

/// Asks for a kill as somebody who may kill and look, and waits for what becomes of it.
async fn kill(gateway: &Gateway, body: &Value) -> Answer {
    let token = Gateway::token("dba", "sessions:kill sessions:kill:blind sessions:read sessions:statements kills:read");
    gateway.client().post("/sessions/kill", &token, &[("Prefer", "wait=30")], body.to_string()).await
}

/// The sessions of a target as it lists them.
async fn list(gateway: &Gateway, target: &str) -> Answer {
    let token = Gateway::token("dba", "sessions:read sessions:statements");
    gateway.client().get(&format!("/sessions?target={target}"), &token).await
}

/// The record of a kill, once nothing more is expected of it.
async fn settled(gateway: &Gateway, id: &str) -> Value {
    let is_settled = |record: &Value| !matches!(record["status"].as_str(), Some("accepted" | "unknown" | "pending"));
    let look = async || Some(gateway.record(id).await).filter(is_settled);
    eventually("nothing more is expected of a kill", look).await
}

fn by_ids<I: Serialize>(target: &str, ids: &[I]) -> Value {
    json!({ "target": target, "select": { "ids": ids }, "reason": "INC-4711" })
}

/// What became of each session.
fn outcomes<'a>(answer: &'a Answer) -> Vec<(&'a str, &'a str)> {
    let sessions = answer.body["sessions"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let told = |session: &'a Value| Some((session["id"].as_str()?, session["outcome"].as_str()?));
    sessions.iter().map(|session| told(session).expect("an id and an outcome")).collect()
}

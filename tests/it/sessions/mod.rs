//! Live sessions, listed over real sockets from simulated clouds that are not always honest.

mod criteria;
mod lies;
mod masking;
mod problems;
mod shape;
mod turns;

use actix_web::http::StatusCode;
use serde_json::Value;

use crate::support::gateway::{Answer, Gateway, on_both_engines, on_one_engine};

/// Asks as a DBA, who may see literals too.
async fn look(gateway: &Gateway, query: &str) -> Answer {
    look_as(gateway, "sessions:read sessions:statements", query).await
}

async fn look_as(gateway: &Gateway, scope: &str, query: &str) -> Answer {
    gateway.client().get(&format!("/sessions?{query}"), &Gateway::token("dba", scope)).await
}

/// The sessions of an answer that has some, and whether they are all.
fn listed(answer: &Answer) -> (&[Value], bool) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(2), "{}", answer.body);
    let items = answer.body["items"].as_array().expect("a list");
    (items, answer.body["complete"].as_bool().expect("true or false"))
}

/// The ids in the order in which they are listed.
fn ids(answer: &Answer) -> Vec<u64> {
    listed(answer).0.iter().map(|session| session["id"].as_str().unwrap().parse().unwrap()).collect()
}

//! The vendor's limit, kept by a whole fleet, and what waits for it.

mod callers;
mod connecting;
mod counted;
mod failing;
mod fair_looks;
mod fairness;
mod fleet;
mod later;
mod lists;
mod priority;
mod sharing;
mod slowing;
mod storm;
mod turned_away;
mod window;

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::sandbox::{Action, Behaviour, Canned, Clouds, Place, demo as world};
use serde_json::{Value, json};

use crate::support::gateway::{Answer, Engine, Gateway, Setup};

const INSTANCE: &str = "tdsqlshard-limits1";

/// A gateway over so many shards of one DCDB instance, each with the sessions 1 to 9, whose kills go blind: what their own
/// calls take is counted. The clouds throttle nobody: they
/// cannot tell what the gateway sent too soon from what the machine noted too late.
async fn shards(engine: Engine, count: usize, more: &str) -> (Gateway, Vec<Value>) {
    let clouds = Clouds::new();
    clouds.limit_dcdb(usize::MAX);
    let places = clouds.add_dcdb_shards(INSTANCE, count);
    for place in &places {
        clouds.put_ids(place, 1..=9);
    }
    let setup = Setup { more: more.to_owned(), clouds: Some(clouds), ..Setup::default() };
    (Gateway::start_blind_with(engine, setup).await, places.iter().map(target).collect())
}

/// The usual Huawei account with other limits.
fn huawei(limits: &str) -> String {
    format!(
        "[accounts.huawei-test]\ncloud = 'huawei'\nregion = '{}'\nproject_id = '{}'\naccess_key = '{}'\n\
         secret_key = '{}'\nendpoints = {{ gaussdb = '{{clouds}}', das = '{{clouds}}', taurusdb = '{{clouds}}' }}\n{limits}",
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_ACCESS_KEY,
        world::HUAWEI_SECRET_KEY,
    )
}

/// The target that a shard is.
fn target(place: &Place) -> Value {
    json!({ "vendor": place.vendor, "instance_id": place.instance_id, "shard_id": place.shard_id })
}

/// The ids that each `KillSession` asked for, oldest first.
fn sent(clouds: &Clouds) -> Vec<Vec<i64>> {
    let ids = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["SessionId"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
    };
    clouds.calls_for(Action::DcdbKill).iter().map(|call| ids(&call.body)).collect()
}

/// The body that asks for these sessions of a shard.
fn ids(target: &Value, ids: &[u64]) -> Value {
    crate::support::gateway::kill_of(target.clone(), ids)
}

/// Makes all those kills at once.
async fn all(gateway: &Gateway, bodies: &[Value]) -> Vec<Answer> {
    join_all(bodies.iter().map(|body| gateway.kill(body))).await
}

/// What a vendor says that wants nobody to come for so long: whoever comes meanwhile, on any machine, finds that others
/// wait.
fn asked_to_pause(seconds: u32) -> Behaviour {
    let throttled = r#"{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":""},"RequestId":"{request_id}"}}"#;
    let mut pause = Canned::json(200, throttled);
    pause.headers.insert("Retry-After".to_owned(), seconds.to_string());
    Behaviour::Status(pause)
}

/// Calls a second that are asked for of DCDB now, as `GET /vendors` says.
async fn current(gateway: &Gateway) -> u64 {
    let answer = gateway.client().get("/vendors", &Gateway::token("dba", "sessions:kill")).await;
    let mut vendors = answer.body["items"].as_array().unwrap().iter();
    let dcdb = vendors.find(|vendor| vendor["name"] == "dcdb").unwrap();
    let account = &dcdb["accounts"][0];
    account["current_requests_per_second"].as_u64().unwrap()
}

/// Everybody got what DCDB gives: a task.
fn assert_accepted(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    }
}

/// The record says the same as the answer, which was a problem.
async fn assert_recorded(gateway: &Gateway, answer: &Answer, status: &str) {
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["status"], &record["problem"]["code"]), (&json!(status), &answer.body["code"]), "{record}");
}

//! Several shards or nodes of one instance as one target, over real sockets.

mod guarded;
mod kills;
mod lists;
mod nodes;
mod settled;
mod told;

use killgate::sandbox::{Action, Clouds, Place, Received, Session, demo as world};
use serde_json::{Value, json};

use crate::support::gateway::{Answer, Engine, Gateway, Setup, on_both_engines, on_one_engine};

const A: &str = world::DCDB_SHARD;
const B: &str = world::DCDB_SECOND_SHARD;
/// A session of this number lives on both shards.
const TWIN: u64 = 4711;

/// `both` and `all` are the two shards of the demo's instance.
fn aliases() -> String {
    let instance = world::DCDB_INSTANCE;
    format!(
        "[targets.both]\nvendor = 'dcdb'\ninstance_id = '{instance}'\nshards = ['{B}', '{A}']\n\
         [targets.all]\nvendor = 'dcdb'\ninstance_id = '{instance}'\nshards = 'all'\n"
    )
}

fn place(shard: &str) -> Place {
    Place::dcdb(world::DCDB_INSTANCE, shard, if shard == A { world::DCDB_NODE } else { world::DCDB_SECOND_NODE })
}

/// The demo's clouds, with a session of the user `twin` of the same number on each shard.
fn clouds() -> Clouds {
    let clouds = Clouds::demo();
    for shard in [A, B] {
        let session = Session::new(TWIN, "twin").running("select 1 from orders", 60);
        clouds.put(&place(shard), &session);
    }
    clouds
}

async fn started(engine: Engine, more: &str) -> Gateway {
    let more = format!("{}{more}", aliases());
    Gateway::start_with(engine, Setup { more, clouds: Some(clouds()), ..Setup::default() }).await
}

fn kill_by(target: &str, select: impl Into<Value>) -> Value {
    json!({ "target": target, "select": select.into(), "reason": "INC-4711 runaway report" })
}

fn of_twins() -> Value {
    json!({ "match": { "user": "twin" } })
}

/// Asks and waits until the outcome is known.
async fn kill(gateway: &Gateway, body: &Value) -> Answer {
    gateway.kill_with(&[("Prefer", "wait=60")], body).await
}

fn text_of<'s>(session: &'s Value, name: &str) -> &'s str {
    session[name].as_str().unwrap_or("-")
}

/// Its sessions: shard, id and outcome.
fn outcomes(kill: &Value) -> Vec<(&str, &str, &str)> {
    let sessions = kill["sessions"].as_array().unwrap_or_else(|| panic!("{kill}"));
    sessions
        .iter()
        .map(|session| (text_of(session, "shard"), text_of(session, "id"), text_of(session, "outcome")))
        .collect()
}

/// The kills that arrived: shard, node and ids of each.
fn sent(gateway: &Gateway) -> Vec<(String, String, Vec<u64>)> {
    let read = |call: Received| {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (text("ShardId"), text("NodeId"), serde_json::from_value(body["SessionId"].clone()).unwrap())
    };
    gateway.clouds.calls_for(Action::DcdbKill).into_iter().map(read).collect()
}

/// The changes of a kill, as its stream tells them.
async fn events(gateway: &Gateway, id: &str) -> Vec<Value> {
    let text = gateway.read(&format!("/kills/{id}/events")).await.body;
    let lines = text.as_str().unwrap().lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap()).filter(|event: &Value| event["seq"].is_number()).collect()
}

fn lives(gateway: &Gateway, shard: &str) -> bool {
    gateway.clouds.alive(&place(shard)).contains(&TWIN)
}

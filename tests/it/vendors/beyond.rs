//! Ids that a list shows and the same vendor's kill does not take.

use killgate::sandbox::{Action, Session};
use serde_json::{Value, json};

use super::{Engine, Gateway, recorded_as};
use crate::victims::place;

const BEYOND: &str = "not sent: beyond what the vendor's kill takes";

/// A gateway over a place with sessions of `batch`, and the answer to a kill of all of them.
async fn killed(alias: &str, ids: &[u64]) -> (Gateway, Value) {
    let gateway = Gateway::start(Engine::Sqlite).await;
    for id in ids {
        gateway.clouds.put(&place(alias), &Session::new(*id, "batch"));
    }
    let body = json!({ "target": alias, "select": { "match": { "user": "batch" } }, "reason": "INC-4711" });
    let answer = gateway.kill_with(&[("Prefer", "wait=20")], &body).await;
    let kill = gateway.record(answer.kill_id()).await;
    (gateway, kill)
}

fn fate(kill: &Value, id: u64) -> (&str, &str) {
    let sessions = kill["sessions"].as_array().unwrap();
    let id = Some(id.to_string());
    let session = sessions.iter().find(|session| session["id"].as_str() == id.as_deref()).unwrap();
    (session["outcome"].as_str().unwrap(), session["detail"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_beyond_what_das_takes_keeps_no_other_alive() {
    let (gateway, kill) = killed("shop", &[11, 3_000_000_000, 12]).await;
    assert_eq!(fate(&kill, 3_000_000_000), ("failed", BEYOND), "{kill}");
    let kill = recorded_as(&gateway, kill["id"].as_str().unwrap(), "partial").await;
    assert_eq!((fate(&kill, 11).0, fate(&kill, 12).0), ("killed", "killed"), "{kill}");
    let calls = gateway.clouds.calls_for(Action::DasKill);
    let body: Value = serde_json::from_slice(&calls[0].body).unwrap();
    assert_eq!((calls.len(), &body["process_ids"]), (1, &json!(["11", "12"])));
    assert!(gateway.clouds.alive(&place("shop")).contains(&3_000_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_every_id_is_beyond_nothing_is_sent() {
    let id = 1 << 63;
    for (alias, action) in [("orders-ro", Action::TaurusdbKill), ("orders-shard-1", Action::DcdbKill)] {
        let (gateway, kill) = killed(alias, &[id]).await;
        assert_eq!((fate(&kill, id), &kill["status"]), (("failed", BEYOND), &json!("failed")), "{alias}: {kill}");
        assert!(gateway.clouds.calls_for(action).is_empty(), "{alias}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flow_of_others_says_nothing_of_an_id_that_was_not_sent() {
    let id = 1 << 63;
    let (gateway, kill) = killed("orders-shard-1", &[7, id]).await;
    let kill = recorded_as(&gateway, kill["id"].as_str().unwrap(), "partial").await;
    assert_eq!((fate(&kill, 7).0, fate(&kill, id)), ("killed", ("failed", BEYOND)), "{kill}");
    assert!(gateway.clouds.alive(&place("orders-shard-1")).contains(&id));
}

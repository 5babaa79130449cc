//! When a thousand sessions of one shard must end at once, that takes a few calls and each kill is its own.

use std::{collections::BTreeMap, time::Duration};

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::sandbox::{Action, Behaviour, Clouds};
use serde_json::Value;

use super::{asked_to_pause, assert_accepted, ids, sent, target};
use crate::support::{
    gateway::{Engine, Gateway, Setup},
    lateness::Lateness,
    patience::eventually,
};

const KILLS: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_on_one_shard_is_over_with_a_few_calls_and_each_kill_is_its_own() {
    let lateness = Lateness::watch();
    let clouds = Clouds::new();
    clouds.limit_dcdb(usize::MAX);
    let place = clouds.add_dcdb_shards("tdsqlshard-storm01", 1).remove(0);
    clouds.put_ids(&place, 1..=KILLS);
    // The vendor asks for a pause first, so that on any machine they all have arrived when the calls begin.
    clouds.misbehave_times(1, Action::DcdbKill, asked_to_pause(15));
    clouds.misbehave(Action::DcdbKill, Behaviour::Slow(Duration::from_millis(50)));
    let more = "[vendors.dcdb]\nmax_wait_ms = 60000\n".to_owned();
    let setup = Setup { more, clouds: Some(clouds.clone()), ..Setup::default() };
    let gateway = Gateway::start_with(Engine::Postgres, setup).await;
    let bodies: Vec<Value> = (1..=KILLS).map(|id| ids(&target(&place), &[id])).collect();
    let kills = bodies.iter().map(|body| {
        let gateway = &gateway;
        async move {
            let was_read = async || {
                let answer = gateway.kill(body).await;
                // A machine may be too slow to read the heads of a thousand requests in time. Those have begun nothing.
                (answer.status != StatusCode::REQUEST_TIMEOUT).then_some(answer)
            };
            eventually("a kill is read", was_read).await
        }
    });
    let answers = join_all(kills).await;

    assert_accepted(&answers);
    let calls = sent(&clouds);
    assert!(calls.len() <= 20, "{} calls", calls.len());
    // What was throttled was not done, and goes again with others.
    let mut killed = calls[1..].concat();
    killed.sort_unstable();
    let all_ids: Vec<i64> = (1..=1000).collect();
    assert_eq!(killed, all_ids, "each id was sent once");
    lateness.assert_kept(&clouds.calls_for(Action::DcdbKill), 20).await;
    let asked: BTreeMap<String, String> =
        answers.iter().zip(1..=KILLS).map(|(answer, id)| (answer.kill_id().to_owned(), id.to_string())).collect();
    assert_eq!(asked.len(), 1000, "each has an id of its own");
    assert_eq!(recorded(&gateway).await, asked);
}

/// The kills on record, each with its one session.
async fn recorded(gateway: &Gateway) -> BTreeMap<String, String> {
    let (mut kills, mut path) = (BTreeMap::new(), "/kills?limit=500".to_owned());
    loop {
        let page = gateway.read(&path).await.body;
        for kill in page["items"].as_array().unwrap() {
            let [session] = kill["sessions"].as_array().unwrap().as_slice() else { panic!("one session: {kill}") };
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            kills.insert(text(&kill["id"]), text(&session["id"]));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return kills };
        path = format!("/kills?limit=500&cursor={cursor}");
    }
}

//! Rule 3 in a crowd: the vendor's limit holds, and nobody is lost in the queue.

use std::collections::HashMap;

use futures_util::future::join_all;
use killgate::sandbox::{Action, Clouds};
use serde_json::{Value, json};

use super::{on_both_engines, records};
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of},
    lateness::Lateness,
    patience::eventually,
};

on_both_engines! {
    two_hundred_kills_at_once_keep_the_vendors_limit_and_none_is_lost,
}

async fn two_hundred_kills_at_once_keep_the_vendors_limit_and_none_is_lost(engine: Engine) {
    const SHARDS: usize = 100;
    let lateness = Lateness::watch();
    let clouds = Clouds::new();
    clouds.limit_dcdb(usize::MAX);
    let places = clouds.add_dcdb_shards("tdsqlshard-crowd01", SHARDS);
    for place in &places {
        clouds.put_ids(place, 1..=200);
    }
    let setup = Setup {
        more: "[vendors.dcdb]\nmax_wait_ms = 60000".into(),
        env: vec![("KILLGATE__SERVER__WORKERS", "3")],
        clouds: Some(clouds),
        ..Setup::default()
    };
    let gateway = Gateway::start_with(engine, setup).await;

    // Two kills on each shard, so that few of them can share a call; no two name the same id.
    let kills = (1..=200_u64).map(|id| {
        let gateway = &gateway;
        let shard = format!("shard-test{:04}", (id - 1) / 2 + 1);
        let target = json!({ "vendor": "dcdb", "instance_id": "tdsqlshard-crowd01", "shard_id": shard });
        async move {
            let (body, mut answers) = (kill_of(target, &[id]), vec![]);
            let is_taken = async || {
                let answer = gateway.kill(&body).await;
                // A machine may be too slow for the whole crowd to have its turns in a minute.
                let is_turned_away = answer.code() == "rate_limited";
                answers.push(answer);
                (!is_turned_away).then_some(())
            };
            eventually("a kill has its turn", is_taken).await;
            answers
        }
    });
    let mut answers = vec![];
    for mut of_one in join_all(kills).await {
        assert_eq!(of_one.last().unwrap().status.as_u16(), 202, "{}", of_one.last().unwrap().body);
        answers.append(&mut of_one);
    }
    let calls = gateway.clouds.calls_for(Action::DcdbKill);
    assert!(calls.len() >= SHARDS);
    lateness.assert_kept(&calls, 20).await;

    let mut sent: HashMap<u64, u32> = HashMap::new();
    for call in calls {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        for id in body["SessionId"].as_array().unwrap() {
            *sent.entry(id.as_u64().unwrap()).or_default() += 1;
        }
    }
    assert_eq!(sent, (1..=200).map(|id| (id, 1)).collect(), "each id is sent once");
    let mut told: Vec<_> = answers.iter().map(|answer| answer.kill_id().to_owned()).collect();
    let mut recorded: Vec<_> =
        records(&gateway).await.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    told.sort();
    recorded.sort();
    assert_eq!(told, recorded);
}

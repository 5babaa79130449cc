//! Looking never takes a turn that a kill waits for.

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::sandbox::{Action, Clouds, Place};
use serde_json::{Value, json};
use tokio::join;

use super::{ids, listed, look, on_both_engines};
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of},
    lateness::Lateness,
    patience::eventually,
};

on_both_engines! {
    a_list_waits_until_no_kill_does,
    no_list_and_no_preview_comes_while_kills_wait_and_no_kill_is_turned_away,
    a_list_goes_at_once_where_nobody_waits,
    what_was_read_in_time_is_told_and_that_it_is_not_all,
}

const INSTANCE: &str = "a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07";
/// Four calls a second for kills that are not urgent.
const FIVE: &str = "
    [accounts.huawei-test]
    cloud = \"huawei\"
    region = \"ap-southeast-1\"
    project_id = \"0611f1bd8b00d5d32f17c017f15b599f\"
    access_key = \"SANDBOXAK00000000001\"
    secret_key = \"sandbox-huawei-secret-key-0000000000000001\"
    endpoints = { gaussdb = \"{clouds}\", das = \"{clouds}\", taurusdb = \"{clouds}\" }
    vendors.taurusdb = { requests_per_second = 5, requests_per_minute = 0, max_wait_ms = {max_wait} }
";

/// A gateway over so many nodes of one instance, each with the threads 1 to 9, where nothing waits longer than that.
async fn nodes(engine: Engine, count: usize, max_wait_ms: u32) -> (Gateway, Vec<Value>) {
    let clouds = Clouds::new();
    let node = |n: usize| format!("f6b1c6d8a27e4c0d9d8bcb2a7d9a3e{n:02}no07");
    for n in 0..count {
        let place: Place = clouds.add_taurusdb(INSTANCE, &node(n));
        clouds.put_ids(&place, 1..=9);
    }
    let more = FIVE.replace("{max_wait}", &max_wait_ms.to_string());
    let setup = Setup { more, clouds: Some(clouds), ..Setup::default() };
    let target = |n| json!({ "vendor": "taurusdb", "instance_id": INSTANCE, "node_id": node(n) });
    (Gateway::start_blind_with(engine, setup).await, (0..count).map(target).collect())
}

fn query(target: &Value) -> String {
    format!("vendor=taurusdb&instance_id={INSTANCE}&node_id={}", target["node_id"].as_str().unwrap())
}

async fn a_list_waits_until_no_kill_does(engine: Engine) {
    let (gateway, targets) = nodes(engine, 14, 60_000).await;
    let bodies: Vec<_> = targets.iter().map(|target| kill_of(target.clone(), &[1])).collect();
    let kills = join_all(bodies.iter().map(|body| gateway.kill(body)));
    let lists = async {
        gateway.clouds.arrived(Action::TaurusdbKill, 4).await;
        join_all([0, 1].map(|n| look_at(&gateway, &targets[n]))).await
    };
    let (kills, lists) = join!(kills, lists);
    assert!(kills.iter().all(|kill| kill.status == StatusCode::OK), "{:?}", kills.iter().map(|k| &k.body).next());
    assert_eq!(lists, [(2..=9).collect::<Vec<u64>>(), (2..=9).collect()], "killed first, then looked at");
    let order: Vec<_> = gateway.clouds.calls().iter().filter_map(|call| call.action).collect();
    let expected = [[Action::TaurusdbKill; 14].as_slice(), &[Action::TaurusdbProcesses; 2]].concat();
    assert_eq!(order, expected);
}

/// Lists, previews and the look of another kill, all asked for while a budget is full of kills. The look of a kill goes as
/// the kill itself does.
async fn no_list_and_no_preview_comes_while_kills_wait_and_no_kill_is_turned_away(engine: Engine) {
    const WAITING: usize = 14;
    let lateness = Lateness::watch();
    let (gateway, targets) = nodes(engine, WAITING + 1, 60_000).await;
    let bodies: Vec<_> = targets[..WAITING].iter().map(|target| kill_of(target.clone(), &[1])).collect();
    let kills = join_all(bodies.iter().map(|body| gateway.kill(body)));
    let other = |select: Value, dry_run: bool| json!({ "target": targets[WAITING], "select": select, "reason": "INC-4711", "dry_run": dry_run });
    let looking = [
        other(json!({ "match": { "user": "app", "limit": 1 } }), true),
        other(json!({ "intelligent": true }), true),
        other(json!({ "match": { "user": "app", "limit": 1 } }), false),
    ];
    let looks = async {
        gateway.clouds.arrived(Action::TaurusdbKill, 4).await;
        let lists = join_all([0, 1, 2].map(|n| look_at(&gateway, &targets[n])));
        join!(lists, join_all(looking.iter().map(|body| gateway.kill(body))))
    };
    let (kills, (lists, looked)) = join!(kills, looks);
    for answer in kills.iter().chain(&looked) {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    assert!(lists.iter().all(|ids| *ids == (2..=9).collect::<Vec<u64>>()), "killed first, then looked at: {lists:?}");
    let order: Vec<_> = gateway.clouds.calls().iter().filter_map(|call| call.action).collect();
    let kills = order[..=WAITING].iter().filter(|action| **action == Action::TaurusdbKill).count();
    assert_eq!(kills, WAITING, "none but the look of a kill among them: {order:?}");
    lateness.assert_kept(&gateway.clouds.calls(), 5).await;
}

async fn look_at(gateway: &Gateway, target: &Value) -> Vec<u64> {
    ids(&look(gateway, &query(target)).await)
}

async fn a_list_goes_at_once_where_nobody_waits(engine: Engine) {
    let (gateway, targets) = nodes(engine, 1, 60_000).await;
    assert_eq!(look_at(&gateway, &targets[0]).await, (1..=9).collect::<Vec<_>>());
    // It has used up what reads may use, and what kills need is still there.
    let kills = join_all([1, 2, 3].map(|id| {
        let body = kill_of(targets[0].clone(), &[id]);
        let gateway = &gateway;
        async move { gateway.kill(&body).await }
    }));
    let (kills, list) = join!(kills, look_at(&gateway, &targets[0]));
    assert!(kills.iter().all(|kill| kill.status == StatusCode::OK));
    assert!(list.len() >= 6, "{list:?}");
    assert_eq!(gateway.clouds.calls()[0].action, Some(Action::TaurusdbProcesses));
}

async fn what_was_read_in_time_is_told_and_that_it_is_not_all(engine: Engine) {
    let (gateway, targets) = nodes(engine, 1, 0).await;
    let node = targets[0]["node_id"].as_str().unwrap();
    gateway.clouds.put_ids(&Place::taurusdb(INSTANCE, node), 1..=5000);
    let query = query(&targets[0]);
    // A machine may be so slow that each has a turn of its own.
    let both = async || {
        let answers = join_all([0; 3].map(|_| look(&gateway, &query))).await;
        let (begun, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == StatusCode::OK);
        (!begun.is_empty() && !others.is_empty()).then_some((begun, others))
    };
    let (begun, others) = eventually("some have the one turn in five that reads have, and others none", both).await;
    for answer in &begun {
        let (items, complete) = listed(answer);
        assert!(items.len() >= 100 && items.len() < 5000 && !complete, "{} {complete}", items.len());
    }
    for answer in &others {
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "rate_limited"), "{}", answer.body);
        assert!(answer.header("retry-after").is_some());
    }
}

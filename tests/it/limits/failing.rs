//! What fails is left alone, and asked again when it may be back: an endpoint, or an instance and no other one.

use std::{mem, net::SocketAddr, time::Duration};

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Canned, Clouds, Sandbox};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{all, assert_accepted, assert_recorded, ids, sent, shards, target};
use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup},
    patience::{eventually, in_time},
};

/// What is said of the endpoint in `GET /vendors`.
async fn is_down(gateway: &Gateway) -> bool {
    let answer = gateway.client().get("/vendors", &Gateway::token("dba", "sessions:kill")).await;
    let mut vendors = answer.body["items"].as_array().unwrap().iter();
    vendors.find(|vendor| vendor["name"] == "dcdb").unwrap()["accounts"][0]["is_down"] == json!(true)
}

fn is_left_alone(answer: &Answer) -> bool {
    answer.body["detail"].as_str().unwrap().contains("left alone")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_went_away_fails_fast_and_serves_when_it_is_back() {
    let (mut gateway, targets) = shards(Engine::Sqlite, 40, "").await;
    assert_accepted(&all(&gateway, &[ids(&targets[0], &[1])]).await);
    assert!(!is_down(&gateway).await);

    let elsewhere = Sandbox::start(SocketAddr::from(([127, 0, 0, 1], 0)), Clouds::new()).unwrap();
    let gone = mem::replace(&mut gateway.sandbox, elsewhere);
    let (address, clouds) = (gone.addr, gone.clouds.clone());
    gone.stop();
    // Forty kills at once are not forty turns at twenty a second.
    let bodies: Vec<_> = targets.iter().map(|target| ids(target, &[2])).collect();
    let mut failed = all(&gateway, &bodies).await;
    assert!(is_down(&gateway).await);
    // Where the forty took longer than its rest, the next one finds out that it is still down.
    let left_alone = async || Some(gateway.kill(&ids(&targets[0], &[3])).await).filter(is_left_alone);
    failed.push(eventually("it is left alone", left_alone).await);
    for answer in &failed {
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
        assert_recorded(&gateway, answer, "failed").await;
    }

    gateway.sandbox = Sandbox::start(address, clouds.clone()).unwrap();
    let back = async {
        loop {
            let answer = gateway.kill(&ids(&targets[0], &[4])).await;
            let Some(seconds) = answer.header("retry-after") else { break answer };
            sleep(Duration::from_secs(seconds.parse().unwrap())).await;
        }
    };
    let back = in_time(back).await;
    assert_accepted(&[back]);
    assert!(!is_down(&gateway).await);
    assert_eq!(sent(&clouds), [[1], [4]], "nothing else ever came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hangs_holds_a_few_callers_and_no_more() {
    let short = "[vendors.dcdb]\ntimeout_ms = 500\n";
    let (gateway, targets) = shards(Engine::Sqlite, 10, short).await;
    gateway.clouds.misbehave(Action::DcdbKill, Behaviour::Hang);
    for target in &targets[..5] {
        let answer = gateway.kill(&ids(target, &[1])).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"));
    }
    let bodies: Vec<_> = targets[5..].iter().map(|target| ids(target, &[1])).collect();
    for answer in all(&gateway, &bodies).await {
        assert!(answer.status == StatusCode::BAD_GATEWAY && is_left_alone(&answer), "{}", answer.body);
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(sent(&gateway.clouds).len(), 5);
}

/// A gateway over two instances, and a shard of each.
async fn two_instances() -> (Gateway, [Value; 2]) {
    let clouds = Clouds::new();
    let targets = ["tdsqlshard-broken01", "tdsqlshard-healthy1"].map(|instance| {
        let places = clouds.add_dcdb_shards(instance, 1);
        clouds.put_ids(&places[0], 1..=9);
        target(&places[0])
    });
    let setup = Setup { clouds: Some(clouds), ..Setup::default() };
    (Gateway::start_blind_with(Engine::Sqlite, setup).await, targets)
}

fn internal_error() -> Behaviour {
    let body = r#"{"Response":{"Error":{"Code":"InternalError","Message":""},"RequestId":"{request_id}"}}"#;
    Behaviour::Status(Canned::json(200, body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_fails_is_left_alone_and_no_other_one() {
    let (gateway, [broken, healthy]) = two_instances().await;
    gateway.clouds.misbehave_times(5, Action::DcdbKill, internal_error());
    for _ in 0..5 {
        let answer = gateway.kill(&ids(&broken, &[1])).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"), "{}", answer.body);
    }
    let other = gateway.kill(&ids(&healthy, &[1])).await;
    let left_alone = gateway.kill(&ids(&broken, &[2])).await;
    assert_accepted(&[other]);
    assert!(!is_down(&gateway).await);
    // Where all this took longer than its rest, it was the probe, and went well.
    if left_alone.status != StatusCode::ACCEPTED {
        assert!(left_alone.status == StatusCode::BAD_GATEWAY && is_left_alone(&left_alone), "{}", left_alone.body);
        assert_recorded(&gateway, &left_alone, "failed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_fail_keep_no_kill_from_being_sent() {
    let (gateway, [broken, healthy]) = two_instances().await;
    gateway.clouds.misbehave(Action::DcdbProcesses, internal_error());
    let instance = broken["instance_id"].as_str().unwrap();
    let shard = broken["shard_id"].as_str().unwrap();
    let path = format!("/sessions?vendor=dcdb&instance_id={instance}&shard_id={shard}");
    let token = Gateway::token("dashboard", "sessions:read");
    // It is asked for again and again, until it is left alone.
    let list = gateway.client().get(&path, &token).await;
    assert!(is_left_alone(&list), "{}", list.body);
    assert_accepted(&[gateway.kill(&ids(&healthy, &[1])).await, gateway.kill(&ids(&broken, &[1])).await]);
    assert!(!is_down(&gateway).await);
}

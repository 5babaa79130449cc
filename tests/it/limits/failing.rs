//! An endpoint that is down is left alone, and asked again when it may be back.

use std::{mem, net::SocketAddr, time::Duration};

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Clouds, Sandbox};
use serde_json::json;
use tokio::time::sleep;

use super::{all, assert_accepted, assert_recorded, ids, sent, shards};
use crate::support::{
    gateway::{Answer, Engine, Gateway},
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

//! Urgent kills go before others, and a part of each budget is only theirs.

use std::time::Duration;

use actix_web::http::StatusCode;
use killgate::sandbox::Action;
use tokio::join;

use super::{all, assert_accepted, ids, sent, shards};
use crate::support::gateway::{Engine, Gateway};

/// Eight calls a second for everybody, ten for those in a hurry.
const TEN: &str = "
    [vendors.dcdb]
    requests_per_second = 10
    max_wait_ms = 60000
";

async fn an_urgent_kill_does_not_wait_for_others(engine: Engine) {
    let (gateway, targets) = shards(engine, 31, TEN).await;
    let bodies: Vec<_> = targets[..30].iter().map(|target| ids(target, &[1])).collect();
    let urgent = async {
        gateway.clouds.arrived(Action::DcdbKill, 8).await;
        let token = Gateway::token("dba", "sessions:kill:urgent");
        gateway.client().post("/sessions/kill", &token, &[], ids(&targets[30], &[9]).to_string()).await
    };
    let (others, urgent) = join!(all(&gateway, &bodies), urgent);
    assert_accepted(&others);
    assert_eq!(urgent.status, StatusCode::ACCEPTED, "{}", urgent.body);
    let calls = gateway.clouds.calls_for(Action::DcdbKill);
    // Twenty-two others wait when it comes; with the rest of the second its own, it passes them by.
    let place = sent(&gateway.clouds).iter().position(|ids| *ids == [9]).expect("it was sent");
    assert!(place < 20, "call {place}");
    let others: Vec<_> =
        calls.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, call)| call.arrived).collect();
    assert!(others[8] - others[0] > Duration::from_secs(1), "others leave the rest of it");
    assert_eq!(gateway.clouds.violations(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_kill_does_not_wait_for_others_on_postgres() {
    an_urgent_kill_does_not_wait_for_others(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_kill_does_not_wait_for_others_on_sqlite() {
    an_urgent_kill_does_not_wait_for_others(Engine::Sqlite).await;
}

//! Urgent kills go before others, and a part of each budget is only theirs.

use actix_web::http::StatusCode;
use killgate::sandbox::Action;
use tokio::join;

use super::{all, asked_to_pause, assert_accepted, current, ids, sent, shards};
use crate::support::{
    gateway::{Engine, Gateway},
    lateness::Lateness,
    patience::eventually,
};

/// Eight calls a second for everybody, ten for those in a hurry.
const TEN: &str = "
    [vendors.dcdb]
    requests_per_second = 10
    max_wait_ms = 60000
";

async fn an_urgent_kill_does_not_wait_for_others(engine: Engine) {
    let lateness = Lateness::watch();
    let (gateway, targets) = shards(engine, 18, TEN).await;
    gateway.clouds.misbehave_times(1, Action::DcdbKill, asked_to_pause(5));
    let bodies: Vec<_> = targets[..17].iter().map(|target| ids(target, &[1])).collect();
    let first = all(&gateway, &bodies[..1]);
    let rest = async {
        let heard = async || (current(&gateway).await < 10).then_some(());
        eventually("the gateway has heard of the pause", heard).await;
        let token = Gateway::token("dba", "sessions:kill:urgent");
        let urgent = ids(&targets[17], &[9]).to_string();
        join!(all(&gateway, &bodies[1..]), gateway.client().post("/sessions/kill", &token, &[], urgent))
    };
    let (first, (others, urgent)) = join!(first, rest);
    assert_accepted(&first);
    assert_accepted(&others);
    assert_eq!(urgent.status, StatusCode::ACCEPTED, "{}", urgent.body);
    // Sixteen others wait with it, and it passes them by.
    let place = sent(&gateway.clouds).iter().position(|ids| *ids == [9]).expect("it was sent");
    assert!(place < 9, "call {place}");
    lateness.assert_kept(&gateway.clouds.calls_for(Action::DcdbKill), 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_kill_does_not_wait_for_others_on_postgres() {
    an_urgent_kill_does_not_wait_for_others(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_kill_does_not_wait_for_others_on_sqlite() {
    an_urgent_kill_does_not_wait_for_others(Engine::Sqlite).await;
}

//! Stopping in order: what is under way is finished and told, nothing new begins.

use std::net::TcpStream;

use killgate::{
    app::audit_settings,
    audit::Audit,
    domain::Status,
    sandbox::{Action, Behaviour},
};

use super::on_both_engines;
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of},
    patience::{eventually, in_time},
};

on_both_engines! {
    a_gateway_that_stops_finishes_what_it_has_begun,
    a_gateway_that_cannot_wait_any_longer_leaves_the_kill_to_others,
}

async fn a_gateway_that_stops_finishes_what_it_has_begun(engine: Engine) {
    let env = vec![("KILLGATE__SERVER__SHUTDOWN_GRACE_MS", "600000")];
    let gateway = Gateway::start_blind_with(engine, Setup { env, ..Setup::default() }).await;
    let (clouds, address) = (gateway.clouds.clone(), gateway.app.address());
    let audit = audit_settings(&gateway.config);
    clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hold);
    let client = gateway.client().clone();
    let caller = tokio::spawn(async move {
        let token = Gateway::token("chatops-bot", "sessions:kill");
        client.post("/sessions/kill", &token, &[], kill_of("orders-ro", &[2_075_425]).to_string()).await
    });
    clouds.arrived(Action::TaurusdbKill, 1).await;

    let stopping = tokio::spawn(gateway.stop());
    eventually("nobody listens", async || TcpStream::connect(address).is_err().then_some(())).await;
    assert!(!caller.is_finished() && !stopping.is_finished(), "the kill is still under way");

    clouds.behave();
    let answer = caller.await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &"succeeded".into()), "{}", answer.body);
    let (_sandbox, _home) = stopping.await.unwrap();
    let kill = Audit::open(&audit).await.unwrap().find(answer.kill_id().parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(kill.status, Status::Succeeded);
    assert_eq!(clouds.calls_for(Action::TaurusdbKill).len(), 1);
}

async fn a_gateway_that_cannot_wait_any_longer_leaves_the_kill_to_others(engine: Engine) {
    let env = vec![("KILLGATE__SERVER__SHUTDOWN_GRACE_MS", "200")];
    let gateway = Gateway::start_blind_with(engine, Setup { env, ..Setup::default() }).await;
    let clouds = gateway.clouds.clone();
    let audit = audit_settings(&gateway.config);
    clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hang);
    let body = kill_of("orders-ro", &[2_075_425]);
    tokio::select! {
        answer = gateway.kill(&body) => panic!("{}", answer.body),
        () = clouds.arrived(Action::TaurusdbKill, 1) => {}
    }
    let (_sandbox, _home) = Box::pin(in_time(gateway.stop())).await;
    let page = Audit::open(&audit).await.unwrap().page(&killgate::audit::Filter::default(), 10).await.unwrap();
    assert_eq!(page.items.iter().map(|kill| kill.status).collect::<Vec<_>>(), [Status::Pending]);
}

//! Rule 1 while the record goes away and comes back: nothing is sent without a row, and nothing known is lost.

use std::time::Duration;

use killgate::{
    app::audit_settings,
    audit::Audit,
    clock::Clock,
    config,
    sandbox::{Action, Behaviour},
};
use tokio::task::block_in_place;

use super::{recorded_as, records};
use crate::support::{
    configuration::configuration_text,
    gateway::{Gateway, Setup, kill_of},
    patience::{eventually, in_time},
    postgres::Cluster,
};

async fn gateway_on(cluster: &Cluster, clock: Clock, migrate: &'static str) -> Gateway {
    let setup = Setup {
        clock: Some(clock),
        env: vec![("KILLGATE__AUDIT__TIMEOUT_MS", "3000"), ("KILLGATE__AUDIT__MIGRATE", migrate)],
        database_url: Some(cluster.url().to_owned()),
        ..Setup::default()
    };
    Gateway::start_blind_with(crate::support::gateway::Engine::Postgres, setup).await
}

async fn probe(gateway: &Gateway, path: &str) -> u16 {
    gateway.client().get(path, "").await.status.as_u16()
}

async fn heals(gateway: &Gateway) {
    eventually("ready", async || (probe(gateway, "/readyz").await == 200).then_some(())).await;
}

/// A kill that must not happen: there is no record.
async fn nothing_is_sent(gateway: &Gateway) {
    let calls = gateway.clouds.calls().len();
    let answer = in_time(gateway.kill(&kill_of("ledger", &[10_180]))).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "audit_unavailable"), "{}", answer.body);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(gateway.clouds.calls().len(), calls);
    assert_eq!((probe(gateway, "/readyz").await, probe(gateway, "/healthz").await), (503, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_a_gateway_sends_nothing_and_heals_by_itself() {
    let cluster = Cluster::start();
    let gateway = gateway_on(&cluster, Clock::system(), "true").await;
    // Its connections are in use already when the database goes.
    assert_eq!(gateway.kill(&kill_of("ledger", &[10_181])).await.status.as_u16(), 200);
    block_in_place(|| cluster.stop());
    nothing_is_sent(&gateway).await;
    block_in_place(|| cluster.restart());
    heals(&gateway).await;
    let answer = gateway.kill(&kill_of("ledger", &[10_180])).await;
    assert_eq!(answer.body["status"], "succeeded", "{}", answer.body);
    assert_eq!(gateway.record(answer.kill_id()).await, answer.body);
    assert_eq!(gateway.clouds.calls_for(Action::GaussdbKill).len(), 2);
    assert_eq!(records(&gateway).await.len(), 2, "what was answered with 503 left no record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_may_start_before_its_database() {
    let cluster = Cluster::start();
    let audit = format!("database_url = \"{}\"", cluster.url());
    let text = configuration_text(&audit, "http://127.0.0.1:1", "");
    let config = config::parse(&text, std::collections::BTreeMap::new()).unwrap();
    Audit::migrate(&audit_settings(&config)).await.unwrap();
    block_in_place(|| cluster.stop());

    let gateway = gateway_on(&cluster, Clock::system(), "false").await;
    nothing_is_sent(&gateway).await;
    block_in_place(|| cluster.restart());
    heals(&gateway).await;
    let answer = gateway.kill(&kill_of("ledger", &[10_180])).await;
    assert_eq!(answer.body["status"], "succeeded", "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_recorded_reaches_the_caller_and_the_record_later() {
    let cluster = Cluster::start();
    let gateway = gateway_on(&cluster, Clock::system(), "true").await;
    let answer = answered_without_database(&gateway, &cluster).await;
    block_in_place(|| cluster.restart());
    let kill = recorded_as(&gateway, &answer, "succeeded").await;
    assert_eq!(kill["sessions"][0]["outcome"], "killed", "{kill}");
    assert_eq!(gateway.clouds.calls_for(Action::GaussdbKill).len(), 1);
}

/// The row is overdue when the database comes back, so whoever looks first calls it unknown; that is put right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overdue_kill_is_known_again_when_its_own_gateway_can_write() {
    let cluster = Cluster::start();
    let clock = Clock::manual(Clock::system().now());
    let gateway = gateway_on(&cluster, clock.clone(), "true").await;
    let answer = answered_without_database(&gateway, &cluster).await;
    // Longer than the kill may take.
    clock.set(clock.now() + Duration::from_mins(3));
    block_in_place(|| cluster.restart());
    recorded_as(&gateway, &answer, "succeeded").await;
}

/// A kill whose database is lost while the vendor works on it; answers its id.
async fn answered_without_database(gateway: &Gateway, cluster: &Cluster) -> String {
    gateway.clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Hold);
    let body = kill_of("ledger", &[10_180]);
    let lose_database = async {
        in_time(gateway.clouds.arrived(Action::GaussdbKill, 1)).await;
        block_in_place(|| cluster.stop());
        gateway.clouds.behave();
    };
    let (answer, ()) = tokio::join!(gateway.kill(&body), lose_database);
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &"succeeded".into()), "{}", answer.body);
    answer.kill_id().to_owned()
}

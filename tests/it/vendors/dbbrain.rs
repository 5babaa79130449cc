//! DBbrain: a kill is prepared, which harms nobody, and then committed.

use killgate::sandbox::{Action, Behaviour, Lie};
use serde_json::{Value, json};

use super::each::{fate, gateway, products, products::ALIAS, settled};
use crate::support::gateway::kill_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_prepared_is_committed_once() {
    let product = products::dbbrain();
    let gateway = gateway(&product, "").await;
    let answer = gateway.kill(&kill_of(ALIAS, &product.reports())).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("succeeded")), "{}", answer.body);
    let (prepared, committed) =
        (gateway.clouds.calls_for(Action::DbbrainPrepare), gateway.clouds.calls_for(product.kill));
    assert_eq!((prepared.len(), committed.len()), (1, 1));
    let body: Value = serde_json::from_slice(&prepared[0].body).unwrap();
    assert_eq!((&body["RecordHistory"], &body["Product"]), (&json!(false), &json!("mysql")), "{body}");
    assert!(prepared[0].killed.is_empty() && committed[0].killed == product.reports());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preparation_that_was_lost_is_made_again_and_harms_nobody() {
    let product = products::dbbrain();
    for behaviour in [Behaviour::Drop, Behaviour::Garble, Behaviour::Throttle] {
        let gateway = gateway(&product, "").await;
        gateway.clouds.misbehave_times(1, Action::DbbrainPrepare, behaviour);
        let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
        settled(&gateway, &answer, "succeeded").await;
        assert_eq!(gateway.clouds.calls_for(Action::DbbrainPrepare).len(), 2);
        assert_eq!(gateway.clouds.calls_for(product.kill).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_preparation_the_kill_has_failed_and_is_not_unknown() {
    let product = products::dbbrain();
    let gateway = gateway(&product, "[vendors.dbbrain]\nmax_wait_ms = 1000\n").await;
    gateway.clouds.misbehave(Action::DbbrainPrepare, Behaviour::Garble);
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_failed"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("nothing was killed"), "{}", answer.body);
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&kill["status"], fate(&kill, product.report()).0), (&json!("failed"), "failed"), "{kill}");
    assert!(gateway.clouds.calls_for(product.kill).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_preparation_is_called_that() {
    let product = products::dbbrain();
    let gateway = gateway(&product, "").await;
    gateway.clouds.misbehave(Action::DbbrainPrepare, Behaviour::Deny);
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_denied"), "{}", answer.body);
    assert!(gateway.clouds.calls_for(product.kill).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_does_not_name_is_looked_for() {
    let product = products::dbbrain();
    let gateway = gateway(&product, "").await;
    gateway.clouds.misbehave(product.kill, Behaviour::Lie(Lie::LeavesOut));
    let answer = gateway.kill(&kill_of(ALIAS, &product.reports())).await;
    assert_eq!(fate(&answer.body, product.report()), ("killed", "seen gone"), "{}", answer.body);
    assert_eq!(gateway.clouds.calls_for(product.kill).len(), 1);
}

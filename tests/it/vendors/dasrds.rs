//! DAS by instance: the user of each session goes with its id, so each is looked at.

use killgate::sandbox::{Behaviour, DasBody, Lie, Session};
use serde_json::{Value, json};

use super::each::{fate, gateway, products, products::ALIAS, settled};
use crate::support::{configuration::BLIND, gateway::kill_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_names_the_user_that_was_seen_though_nobody_wanted_a_look() {
    let product = products::dasrds();
    let gateway = gateway(&product, BLIND).await;
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert!(answer.body.get("blind").is_none() && answer.body["look"].is_object(), "{}", answer.body);
    settled(&gateway, &answer, "succeeded").await;
    let sent = gateway.clouds.calls_for(product.kill).pop().unwrap();
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    let expected = json!({ "engine_type": "postgresql", "processes": [{ "id": product.report(), "user": "report" }] });
    assert_eq!(body, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_that_asks_for_no_look_is_refused() {
    let product = products::dasrds();
    let gateway = gateway(&product, "").await;
    let token = super::Gateway::token("chatops-bot", "sessions:kill sessions:kill:blind");
    let mut body = kill_of(ALIAS, &[product.report()]);
    body["look"] = json!(false);
    let answer = gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{}", answer.body);
    assert_eq!(answer.body["field"], "look");
    assert!(gateway.clouds.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_success_looks_like_the_list_settles_it() {
    for body in [DasBody::Empty, DasBody::EmptyString, DasBody::Ok, DasBody::Object] {
        let product = products::dasrds_of_mysql();
        let gateway = gateway(&product, "").await;
        gateway.clouds.misbehave(product.kill, Behaviour::Lie(Lie::DasBody(body)));
        let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
        assert_eq!((answer.status.as_u16(), fate(&answer.body, product.report()).0), (202, "accepted"), "{body:?}");
        let kill = settled(&gateway, &answer, "succeeded").await;
        assert_eq!(fate(&kill, product.report()), ("killed", "seen gone"), "{body:?} {kill}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_leave_while_a_long_list_is_read_do_not_hide_others() {
    let product = products::dasrds();
    let gateway = gateway(&product, "").await;
    for id in 60_000..60_400 {
        gateway.clouds.put(&product.place, &Session::new(id, "crowd"));
    }
    let leave = async {
        gateway.clouds.arrived(product.list, 2).await;
        for id in 60_000..60_008 {
            gateway.clouds.remove(&product.place, id);
        }
    };
    let token = super::Gateway::token("dba", "sessions:read");
    let path = format!("/sessions?target={ALIAS}&user=crowd&limit=1000");
    let (listed, ()) = tokio::join!(gateway.client().get(&path, &token), leave);
    let items = listed.body["items"].as_array().unwrap();
    let shown = |id: u64| items.iter().any(|item| item["id"] == json!(id.to_string()));
    assert!((60_008..60_400).all(shown), "{} of them", items.len());
}

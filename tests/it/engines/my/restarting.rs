//! A server that restarts gives its first numbers again, and nobody of now is ended for somebody of before.

use actix_web::http::StatusCode;
use serde_json::{Value, json};
use sqlx::MySqlConnection;

use super::{
    super::{by_ids, kill},
    gateway, gateway_with,
};
use crate::support::{
    gateway::Answer,
    my::{MyServer, Product, is_ended, on_both_servers},
    patience::eventually,
    way::{Proxy, Then},
};

on_both_servers! {
    who_comes_after_a_restart_has_another_ones_number_and_is_spared,
    who_comes_over_a_socket_after_a_restart_is_like_another_one_and_is_spared,
    who_was_there_before_a_restart_is_gone_whoever_has_the_number_now,
}

fn outcome(answer: &Answer) -> &Value {
    &answer.body["sessions"][0]["outcome"]
}

/// A session over the socket that has that number, after as many others as that takes.
async fn heir(server: &MyServer, id: u64) -> (MySqlConnection, Vec<MySqlConnection>) {
    let mut others = vec![];
    loop {
        let (session, number) = server.socket_session().await;
        if number == id {
            return (session, others);
        }
        assert!(number < id, "{number} is more than {id}");
        others.push(session);
    }
}

async fn who_comes_after_a_restart_has_another_ones_number_and_is_spared(product: Product) {
    let server = MyServer::own(product, &[]).await;
    let gateway = gateway(&server, &server.tls()).await;
    let (_session, id) = server.session().await;
    let mut body = by_ids("orders", &[id]);
    body["dry_run"] = json!(true);
    let preview = kill(&gateway, &body).await;
    assert_eq!(outcome(&preview), "alive", "{}", preview.body);
    server.restart();
    let mut others = vec![];
    while others.last().is_none_or(|(_, other)| *other < id) {
        others.push(server.session().await);
    }
    let (heir, number) = others.last_mut().unwrap();
    assert_eq!(*number, id);
    body["dry_run"] = json!(false);
    body["confirm"] = preview.body["confirm"].clone();
    let answer = kill(&gateway, &body).await;
    assert_eq!((answer.status, outcome(&answer)), (StatusCode::OK, &json!("changed")), "{}", answer.body);
    assert!(!is_ended(heir).await);
    server.stop();
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
}

async fn who_comes_over_a_socket_after_a_restart_is_like_another_one_and_is_spared(product: Product) {
    let server = MyServer::own(product, &[]).await;
    let gateway = gateway(&server, &server.tls()).await;
    let _earlier = [server.socket_session().await, server.socket_session().await, server.socket_session().await];
    let (_session, id) = server.socket_session().await;
    let mut body = by_ids("orders", &[id]);
    body["dry_run"] = json!(true);
    let preview = kill(&gateway, &body).await;
    assert_eq!(outcome(&preview), "alive", "{}", preview.body);
    server.has_run_a_while().await;
    server.restart();
    let (mut session, _others) = heir(&server, id).await;
    body["dry_run"] = json!(false);
    body["confirm"] = preview.body["confirm"].clone();
    let answer = kill(&gateway, &body).await;
    assert_eq!((answer.status, outcome(&answer)), (StatusCode::OK, &json!("changed")), "{}", answer.body);
    let detail = answer.body["sessions"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("its server's start"), "{detail}");
    assert!(!is_ended(&mut session).await);
    // Whoever is seen now is ended.
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!(outcome(&answer), "killed", "{}", answer.body);
    assert!(is_ended(&mut session).await);
}

async fn who_was_there_before_a_restart_is_gone_whoever_has_the_number_now(product: Product) {
    let server = MyServer::own(product, &[]).await;
    let proxy = Proxy::before(server.address()).await;
    let account = server.configuration_at("orders", &proxy.address.to_string(), &server.tls());
    let times = format!("\n[vendors.{}]\nmax_wait_ms = 60000\ntimeout_ms = 10000\n", product.name());
    let gateway = gateway_with(format!("{account}{times}")).await;
    let _earlier = [server.socket_session().await, server.socket_session().await, server.socket_session().await];
    let (_session, id) = server.socket_session().await;
    server.has_run_a_while().await;
    // With TLS nobody on the way can tell the message from others.
    if product == Product::MySql {
        return;
    }
    let held = proxy.hold("KILL (@k)");
    let (body, meanwhile) = (by_ids("orders", &[id]), async { held.await.unwrap().then(Then::Cut) });
    let (answer, ()) = tokio::join!(gateway.kill(&body), meanwhile);
    assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"), "{}", answer.body);
    server.restart();
    let (mut session, _others) = heir(&server, id).await;
    let kill_id = answer.kill_id();
    let settled = eventually("settled", async || {
        Some(gateway.record(kill_id).await).filter(|record| record["status"] != "unknown")
    });
    let record = settled.await;
    assert_eq!(
        (&record["status"], &record["sessions"][0]["outcome"]),
        (&json!("succeeded"), &json!("gone")),
        "{record}"
    );
    assert!(!is_ended(&mut session).await);
}

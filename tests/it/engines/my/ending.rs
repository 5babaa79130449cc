//! Ending sessions and statements.

use actix_web::http::StatusCode;
use serde_json::json;
use sqlx::Executor;

use super::{
    super::{by_ids, kill, list, outcomes},
    gateway,
};
use crate::support::my::{MyServer, Product, is_ended, on_both_servers, plain, with_id};

on_both_servers! {
    a_session_is_ended_and_stands_on_record,
    a_pin_is_asked_for,
    a_statement_is_cancelled_and_its_session_lives,
    without_a_look_a_session_is_ended_by_its_id,
    a_session_with_more_rights_is_ended_where_the_server_lets_it_be,
    nobody_is_ended_by_a_number_that_is_too_large,
    the_gateways_own_connection_is_not_ended_and_counts_for_nothing,
}

async fn a_session_is_ended_and_stands_on_record(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    session.execute("BEGIN").await.unwrap();
    session.execute("UPDATE goods SET pieces = 9 WHERE id = 1").await.unwrap();
    let answer =
        kill(&gateway, &json!({ "target": "orders", "select": { "ids": [id, 4_294_967_295_u64] }, "reason": "x" }))
            .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let told = [(id.to_string(), "killed"), ("4294967295".to_owned(), "not_found")];
    assert_eq!(outcomes(&answer), told.each_ref().map(|(id, outcome)| (id.as_str(), *outcome)), "{}", answer.body);
    assert!(is_ended(&mut session).await);
    let record = gateway.record(answer.kill_id()).await;
    let identity = &record["sessions"][0]["identity"];
    assert_eq!(
        (&identity["user"], &identity["database"], &identity["command"]),
        (&json!(server.app), &json!(server.database), &json!("Sleep")),
        "{record}"
    );
    assert!(identity["host"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    assert_eq!(record["target"]["node"], "primary", "{record}");
    let again = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((again.status, outcomes(&again)), (StatusCode::OK, vec![(id.to_string().as_str(), "not_found")]));
}

async fn a_pin_is_asked_for(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    let pinned = |pin: serde_json::Value| {
        let mut one = json!({ "id": id });
        one.as_object_mut().unwrap().extend(pin.as_object().unwrap().clone());
        json!({ "target": "orders", "select": { "ids": [one] }, "reason": "pinned" })
    };
    for pin in [json!({ "user": "somebody" }), json!({ "user": server.app.to_uppercase() })] {
        let answer = kill(&gateway, &pinned(pin)).await;
        assert_eq!(answer.body["sessions"][0]["outcome"], "changed", "{}", answer.body);
    }
    assert!(!is_ended(&mut session).await);
    let answer = kill(&gateway, &pinned(json!({ "user": server.app, "host": "127.0.0.1" }))).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "killed", "{}", answer.body);
}

async fn a_statement_is_cancelled_and_its_session_lives(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut idle, idle_id) = server.session().await;
    let (mut busy, busy_id) = server.session().await;
    let (mut holder, _) = server.session().await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("UPDATE goods SET pieces = 9 WHERE id = 1").await.unwrap();
    let update = "UPDATE goods SET pieces = 8 WHERE id = 1 AND 'Alice' <> '😀'";
    let work = tokio::spawn(async move { (busy.execute(update).await.err(), busy) });
    server.until(busy_id, "COMMAND = 'Query' AND INFO LIKE 'UPDATE%'").await;
    let mut body = by_ids("orders", &[busy_id, idle_id]);
    body["end"] = json!("statement");
    let answer = kill(&gateway, &body).await;
    let told = [(busy_id.to_string(), "killed"), (idle_id.to_string(), "not_found")];
    assert_eq!(outcomes(&answer), told.each_ref().map(|(id, outcome)| (id.as_str(), *outcome)), "{}", answer.body);
    assert_eq!(gateway.record(answer.kill_id()).await["end"], "statement");
    let (error, mut busy) = work.await.unwrap();
    assert!(error.unwrap().to_string().contains("interrupted"));
    assert!(!is_ended(&mut busy).await && !is_ended(&mut idle).await);
}

async fn without_a_look_a_session_is_ended_by_its_id(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    let (mut busy, busy_id) = server.session().await;
    let work = tokio::spawn(async move { (busy.execute("SELECT SLEEP(600)").await, busy) });
    server.until(busy_id, "INFO LIKE '%SLEEP(600)'").await;
    let mut body = by_ids("orders", &[id, 4_294_967_295]);
    body["look"] = json!(false);
    let answer = kill(&gateway, &body).await;
    let told = [(id.to_string(), "killed"), ("4294967295".to_owned(), "not_found")];
    assert_eq!(outcomes(&answer), told.each_ref().map(|(id, outcome)| (id.as_str(), *outcome)), "{}", answer.body);
    assert!(is_ended(&mut session).await);
    let mut body = by_ids("orders", &[busy_id]);
    body["look"] = json!(false);
    body["end"] = json!("statement");
    let answer = kill(&gateway, &body).await;
    assert_eq!(outcomes(&answer), [(busy_id.to_string().as_str(), "killed")], "{}", answer.body);
    let (_, mut busy) = work.await.unwrap();
    assert!(!is_ended(&mut busy).await);
}

async fn a_session_with_more_rights_is_ended_where_the_server_lets_it_be(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut boss, id) = with_id(server.boss().await).await;
    let (mut session, other) = server.session().await;
    let answer = kill(&gateway, &by_ids("orders", &[id, other])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let told = &answer.body["sessions"];
    assert_eq!(told[1]["outcome"], "killed", "{told}");
    if product == Product::MySql {
        assert!(told[0]["outcome"] == "failed" && told[0]["detail"].as_str().unwrap().contains("1095"), "{told}");
        assert_eq!(answer.body["status"], "partial", "{}", answer.body);
    } else {
        assert_eq!(told[0]["outcome"], "killed", "{told}");
    }
    assert_eq!(is_ended(&mut boss).await, product == Product::MariaDb);
    assert!(is_ended(&mut session).await);
}

async fn nobody_is_ended_by_a_number_that_is_too_large(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    let answer = kill(&gateway, &by_ids("orders", &[4_294_967_296 + id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", answer.body);
    assert!(!is_ended(&mut session).await);
    let sql = format!("KILL {}", 4_294_967_296 + id);
    if product == Product::MySql {
        // That is why.
        server.boss().await.execute(plain(sql)).await.unwrap();
        assert!(is_ended(&mut session).await);
    }
}

async fn the_gateways_own_connection_is_not_ended_and_counts_for_nothing(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    assert_eq!(list(&gateway, "orders").await.status, StatusCode::OK);
    let own = format!("SELECT CAST(ID AS UNSIGNED) FROM {} WHERE USER = '{}'", product.table(), server.gateway);
    let own: u64 = sqlx::query_scalar(plain(own)).fetch_one(&mut server.boss().await).await.unwrap();
    for end in ["statement", "session"] {
        let mut body = by_ids("orders", &[own]);
        (body["look"], body["end"]) = (json!(false), json!(end));
        let answer = kill(&gateway, &body).await;
        assert_eq!(outcomes(&answer), [(own.to_string().as_str(), "failed")], "{end}: {}", answer.body);
        assert!(answer.body["sessions"][0]["detail"].as_str().unwrap().contains("own connection"), "{}", answer.body);
    }
}

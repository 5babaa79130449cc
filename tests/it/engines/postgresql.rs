//! PostgreSQL by its own protocol.

use actix_web::http::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};

use super::{by_ids, kill, list, outcomes};
use crate::support::{
    gateway::{Engine, Gateway, Setup, on_both_engines, on_one_engine},
    servers::{PASSWORD, PgServer, is_ended, with_id},
};

on_both_engines!(a_session_is_ended_and_stands_on_record);

on_one_engine! {
    who_is_there_is_told_with_all_that_is_known,
    a_superusers_session_is_not_ended_and_the_reason_is_told,
    a_pin_is_held_by_the_server_itself,
    a_statement_is_cancelled_and_its_session_lives,
    what_keeps_the_gateway_from_a_server_is_told,
}

async fn gateway(engine: Engine, server: &PgServer, more: &str) -> Gateway {
    Gateway::start_with(engine, Setup { more: server.configuration("orders", more), ..Setup::default() }).await
}

async fn a_session_is_ended_and_stands_on_record(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let (mut session, id) = server.session().await;
    session.execute("SELECT 'Alice', pg_sleep(0)").await.unwrap();
    session.execute("BEGIN").await.unwrap();
    let answer = kill(&gateway, &by_ids("orders", &[id, 1])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(outcomes(&answer), [(id.to_string().as_str(), "killed"), ("1", "not_found")], "{}", answer.body);
    assert!(is_ended(&mut session).await);
    let record = gateway.record(answer.kill_id()).await;
    let identity = &record["sessions"][0]["identity"];
    assert_eq!(
        (&identity["user"], &identity["state"]),
        (&json!(server.app), &json!("idle in transaction")),
        "{record}"
    );
    for name in ["host", "database", "command", "started_at"] {
        assert!(identity[name].is_string(), "{name}: {record}");
    }
    assert_eq!(record["target"]["node"], "primary", "{record}");
    let again = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((again.status, outcomes(&again)), (StatusCode::OK, vec![(id.to_string().as_str(), "not_found")]));
}

async fn who_is_there_is_told_with_all_that_is_known(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let (mut session, id) = server.session().await;
    session.execute("BEGIN").await.unwrap();
    session.execute("SELECT 'Alice'").await.unwrap();
    let answer = list(&gateway, "orders").await;
    assert_eq!((answer.status, &answer.body["complete"]), (StatusCode::OK, &json!(true)), "{}", answer.body);
    let items = answer.body["items"].as_array().unwrap();
    let seen = items.iter().find(|item| item["id"] == id.to_string()).unwrap();
    assert_eq!(
        (&seen["user"], &seen["command"], &seen["state"], &seen["application"], &seen["statement"]),
        (
            &json!(server.app),
            &json!("client backend"),
            &json!("idle in transaction"),
            &json!("till"),
            &json!("SELECT 'Alice'")
        ),
    );
    assert!(seen["host"].as_str().unwrap().starts_with("127.0.0.1:"), "{seen}");
    assert!(
        seen["seconds"].is_u64() && seen["transaction_seconds"].is_u64() && seen["started_at"].is_string(),
        "{seen}"
    );
    assert_eq!(seen["protected"], json!(false), "{seen}");
    let own = items.iter().filter(|item| item["user"] == server.gateway.as_str()).collect::<Vec<_>>();
    assert!(own.len() == 1 && own[0]["protected_by"].as_str().is_some_and(|why| why.contains("killgate")), "{own:?}");
    let writer = items.iter().find(|item| item["command"] == "walwriter").unwrap();
    assert!(writer["protected_by"].is_string(), "{writer}");
    let body = by_ids("orders", &[own[0]["id"].as_str().unwrap().parse().unwrap()]);
    let answer = kill(&gateway, &body).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "protected", "{}", answer.body);
}

async fn a_superusers_session_is_not_ended_and_the_reason_is_told(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let (mut boss, id) = with_id(server.owner().await).await;
    let (mut session, other) = server.session().await;
    let answer = kill(&gateway, &by_ids("orders", &[id, other])).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("partial")), "{}", answer.body);
    let told = &answer.body["sessions"][0];
    assert!(told["outcome"] == "failed" && told["detail"].as_str().unwrap().contains("superuser"), "{told}");
    assert!(!is_ended(&mut boss).await && is_ended(&mut session).await);
    let alone = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((alone.status, &alone.body["status"]), (StatusCode::OK, &json!("failed")), "{}", alone.body);
}

async fn a_pin_is_held_by_the_server_itself(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let (mut session, id) = server.session().await;
    let pinned = |pin: serde_json::Value| {
        let mut one = json!({ "id": id });
        one.as_object_mut().unwrap().extend(pin.as_object().unwrap().clone());
        json!({ "target": "orders", "select": { "ids": [one] }, "reason": "pinned" })
    };
    let answer = kill(&gateway, &pinned(json!({ "user": "somebody" }))).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "changed", "{}", answer.body);
    assert!(!is_ended(&mut session).await);
    let answer = kill(&gateway, &pinned(json!({ "user": server.app, "host": "127.0.0.1" }))).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "killed", "{}", answer.body);
}

async fn a_statement_is_cancelled_and_its_session_lives(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let (mut idle, idle_id) = server.session().await;
    let (mut busy, busy_id) = server.session().await;
    let work = tokio::spawn(async move { (busy.execute("SELECT pg_sleep(600)").await.err(), busy) });
    let mut owner = server.owner().await;
    let is_busy = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {busy_id} AND state = 'active'");
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(is_busy.clone())).fetch_one(&mut owner).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let mut body = by_ids("orders", &[busy_id, idle_id]);
    body["end"] = json!("statement");
    let answer = kill(&gateway, &body).await;
    let told = [(busy_id.to_string(), "killed"), (idle_id.to_string(), "not_found")];
    assert_eq!(outcomes(&answer), told.each_ref().map(|(id, outcome)| (id.as_str(), *outcome)), "{}", answer.body);
    assert_eq!(gateway.record(answer.kill_id()).await["end"], "statement");
    let (error, mut busy) = work.await.unwrap();
    assert!(error.unwrap().to_string().contains("canceling statement"));
    assert!(!is_ended(&mut busy).await && !is_ended(&mut idle).await);
}

async fn what_keeps_the_gateway_from_a_server_is_told(engine: Engine) {
    let server = PgServer::new().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wrong = server.configuration("wrong", "").replace(PASSWORD, "canary-of-a-password");
    let wrong = wrong.replace(&server.address(), &server.address().replace("127.0.0.1", "localhost"));
    let down = server.configuration("down", "").replace(&server.address(), &gone.to_string());
    let gateway = gateway(engine, &server, &format!("{wrong}{down}")).await;
    let at = |target: &str| by_ids(target, &[7]);
    let answer = kill(&gateway, &at("wrong")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_denied"), "{}", answer.body);
    assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
    let answer = kill(&gateway, &at("down")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
    let answer = kill(
        &gateway,
        &json!({ "target": { "vendor": "postgresql", "account": "orders-pg", "node": "x" },
        "select": { "ids": [7] }, "reason": "no such node" }),
    )
    .await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", answer.body);
    assert_eq!(answer.body["errors"][0]["field"], "target.node", "{}", answer.body);
}

//! PostgreSQL by its own protocol.

mod reaching;

use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::json;
use sqlx::Executor;

use super::{by_ids, kill, list, outcomes, settled};
use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup, on_both_engines, on_one_engine},
    postgres::Cluster,
    servers::{PgServer, is_ended, try_run, until, with_id},
    way::{Proxy, Then},
};

on_both_engines!(a_session_is_ended_and_stands_on_record);

on_one_engine! {
    who_is_there_is_told_with_all_that_is_known,
    the_gateways_own_connection_is_not_ended_and_counts_for_nothing,
    a_superusers_session_is_not_ended_and_the_reason_is_told,
    a_pin_is_held_by_the_server_itself,
    a_statement_is_cancelled_and_its_session_lives,
    the_head_of_a_queue_is_found_and_ended,
    the_busiest_statements_are_chosen_shown_and_bound_by_a_confirm,
    a_session_that_dies_slowly_is_accepted_and_settled_by_looking,
    a_kill_whose_answer_is_lost_is_unknown_until_a_look_settles_it,
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

async fn the_gateways_own_connection_is_not_ended_and_counts_for_nothing(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let (mut session, id) = server.session().await;
    assert_eq!(list(&gateway, "orders").await.status, StatusCode::OK);
    let own = "SELECT pid FROM pg_stat_activity WHERE usename = $1";
    let own: i32 = sqlx::query_scalar(own).bind(&server.gateway).fetch_one(&mut server.owner().await).await.unwrap();
    for end in ["statement", "session"] {
        let mut body = by_ids("orders", &[own]);
        (body["look"], body["end"]) = (json!(false), json!(end));
        let answer = kill(&gateway, &body).await;
        assert_eq!(outcomes(&answer), [(own.to_string().as_str(), "failed")], "{end}: {}", answer.body);
        assert_eq!(answer.body["status"], "failed", "{end}: {}", answer.body);
        assert!(answer.body["sessions"][0]["detail"].as_str().unwrap().contains("own connection"), "{}", answer.body);
    }
    let mut body = by_ids("orders", &[own, id]);
    body["look"] = json!(false);
    let answer = kill(&gateway, &body).await;
    let (own, id) = (own.to_string(), id.to_string());
    assert_eq!(outcomes(&answer), [(own.as_str(), "failed"), (id.as_str(), "killed")], "{}", answer.body);
    assert!(is_ended(&mut session).await);
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
    let id = id.to_string();
    let seen = items.iter().find(|item| item["id"] == *id).unwrap();
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
    let body = by_ids("orders", &[own[0]["id"].clone()]);
    let answer = kill(&gateway, &body).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("protected"), "{}", answer.body);
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
    until(&mut owner, &format!("SELECT 1 FROM pg_stat_activity WHERE pid = {busy_id} AND state = 'active'")).await;
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

async fn the_head_of_a_queue_is_found_and_ended(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let (mut head, first) = server.session().await;
    let (mut second, second_id) = server.session().await;
    let (mut third, third_id) = server.session().await;
    head.execute("CREATE TABLE stock (id int)").await.unwrap();
    head.execute("BEGIN; LOCK TABLE stock").await.unwrap();
    let second = tokio::spawn(async move { second.execute("BEGIN; LOCK TABLE stock; COMMIT").await.is_ok() });
    let mut owner = server.owner().await;
    let waits = |id| format!("SELECT 1 FROM pg_stat_activity WHERE pid = {id} AND wait_event_type = 'Lock'");
    until(&mut owner, &waits(second_id)).await;
    let third = tokio::spawn(async move { third.execute("SELECT * FROM stock").await.is_ok() });
    until(&mut owner, &waits(third_id)).await;
    let answer = list(&gateway, &format!("orders&blocking=true&user={}", server.app)).await;
    let items = answer.body["items"].as_array().unwrap();
    assert_eq!(
        items.iter().map(|item| &item["id"]).collect::<Vec<_>>(),
        [&json!(first.to_string())],
        "{}",
        answer.body
    );
    let all = list(&gateway, &format!("orders&user={}", server.app)).await;
    let of = |id: i32| {
        let id = id.to_string();
        all.body["items"].as_array().unwrap().iter().find(|item| item["id"] == *id).unwrap()
    };
    assert_eq!(of(second_id)["blocked_by"], json!([first.to_string()]), "{}", all.body);
    let third_waits = of(third_id)["blocked_by"].as_array().unwrap();
    assert!(third_waits.contains(&json!(second_id.to_string())), "{}", all.body);
    let body = json!({ "target": "orders", "reason": "INC-4712",
        "select": { "match": { "user": server.app, "blocking": true, "idle_in_transaction": true } } });
    let answer = kill(&gateway, &body).await;
    assert_eq!(outcomes(&answer), [(first.to_string().as_str(), "killed")], "{}", answer.body);
    assert_eq!(answer.body["matched"], 1);
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!(record["sessions"][0]["identity"]["blocks"][0], second_id.to_string(), "{record}");
    assert!(second.await.unwrap() && third.await.unwrap() && is_ended(&mut head).await);
}

async fn the_busiest_statements_are_chosen_shown_and_bound_by_a_confirm(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let gateway = gateway(engine, &server, "").await;
    let (mut idle, _) = server.session().await;
    let mut busy = vec![];
    for seconds in [600, 700] {
        let (mut session, id) = server.session().await;
        busy.push((
            id,
            tokio::spawn(async move { try_run(&mut session, &format!("SELECT pg_sleep({seconds})")).await.is_err() }),
        ));
    }
    let mut owner = server.owner().await;
    for (id, _) in &busy {
        let old = format!(
            "SELECT 1 FROM pg_stat_activity WHERE pid = {id} AND state = 'active' AND query_start < clock_timestamp() - interval '6 s'"
        );
        until(&mut owner, &old).await;
    }
    let mut body = json!({ "target": "orders", "select": { "intelligent": true }, "reason": "slow", "dry_run": true });
    let preview = kill(&gateway, &body).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.body);
    let mut ids: Vec<_> = busy.iter().map(|(id, _)| id.to_string()).collect();
    ids.sort();
    let told = |answer: &Answer| {
        let mut told: Vec<_> = outcomes(answer).into_iter().map(|(id, it)| (id.to_owned(), it.to_owned())).collect();
        told.sort();
        told
    };
    let each = |outcome: &str| ids.iter().map(|id| (id.clone(), outcome.to_owned())).collect::<Vec<_>>();
    assert_eq!(told(&preview), each("alive"), "{}", preview.body);
    assert!(preview.body["sessions"][0]["detail"].as_str().unwrap().starts_with("2 sessions run this statement"));
    let (mut late, late_id) = server.session().await;
    let late_work = tokio::spawn(async move { late.execute("SELECT pg_sleep(3600)").await.is_err() });
    until(&mut owner, &format!("SELECT 1 FROM pg_stat_activity WHERE pid = {late_id} AND query_start < clock_timestamp() - interval '6 s' AND state = 'active'")).await;
    body.as_object_mut().unwrap().remove("dry_run");
    body["confirm"] = preview.body["confirm"].clone();
    let answer = kill(&gateway, &body).await;
    assert_eq!(told(&answer), each("killed"), "{}", answer.body);
    for (_, work) in busy {
        assert!(work.await.unwrap());
    }
    assert!(!late_work.is_finished() && !is_ended(&mut idle).await, "nobody else");
    late_work.abort();
}

async fn a_session_that_dies_slowly_is_accepted_and_settled_by_looking(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let gateway = gateway(engine, &server, "").await;
    let (_stopped, id) = server.session().await;
    cluster.silence(id);
    let token = Gateway::token("dba", "sessions:kill");
    let answer = gateway.client().post("/sessions/kill", &token, &[], by_ids("orders", &[id]).to_string()).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &json!("accepted")), "{}", answer.body);
    cluster.wake(id);
    let record = settled(&gateway, answer.kill_id()).await;
    assert_eq!(
        (&record["status"], &record["sessions"][0]["outcome"]),
        (&json!("succeeded"), &json!("killed")),
        "{record}"
    );
    assert!(record["verified_at"].is_string(), "{record}");
}

async fn a_kill_whose_answer_is_lost_is_unknown_until_a_look_settles_it(engine: Engine) {
    let server = PgServer::new().await;
    let proxy = Proxy::before(server.address()).await;
    let account = server.configuration("orders", "vendors.postgresql.timeout_ms = 5000\n");
    let more = account.replace(&server.address(), &proxy.address.to_string());
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let (mut session, id) = server.session().await;
    let held = proxy.hold("pg_terminate_backend");
    let (token, body) = (Gateway::token("dba", "sessions:kill"), by_ids("orders", &[id]).to_string());
    let (answer, ()) = tokio::join!(gateway.client().post("/sessions/kill", &token, &[], body), async {
        held.await.unwrap().then(Then::PassAndCut);
    });
    assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"), "{}", answer.body);
    let record = settled(&gateway, answer.kill_id()).await;
    assert_eq!(record["sessions"][0]["outcome"], "gone", "{record}");
    assert!(is_ended(&mut session).await);
}

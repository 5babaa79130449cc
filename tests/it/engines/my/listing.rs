//! Who is there.

use actix_web::http::StatusCode;
use serde_json::json;
use sqlx::Executor;

use super::{
    super::{by_ids, kill, list, outcomes},
    gateway, of_id,
};
use crate::support::my::{MyServer, Product, is_ended, on_both_servers, plain};

on_both_servers! {
    who_is_there_is_told_with_all_that_is_known,
    whose_sessions_they_are_is_not_told_without_the_right_to_see_them,
    who_blocks_whom_is_told_and_the_first_of_them_is_ended,
    a_session_that_set_its_own_time_is_no_older_than_it_is,
    who_is_left_out_of_the_usual_list_is_seen_and_ended_all_the_same,
}

async fn who_is_there_is_told_with_all_that_is_known(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    session.execute("BEGIN").await.unwrap();
    session.execute("UPDATE goods SET pieces = 9 WHERE id = 1").await.unwrap();
    let (mut busy, busy_id) = server.session().await;
    let work = tokio::spawn(async move { busy.execute("SELECT SLEEP(600), 'Alice 😀'").await.err() });
    server.until(busy_id, "INFO LIKE '%SLEEP(600)%'").await;
    let answer = list(&gateway, "orders").await;
    assert_eq!((answer.status, &answer.body["complete"]), (StatusCode::OK, &json!(true)), "{}", answer.body);
    let seen = of_id(&answer, id);
    assert_eq!(
        (&seen["user"], &seen["database"], &seen["command"], &seen["protected"]),
        (&json!(server.app), &json!(server.database), &json!("Sleep"), &json!(false)),
        "{seen}"
    );
    assert!(seen["host"].as_str().unwrap().starts_with("127.0.0.1:"), "{seen}");
    assert!(seen["seconds"].is_u64() && seen["transaction_seconds"].is_u64(), "{seen}");
    let seen = of_id(&answer, busy_id);
    assert_eq!((&seen["command"], &seen["transaction_seconds"]), (&json!("Query"), &json!(null)), "{seen}");
    assert!(seen["statement"].as_str().unwrap().starts_with("SELECT SLEEP(600), 'Alice"), "{seen}");
    let items = answer.body["items"].as_array().unwrap();
    let own = items.iter().filter(|item| item["user"] == server.gateway.as_str()).collect::<Vec<_>>();
    assert!(own.len() == 1 && own[0]["protected_by"].as_str().is_some_and(|why| why.contains("killgate")), "{own:?}");
    let scheduler = items.iter().find(|item| item["user"] == "event_scheduler").unwrap();
    assert!(scheduler["protected_by"].is_string(), "{scheduler}");
    let ids = [own[0]["id"].clone(), scheduler["id"].clone()];
    let answer = kill(&gateway, &by_ids("orders", &ids)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
    let mut blind = by_ids("orders", &ids);
    blind["look"] = json!(false);
    let answer = kill(&gateway, &blind).await;
    let told = outcomes(&answer);
    assert_eq!(told[0].1, "failed", "its own connection: {}", answer.body);
    assert_eq!(told[1].1, "failed", "it is listed, and nobody ends it: {}", answer.body);
    let answer = kill(&gateway, &by_ids("orders", &[busy_id])).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "killed", "{}", answer.body);
    assert!(work.await.unwrap().is_some());
}

async fn whose_sessions_they_are_is_not_told_without_the_right_to_see_them(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let revoke = format!("REVOKE PROCESS ON *.* FROM {}", server.gateway);
    server.boss().await.execute(plain(revoke)).await.unwrap();
    let (_session, id) = server.session().await;
    for answer in [list(&gateway, "orders").await, kill(&gateway, &by_ids("orders", &[id])).await] {
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_denied"), "{}", answer.body);
        assert!(answer.body.to_string().contains("1227"), "{}", answer.body);
    }
}

async fn who_blocks_whom_is_told_and_the_first_of_them_is_ended(product: Product) {
    let server = MyServer::new(product).await;
    if product == Product::MySql {
        let grant = format!("GRANT SELECT ON performance_schema.* TO {}", server.gateway);
        server.boss().await.execute(plain(grant)).await.unwrap();
    }
    let gateway = gateway(&server, "").await;
    let (mut holder, holder_id) = server.session().await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("UPDATE goods SET pieces = 9 WHERE id = 1").await.unwrap();
    let (mut waiter, waiter_id) = server.session().await;
    let work = tokio::spawn(async move { waiter.execute("UPDATE goods SET pieces = 8 WHERE id = 1").await });
    server.until(waiter_id, "COMMAND = 'Query'").await;
    // InnoDB's own tables are copies that are some moments old.
    crate::support::patience::eventually("a waiter", async || {
        let answer = list(&gateway, "orders").await;
        (of_id(&answer, waiter_id)["blocked_by"] == json!([holder_id.to_string()])).then_some(())
    })
    .await;
    let criteria = json!({ "user": server.app, "blocking": true, "idle_in_transaction": true });
    let answer = kill(&gateway, &json!({ "target": "orders", "select": { "match": criteria }, "reason": "x" })).await;
    assert_eq!(outcomes(&answer), [(holder_id.to_string().as_str(), "killed")], "{}", answer.body);
    assert_eq!(work.await.unwrap().unwrap().rows_affected(), 1);
}

async fn a_session_that_set_its_own_time_is_no_older_than_it_is(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    session.execute("SET timestamp = 1").await.unwrap();
    session.execute("SELECT 1").await.unwrap();
    let young = |answer: &crate::support::gateway::Answer| {
        let seconds = of_id(answer, id)["seconds"].as_u64();
        assert!(seconds.is_none_or(|seconds| seconds < 3600), "{}", answer.body);
        seconds
    };
    young(&list(&gateway, "orders").await);
    if product == Product::MySql {
        let grant = format!("GRANT SELECT ON performance_schema.* TO {}", server.gateway);
        server.boss().await.execute(plain(grant)).await.unwrap();
        assert!(young(&list(&gateway, "orders").await).is_some(), "by a clock that it cannot set");
    }
}

async fn who_is_left_out_of_the_usual_list_is_seen_and_ended_all_the_same(product: Product) {
    if product == Product::MariaDb {
        return; // It has another list, which leaves out nobody.
    }
    for option in ["--performance-schema=OFF", "--performance-schema-max-thread-instances=50"] {
        let server = MyServer::own(product, &[option.to_owned()]).await;
        let gateway = gateway(&server, &server.tls()).await;
        let (mut session, id) = loop {
            let (session, id) = server.session().await;
            let sql = format!("SELECT COUNT(*) FROM {} WHERE ID = {id}", product.table());
            let count: i64 = sqlx::query_scalar(plain(sql)).fetch_one(&mut server.boss().await).await.unwrap();
            if count == 0 {
                break (session, id);
            }
            std::mem::forget(session);
        };
        let answer = list(&gateway, "orders").await;
        assert_eq!((answer.status, &answer.body["complete"]), (StatusCode::OK, &json!(true)), "{}", answer.body);
        assert_eq!(of_id(&answer, id)["user"], json!(server.app), "{option}");
        let own = |item: &&serde_json::Value| item["user"] == server.gateway.as_str();
        let own = answer.body["items"].as_array().unwrap().iter().find(own).unwrap();
        assert!(own["protected_by"].as_str().is_some_and(|why| why.contains("killgate")), "{own}");
        let answer = kill(&gateway, &by_ids("orders", &[id])).await;
        assert_eq!(outcomes(&answer), [(id.to_string().as_str(), "killed")], "{option}: {}", answer.body);
        assert!(is_ended(&mut session).await, "{option}");
    }
}

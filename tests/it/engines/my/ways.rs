//! What happens between the look and the kill, and on the way.

use actix_web::http::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, Executor};

use super::{
    super::{by_ids, kill, list, outcomes},
    gateway, gateway_with, of_id,
};
use crate::support::{
    gateway::{Answer, Gateway},
    my::{MyServer, Product, is_ended, on_both_servers, plain},
    patience::eventually,
    way::{Proxy, Then},
};

on_both_servers! {
    a_session_that_is_not_the_one_that_was_seen_is_not_ended_by_the_server,
    a_session_that_ended_by_itself_in_between_is_told_as_such,
    a_statement_that_ended_in_between_takes_no_other_with_it,
    where_the_way_broke_off_nobody_knows_until_somebody_looks,
    a_long_way_back_is_told_and_seen_to_its_end,
    a_providers_own_procedure_ends_what_the_statement_may_not,
    what_was_prepared_stays_when_its_session_goes,
}

/// A gateway whose target `orders` is behind a proxy.
async fn behind(server: &MyServer) -> (Proxy, Gateway) {
    behind_for(server, 60_000).await
}

/// The same with so many milliseconds for a call. Looks after a lost answer come when that time is over.
async fn behind_for(server: &MyServer, timeout_ms: u32) -> (Proxy, Gateway) {
    let proxy = Proxy::before(server.address()).await;
    let account = server.configuration_at("orders", &proxy.address.to_string(), "");
    let times = format!("\n[vendors.{}]\nmax_wait_ms = 60000\ntimeout_ms = {timeout_ms}\n", server.product.name());
    let gateway = gateway_with(format!("{account}{times}")).await;
    (proxy, gateway)
}

fn outcome(answer: &Answer) -> &Value {
    &answer.body["sessions"][0]["outcome"]
}

async fn a_session_that_is_not_the_one_that_was_seen_is_not_ended_by_the_server(product: Product) {
    let server = MyServer::new(product).await;
    let (proxy, gateway) = behind(&server).await;
    let (mut session, id) = server.session().await;
    let table = product.table();
    let host = format!("SELECT HOST FROM {table} WHERE ID = {id}");
    let host: String = sqlx::query_scalar(plain(host)).fetch_one(&mut server.boss().await).await.unwrap();
    let last = if host.ends_with('1') { '2' } else { '1' };
    // The list tells of a session of another port: as one would have it that had the number before.
    proxy.put(&host, &format!("{}{last}", &host[..host.len() - 1]));
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, outcome(&answer)), (StatusCode::OK, &json!("changed")), "{}", answer.body);
    assert!(!is_ended(&mut session).await);
}

async fn a_session_that_ended_by_itself_in_between_is_told_as_such(product: Product) {
    let server = MyServer::new(product).await;
    let (proxy, gateway) = behind(&server).await;
    let (session, id) = server.session().await;
    let held = proxy.hold("KILL (@k)");
    let body = by_ids("orders", &[id]);
    let meanwhile = async {
        let held = held.await.unwrap();
        session.close().await.unwrap();
        let table = product.table();
        let mut boss = server.boss().await;
        eventually("gone", async || {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE ID = {id}");
            let count: i64 = sqlx::query_scalar(plain(sql)).fetch_one(&mut boss).await.unwrap();
            (count == 0).then_some(())
        })
        .await;
        held.then(Then::Pass);
    };
    let (answer, ()) = tokio::join!(kill(&gateway, &body), meanwhile);
    assert_eq!((answer.status, outcome(&answer)), (StatusCode::OK, &json!("not_found")), "{}", answer.body);
}

async fn a_statement_that_ended_in_between_takes_no_other_with_it(product: Product) {
    let server = MyServer::new(product).await;
    let (proxy, gateway) = behind(&server).await;
    let (mut session, id) = server.session().await;
    let (mut holder, _) = server.session().await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("UPDATE goods SET pieces = 9 WHERE id = 1").await.unwrap();
    let (first_done, next) = tokio::sync::oneshot::channel();
    let work = tokio::spawn(async move {
        session.execute("UPDATE goods SET pieces = 8 WHERE id = 1").await.unwrap();
        first_done.send(()).unwrap();
        session.execute("UPDATE goods SET pieces = 7 WHERE id = 2").await.map(|done| done.rows_affected())
    });
    server.until(id, "INFO LIKE 'UPDATE%'").await;
    let held = proxy.hold(if product == Product::MariaDb { "KILL QUERY ID (@q)" } else { "KILL QUERY (@k)" });
    let mut body = by_ids("orders", &[id]);
    body["end"] = json!("statement");
    let meanwhile = async {
        let held = held.await.unwrap();
        let (mut other, _) = server.session().await;
        other.execute("BEGIN").await.unwrap();
        other.execute("UPDATE goods SET pieces = 6 WHERE id = 2").await.unwrap();
        holder.execute("COMMIT").await.unwrap();
        next.await.unwrap();
        server.until(id, "INFO LIKE '%pieces = 7%'").await;
        held.then(Then::Pass);
        other
    };
    let (answer, mut other) = tokio::join!(kill(&gateway, &body), meanwhile);
    assert_eq!((answer.status, outcome(&answer)), (StatusCode::OK, &json!("not_found")), "{}", answer.body);
    other.execute("COMMIT").await.unwrap();
    assert_eq!(work.await.unwrap().unwrap(), 1, "it runs on");
}

async fn where_the_way_broke_off_nobody_knows_until_somebody_looks(product: Product) {
    let server = MyServer::new(product).await;
    let (proxy, gateway) = behind_for(&server, 10_000).await;
    let (mut session, id) = server.session().await;
    for then in [Then::Cut, Then::PassAndCut] {
        let arrives = matches!(then, Then::PassAndCut);
        let held = proxy.hold("KILL (@k)");
        let (body, meanwhile) = (by_ids("orders", &[id]), async { held.await.unwrap().then(then) });
        let (answer, ()) = tokio::join!(gateway.kill(&body), meanwhile);
        assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"), "{}", answer.body);
        let kill_id = answer.kill_id();
        if arrives {
            let settled = eventually("settled", async || {
                Some(gateway.record(kill_id).await).filter(|record| record["status"] != "unknown")
            });
            let record = settled.await;
            assert_eq!((&record["status"], &record["sessions"][0]["outcome"]), (&json!("succeeded"), &json!("gone")));
        } else {
            assert_eq!(gateway.record(kill_id).await["status"], "unknown");
        }
        assert_eq!(is_ended(&mut session).await, arrives);
    }
}

async fn a_long_way_back_is_told_and_seen_to_its_end(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    session.execute("CREATE TABLE digits (d INT PRIMARY KEY)").await.unwrap();
    session.execute("INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)").await.unwrap();
    session.execute("BEGIN").await.unwrap();
    let many = "INSERT INTO goods SELECT 10 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d, 0 \
                FROM digits a, digits b, digits c, digits d, digits e, digits f WHERE f.d < 3";
    assert_eq!(session.execute(many).await.unwrap().rows_affected(), 300_000);
    let answer = gateway.kill(&by_ids("orders", &[id])).await;
    assert!(outcome(&answer) == "accepted" || outcome(&answer) == "killed", "{}", answer.body);
    if outcome(&answer) == "accepted" {
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        let detail = answer.body["sessions"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("still there"), "{detail}");
    }
    let kill_id = answer.body["id"].as_str().unwrap();
    let settled = eventually("settled", async || {
        Some(gateway.record(kill_id).await).filter(|record| record["status"] != "accepted")
    });
    let record = settled.await;
    assert_eq!((&record["status"], &record["sessions"][0]["outcome"]), (&json!("succeeded"), &json!("killed")));
    // Its locks are gone with it.
    let (mut other, _) = server.session().await;
    other.execute("SET innodb_lock_wait_timeout = 1").await.unwrap();
    assert_eq!(other.execute("DELETE FROM goods").await.unwrap().rows_affected(), 2);
}

async fn a_providers_own_procedure_ends_what_the_statement_may_not(product: Product) {
    let server = MyServer::own(product, &[]).await;
    let mut boss = server.boss().await;
    let kill_right = if product == Product::MySql { "CONNECTION_ADMIN" } else { "CONNECTION ADMIN" };
    let mut run = async |sql: String| boss.execute(plain(&sql)).await.map_err(|e| format!("{sql}: {e}")).unwrap();
    run(format!("REVOKE {kill_right} ON *.* FROM {}", server.gateway)).await;
    let (name, tables) = (
        &server.gateway,
        [("rds_kill", "KILL"), ("rds_kill_query", "KILL QUERY"), ("rds_kill_query_id", "KILL QUERY ID")],
    );
    for (procedure, statement) in &tables[..if product == Product::MySql { 2 } else { 3 }] {
        run(format!("CREATE PROCEDURE mysql.{procedure}(IN thread BIGINT) BEGIN {statement} thread; END")).await;
        run(format!("GRANT EXECUTE ON PROCEDURE mysql.{procedure} TO {name}")).await;
    }
    let (mut session, id) = server.session().await;
    let plain = gateway(&server, &server.tls()).await;
    let answer = kill(&plain, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, outcome(&answer)), (StatusCode::OK, &json!("failed")), "{}", answer.body);
    assert!(answer.body["sessions"][0]["detail"].as_str().unwrap().contains("1095"), "{}", answer.body);
    assert!(!is_ended(&mut session).await);
    let gateway = gateway(&server, &format!("{}\nkill_with = \"rds\"", server.tls())).await;
    let (mut busy, busy_id) = server.session().await;
    let work = tokio::spawn(async move { (busy.execute("SELECT SLEEP(600)").await, busy) });
    server.until(busy_id, "INFO LIKE '%SLEEP(600)'").await;
    let mut body = by_ids("orders", &[busy_id]);
    body["end"] = json!("statement");
    let answer = kill(&gateway, &body).await;
    assert_eq!(outcome(&answer), "killed", "{}", answer.body);
    let (_, mut busy) = work.await.unwrap();
    assert!(!is_ended(&mut busy).await);
    let answer = kill(&gateway, &by_ids("orders", &[id, 4_294_967_295])).await;
    let told = [(id.to_string(), "killed"), ("4294967295".to_owned(), "not_found")];
    assert_eq!(outcomes(&answer), told.each_ref().map(|(id, outcome)| (id.as_str(), *outcome)), "{}", answer.body);
    assert!(is_ended(&mut session).await);
}

async fn what_was_prepared_stays_when_its_session_goes(product: Product) {
    let server = MyServer::new(product).await;
    if product == Product::MySql {
        let grant = format!("GRANT SELECT ON performance_schema.* TO {}", server.gateway);
        server.boss().await.execute(plain(grant)).await.unwrap();
    }
    let gateway = gateway(&server, "").await;
    let (mut session, id) = server.session().await;
    let name = &server.database;
    for sql in ["XA START", "UPDATE goods SET pieces = 9 WHERE id = 1", "XA END", "XA PREPARE"] {
        let sql = if sql.starts_with("XA") { format!("{sql} '{name}'") } else { sql.to_owned() };
        session.execute(plain(sql)).await.unwrap();
    }
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!(outcome(&answer), "killed", "{}", answer.body);
    assert!(is_ended(&mut session).await);
    let (mut waiter, waiter_id) = server.session().await;
    let work = tokio::spawn(async move { waiter.execute("UPDATE goods SET pieces = 8 WHERE id = 1").await });
    server.until(waiter_id, "COMMAND = 'Query'").await;
    eventually("a waiter", async || {
        let answer = list(&gateway, "orders").await;
        (of_id(&answer, waiter_id)["blocked_by"] == json!(["0"])).then_some(())
    })
    .await;
    server.boss().await.execute(plain(format!("XA ROLLBACK '{name}'"))).await.unwrap();
    assert_eq!(work.await.unwrap().unwrap().rows_affected(), 1);
}

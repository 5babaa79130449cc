//! PostgreSQL's sessions that are not like others: holders of locks that are no sessions, replicas, and foreign letters.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
};

use actix_web::http::StatusCode;
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::{by_ids, kill, list, outcomes};
use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup, on_one_engine},
    postgres::Cluster,
    servers::{PASSWORD, PgServer, is_ended, until},
};

on_one_engine! {
    a_prepared_transaction_is_told_as_the_blocker_and_nobody_can_be_ended_for_it,
    a_replica_is_protected,
    letters_of_another_encoding_break_no_list,
    while_the_table_of_roles_is_locked_nobody_is_ended_and_the_lock_is_told,
}

async fn gateway(engine: Engine, server: &PgServer) -> Gateway {
    Gateway::start_with(engine, Setup { more: server.configuration("orders", ""), ..Setup::default() }).await
}

fn items(answer: &Answer) -> &[Value] {
    answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.body))
}

/// The session as it is listed.
fn listed(answer: &Answer, id: i32) -> &Value {
    let id = id.to_string();
    items(answer).iter().find(|item| item["id"] == id.as_str()).unwrap_or_else(|| panic!("{id}: {}", answer.body))
}

async fn a_prepared_transaction_is_told_as_the_blocker_and_nobody_can_be_ended_for_it(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    server.owner().await.execute("ALTER SYSTEM SET max_prepared_transactions = 5").await.unwrap();
    cluster.stop();
    cluster.restart();
    let mut owner = server.owner().await;
    let gateway = gateway(engine, &server).await;
    let (mut holder, holder_id) = server.session().await;
    holder.execute("CREATE TABLE stock (id int)").await.unwrap();
    holder.execute("BEGIN; LOCK TABLE stock").await.unwrap();
    holder.execute("PREPARE TRANSACTION 'held'").await.unwrap();
    let (mut waiting, id) = server.session().await;
    let work = tokio::spawn(async move { waiting.execute("SELECT * FROM stock").await.is_ok() });
    let waits = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {id} AND wait_event_type = 'Lock'");
    until(&mut owner, &waits).await;

    // The session that prepared it may be ended, and that helps nobody.
    let answer = kill(&gateway, &by_ids("orders", &[holder_id, 0])).await;
    assert_eq!(outcomes(&answer), [(holder_id.to_string().as_str(), "killed"), ("0", "not_found")], "{}", answer.body);
    let answer = list(&gateway, &format!("orders&user={}", server.app)).await;
    let seen = listed(&answer, id);
    assert_eq!(seen["blocked_by"], json!(["0"]), "{seen}");
    let heads = list(&gateway, "orders&blocking=true").await;
    assert_eq!((heads.status, items(&heads)), (StatusCode::OK, &[][..]), "{}", heads.body);
    let body = json!({ "target": "orders", "reason": "INC-4713",
        "select": { "match": { "user": server.app, "blocking": true } } });
    let answer = kill(&gateway, &body).await;
    assert_eq!((answer.status, &answer.body["matched"]), (StatusCode::OK, &json!(0)), "{}", answer.body);
    assert!(!work.is_finished());
    owner.execute("ROLLBACK PREPARED 'held'").await.unwrap();
    assert!(work.await.unwrap());
}

/// A client that takes what the server writes, as a replica does; ended with the value.
struct Replica {
    process: Child,
    #[expect(dead_code, reason = "kept only to be removed with the process")]
    directory: tempfile::TempDir,
}

impl Replica {
    fn start(bin: &str, server: &PgServer) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = server.address();
        let (host, port) = address.rsplit_once(':').unwrap();
        let process = Command::new(format!("{bin}/pg_receivewal"))
            .args(["--host", host, "--port", port, "--username", &server.app, "--no-password", "--no-loop"])
            .arg("--directory")
            .arg(directory.path())
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it is installed with the server");
        Self { process, directory }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.process.kill().unwrap_or_default();
        self.process.wait().expect("a child");
    }
}

async fn a_replica_is_protected(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let mut owner = server.owner().await;
    let mut role = sqlx::QueryBuilder::<sqlx::Postgres>::new("ALTER ROLE ");
    role.push(&server.app).push(" REPLICATION").build().execute(&mut owner).await.unwrap();
    let bin: String =
        sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetch_one(&mut owner).await.unwrap();
    let _replica = Replica::start(&bin, &server);
    let sends = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'";
    until(&mut owner, sends).await;
    let id: i32 = sqlx::query_scalar("SELECT pid FROM pg_stat_replication").fetch_one(&mut owner).await.unwrap();
    let gateway = gateway(engine, &server).await;
    let (mut session, session_id) = server.session().await;

    let answer = list(&gateway, &format!("orders&user={}", server.app)).await;
    let seen = listed(&answer, id);
    assert_eq!((&seen["command"], &seen["protected"]), (&json!("walsender"), &json!(true)), "{seen}");
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
    let body = json!({ "target": "orders", "reason": "INC-4714", "select": { "match": { "user": server.app } } });
    let answer = kill(&gateway, &body).await;
    let told: Vec<_> = outcomes(&answer).into_iter().filter(|(_, outcome)| *outcome != "protected").collect();
    assert_eq!(told, [(session_id.to_string().as_str(), "killed")], "{}", answer.body);
    assert!(is_ended(&mut session).await);
    let still: i32 = sqlx::query_scalar("SELECT pid FROM pg_stat_replication").fetch_one(&mut owner).await.unwrap();
    assert_eq!(still, id);
}

async fn letters_of_another_encoding_break_no_list(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let create = "CREATE DATABASE old ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    server.owner().await.execute(create).await.unwrap();
    let gateway = gateway(engine, &server).await;
    let mut old = server.login_to(Some("old")).await.unwrap();
    old.execute("BEGIN").await.unwrap();
    old.execute("SELECT 'café'").await.unwrap();
    let (mut session, session_id) = server.session().await;
    let answer = list(&gateway, &format!("orders&user={}", server.app)).await;
    assert_eq!((answer.status, &answer.body["complete"]), (StatusCode::OK, &json!(true)), "{}", answer.body);
    let seen = items(&answer).iter().find(|item| item["database"] == "old").unwrap();
    assert!(seen["statement"].as_str().is_some_and(|statement| statement.starts_with("SELECT 'caf")), "{seen}");
    assert_eq!(listed(&answer, session_id)["database"], "postgres");
    let body = json!({ "target": "orders", "reason": "INC-4715",
        "select": { "match": { "user": server.app, "database": "old" } } });
    let answer = kill(&gateway, &body).await;
    assert_eq!(outcomes(&answer), [(seen["id"].as_str().unwrap(), "killed")], "{}", answer.body);
    assert!(is_ended(&mut old).await && !is_ended(&mut session).await);
}

async fn while_the_table_of_roles_is_locked_nobody_is_ended_and_the_lock_is_told(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let gateway = gateway(engine, &server).await;
    let (mut session, id) = server.session().await;
    let mut owner = server.owner().await;
    assert_eq!(list(&gateway, "orders").await.status, StatusCode::OK);
    owner.execute("BEGIN; LOCK TABLE pg_authid").await.unwrap();
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("55P03"), "{}", answer.body);
    owner.execute("COMMIT").await.unwrap();
    assert!(!is_ended(&mut session).await);
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!(outcomes(&answer), [(id.to_string().as_str(), "killed")], "{}", answer.body);
    assert!(is_ended(&mut session).await);
}

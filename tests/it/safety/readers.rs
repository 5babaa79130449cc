//! Whoever reads the record, however much and however long, keeps no kill waiting.

use killgate::sandbox::Clouds;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::on_one_engine;
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of},
    patience::{eventually, in_time},
};

on_one_engine! {
    a_caller_that_reads_too_much_at_once_is_told_so,
}

/// A gateway of ten connections, of which readers have two.
async fn gateway() -> Gateway {
    let env = vec![("KILLGATE__AUDIT__MAX_CONNECTIONS", "10")];
    Gateway::start_blind_with(Engine::Postgres, Setup { env, clouds: Some(Clouds::demo()), ..Setup::default() }).await
}

/// A transaction that keeps others from a table.
async fn locked(gateway: &Gateway, lock: &'static str) -> PgConnection {
    let mut connection = PgConnection::connect(&gateway.database_url()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
    sqlx::query(lock).execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_hold_all_their_connections_delay_neither_a_keyed_kill_nor_what_is_settled() {
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let gateway = gateway().await;
    // A table that exports read and kills do not.
    let lock = locked(&gateway, "LOCK TABLE blocks IN ACCESS EXCLUSIVE MODE").await;
    let mut raw = PgConnection::connect(&gateway.database_url()).await.unwrap();
    let mut exports = JoinSet::new();
    for caller in ["a", "a", "b", "b", "c", "c"] {
        let (client, token) = (gateway.client().clone(), Gateway::token(caller, "kills:export"));
        exports.spawn(async move { client.get("/kills/export", &token).await.status.as_u16() });
    }
    eventually("readers have no connection left", async || {
        let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut raw).await.unwrap();
        (waiting >= 2).then_some(())
    })
    .await;

    let kill = kill_of("orders-shard-1", &[1111]);
    let answer = in_time(gateway.kill_with(&[("Idempotency-Key", "one")], &kill)).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (202, &"accepted".into()), "{}", answer.body);
    let again = in_time(gateway.kill_with(&[("Idempotency-Key", "one")], &kill)).await;
    assert_eq!(again.kill_id(), answer.kill_id());
    eventually("it is settled", async || {
        let sql = "SELECT status FROM kills WHERE id = $1::uuid";
        let status: String = sqlx::query_scalar(sql).bind(answer.kill_id()).fetch_one(&mut raw).await.unwrap();
        (status == "succeeded").then_some(())
    })
    .await;
    let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut raw).await.unwrap();
    assert_eq!(waiting, 2, "and readers wait all the while");
    lock.close().await.unwrap();
    assert!(exports.join_all().await.iter().all(|status| *status == 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_to_count_is_not_counted() {
    let gateway = gateway().await;
    let lock = locked(&gateway, "LOCK TABLE kill_index IN ACCESS EXCLUSIVE MODE").await;
    let answer = gateway.read("/kills/stats").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "overloaded"), "{}", answer.body);
    assert!(answer.header("retry-after").is_some());
    lock.close().await.unwrap();
    assert_eq!(gateway.read("/kills/stats").await.status.as_u16(), 200);
}

async fn a_caller_that_reads_too_much_at_once_is_told_so(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let mut reading = JoinSet::new();
    for _ in 0..200 {
        let client = gateway.client().clone();
        let token = Gateway::token("auditor", "kills:read");
        reading.spawn(async move { client.get("/kills", &token).await });
    }
    for answer in reading.join_all().await {
        match answer.status.as_u16() {
            200 => {}
            429 => assert!(answer.code() == "rate_limited" && answer.header("retry-after").is_some()),
            _ => panic!("{} {}", answer.status, answer.body),
        }
    }
}

//! Whoever comes to a kill while it is open adds nothing to it once it has ended. Postgres only: SQLite has one writer.

use killgate::domain::{Kill, Outcome};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection, QueryBuilder};

use super::book::{Book, NOON, answered, attempt};
use crate::support::patience::{eventually, in_time};

async fn raw(connection: &mut PgConnection, sql: &str) -> Result<u64, String> {
    let done = QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(connection).await;
    done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
}

async fn connected(book: &Book) -> PgConnection {
    PgConnection::connect(book.settings.database_url.as_ref().unwrap().expose_secret()).await.unwrap()
}

async fn settles(book: &Book, kill: &Kill) -> bool {
    let done = answered(kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    book.audit.conclude(&done, NOON, "answered", None).await.unwrap()
}

/// What adds an entry, as a gateway does.
fn entry(kill: &Kill, ends: bool) -> String {
    let Kill { id, .. } = kill;
    let status = if ends { "failed" } else { "unknown" };
    format!(
        "SELECT FROM append_to_kills(ARRAY['{id}'::uuid], ARRAY[now()], ARRAY['looked'], ARRAY['{status}'], \
         ARRAY[{ends}], ARRAY[NULL::timestamptz], ARRAY['{{\"sessions\":[]}}'], ARRAY[NULL::text], ARRAY[false])"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_an_entry_is_added_waits_and_adds_the_next_one_or_none() {
    for ends in [false, true] {
        let book = Book::on_postgres().await;
        let kill = book.begin(&attempt(NOON)).await;
        let mut other = connected(&book).await;
        raw(&mut other, "BEGIN").await.unwrap();
        assert_eq!(raw(&mut other, &entry(&kill, ends)).await, Ok(1));
        let concluding = async { assert_eq!(settles(&book, &kill).await, !ends) };
        let waiting = async {
            let waits = "SELECT 'x' FROM pg_locks WHERE NOT granted AND pid IN \
                         (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
            let seen = async || book.texts(waits).await.first().cloned();
            eventually("it waits for the other", seen).await;
        };
        tokio::pin!(concluding);
        tokio::select! {
            () = &mut concluding => panic!("concluded meanwhile"),
            () = waiting => {}
        }
        raw(&mut other, "COMMIT").await.unwrap();
        in_time(concluding).await;
        assert_eq!(book.events().await.len(), if ends { 2 } else { 3 });
        other.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_old_snapshot_adds_nothing_to_a_settled_kill() {
    let book = Book::on_postgres().await;
    let kill = book.begin(&attempt(NOON)).await;
    let mut other = connected(&book).await;
    raw(&mut other, "BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    raw(&mut other, "SELECT FROM kill_log").await.unwrap();
    assert!(settles(&book, &kill).await);
    let refused = raw(&mut other, &entry(&kill, true)).await.unwrap_err();
    assert!(refused.contains("could not serialize"), "{refused}");
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_kill_that_is_indexed_takes_nothing() {
    let book = Book::on_postgres().await;
    let kill = book.begin(&attempt(NOON)).await;
    assert!(settles(&book, &kill).await);
    assert_eq!(book.audit.index().await, Ok(1));
    let mut other = connected(&book).await;
    assert_eq!(raw(&mut other, &entry(&kill, true)).await, Ok(0));
    other.close().await.unwrap();
}

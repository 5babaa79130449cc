//! Whoever looks at a kill while it is open cannot add to it once it is settled. Postgres only: SQLite has one writer.

use killgate::domain::{Kill, Outcome};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection, QueryBuilder};

use super::book::{Book, NOON, answered, attempt};
use crate::support::patience::{eventually, in_time};

const SESSION: &str =
    "INSERT INTO kill_sessions (kill_id, session_id, position, outcome) SELECT id, '9', 9, 'killed' FROM kills";
const EVENT: &str = "INSERT INTO kill_events (kill_id, seq, at, kind, status, detail) \
                     SELECT id, 2, now(), 'x', 'failed', '{}' FROM kills";

async fn raw(connection: &mut PgConnection, sql: &str) -> Result<(), String> {
    let done = QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(connection).await;
    done.map(|_| ()).map_err(|error| error.to_string())
}

async fn connected(book: &Book) -> PgConnection {
    PgConnection::connect(book.settings.database_url.as_ref().unwrap().expose_secret()).await.unwrap()
}

async fn settles(book: &Book, kill: &Kill) -> bool {
    let done = answered(kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    book.audit.conclude(&done, NOON, "answered", None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_is_not_settled_while_something_is_being_added_to_it() {
    for sql in [SESSION, EVENT] {
        let book = Book::on_postgres().await;
        let kill = book.begin(&attempt(NOON)).await;
        let mut other = connected(&book).await;
        raw(&mut other, "BEGIN").await.unwrap();
        raw(&mut other, sql).await.unwrap();
        let concluding = async { assert!(settles(&book, &kill).await) };
        let waiting = async {
            let waits = "SELECT 'x' FROM pg_locks WHERE NOT granted AND pid IN \
                         (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
            let seen = async || book.texts(waits).await.first().cloned();
            eventually("it waits for the other", seen).await;
        };
        tokio::pin!(concluding);
        tokio::select! {
            () = &mut concluding => panic!("{sql}: settled meanwhile"),
            () = waiting => {}
        }
        raw(&mut other, "COMMIT").await.unwrap();
        in_time(concluding).await;
        other.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_old_snapshot_adds_nothing_to_a_settled_kill() {
    let event = EVENT.replace("id, 2", "id, 3");
    for sql in [SESSION, &event] {
        let book = Book::on_postgres().await;
        let kill = book.begin(&attempt(NOON)).await;
        let mut other = connected(&book).await;
        raw(&mut other, "BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        raw(&mut other, "SELECT FROM kills").await.unwrap();
        assert!(settles(&book, &kill).await);
        let refused = raw(&mut other, sql).await.expect_err(sql);
        assert!(refused.contains("could not serialize"), "{sql}: {refused}");
        other.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_kill_that_another_transaction_recorded_takes_nothing_once_it_is_settled() {
    let book = Book::on_postgres().await;
    let kill = book.begin(&attempt(NOON)).await;
    assert!(settles(&book, &kill).await);
    let mut other = connected(&book).await;
    raw(&mut other, "BEGIN").await.unwrap();
    // The number of its transaction is made up to be this one's.
    let made_up = "INSERT INTO kills (id, status, caller, dry_run, gateway, requested_at, recorded_in) \
                   VALUES ('019cbfff-0000-7000-8000-000000000000', 'failed', 'x', false, 'x', now(), \
                   pg_current_xact_id()::text::bigint + 1)";
    raw(&mut other, made_up).await.unwrap();
    raw(&mut other, "COMMIT").await.unwrap();
    let refused = raw(&mut other, SESSION).await.unwrap_err();
    assert!(refused.contains("the sessions of a settled kill never change"), "{refused}");
    other.close().await.unwrap();
}

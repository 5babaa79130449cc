//! Which months are made on Postgres, and what is changed while others read.

use killgate::audit::Audit;
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};
use time::macros::date;

use super::book::{Book, NOON, attempt};
use crate::support::patience::eventually;

#[tokio::test]
async fn only_months_that_can_be_meant_are_made_and_few_at_a_time() {
    let book = Book::on_postgres().await;
    for (call, says) in [
        ("SELECT make_months(now(), 2000000000)", "1 to 24 months"),
        ("SELECT make_months(now(), 25)", "1 to 24 months"),
        ("SELECT make_months(now(), 0)", "1 to 24 months"),
        ("SELECT make_months(now(), NULL)", "1 to 24 months"),
        ("SELECT make_months('2019-12-31', 1)", "from 2020 to five years from now"),
        ("SELECT make_months(now() + interval '5 years 2 months', 1)", "from 2020 to five years from now"),
        ("SELECT make_months(now() + interval '4 years', 24)", "from 2020 to five years from now"),
        ("SELECT make_months('infinity', 1)", "make_months"),
        ("SELECT make_months(NULL, 1)", "from 2020 to five years from now"),
    ] {
        let refused = book.raw(call).await.expect_err(call);
        assert!(refused.contains(says), "{call}: {refused}");
    }
    assert_eq!(book.raw("SELECT make_months('2020-01-01', 24)").await, Ok(1));
}

#[tokio::test]
async fn a_month_that_was_removed_is_never_made_again() {
    let book = Book::on_postgres().await;
    assert_eq!(book.raw("SELECT make_months('2026-03-01Z', 1)").await, Ok(1));
    let month = date!(2026 - 03 - 01);
    assert_eq!(Audit::remove_month(&book.settings, month, "kept long enough").await, Ok(0));
    let refused = book.raw("SELECT make_months('2026-03-01Z', 1)").await.unwrap_err();
    assert!(refused.contains("the month 2026_03 was removed"), "{refused}");
    let refused = book.audit.begin(&attempt(NOON), super::book::DAY).await.unwrap_err();
    assert!(refused.to_string().contains("the month 2026_03 was removed"), "{refused}");
    let refused = Audit::remove_month(&book.settings, month, "kept long enough").await.unwrap_err();
    assert!(refused.to_string().contains("was removed already"), "{refused}");
    // Nor by whoever does not see yet that it was.
    let url = book.settings.database_url.as_ref().unwrap().expose_secret();
    let mut other = PgConnection::connect(url).await.unwrap();
    let mut tx = other.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let unseen = sqlx::query("SELECT make_months('2026-02-01Z', 1)").execute(&mut *tx).await;
    let refused = unseen.unwrap_err().to_string();
    assert!(refused.contains("READ COMMITTED"), "{refused}");
}

/// What comes of work on tables that somebody reads until one try of it has come to nothing.
async fn beside_a_reader<T>(book: &Book, work: impl Future<Output = T>) -> T {
    let url = book.settings.database_url.as_ref().unwrap().expose_secret();
    let mut reader = PgConnection::connect(url).await.unwrap();
    let mut tx = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM kills").execute(&mut *tx).await.unwrap();
    let waits = "SELECT CAST(count(*) AS text) FROM pg_locks WHERE NOT granted AND database = \
                 (SELECT oid FROM pg_database WHERE datname = current_database())";
    let waiting = async |many: &'static str| {
        eventually("a lock", async || (book.texts(waits).await[0].as_deref() == Some(many)).then_some(())).await;
    };
    let meanwhile = async {
        waiting("1").await;
        waiting("0").await;
        // Nobody is held up in between.
        book.texts("SELECT CAST(count(*) AS text) FROM kills").await;
        tx.rollback().await.unwrap();
    };
    tokio::join!(work, meanwhile).0
}

#[tokio::test]
async fn a_month_that_somebody_reads_is_removed_once_that_is_over() {
    let book = Book::on_postgres().await;
    assert_eq!(book.raw("SELECT make_months('2026-03-01Z', 1)").await, Ok(1));
    let remove = Audit::remove_month(&book.settings, date!(2026 - 03 - 01), "kept long enough");
    assert_eq!(beside_a_reader(&book, remove).await, Ok(0));
    assert!(book.texts("SELECT CAST(to_regclass('kill_log_2026_03') AS text)").await[0].is_none());
}

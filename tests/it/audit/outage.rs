//! A database that is away, silent or not ours: said in time, without a secret, and over when it is over.

use std::{thread, time::Duration};

use futures_util::{FutureExt, future::join_all};
use killgate::audit::{Audit, AuditError, Begun, Filter, Settings};
use sqlx::{Connection, PgConnection};

use super::{
    book::{Book, DAY, NOON, attempt, keyed},
    on_both_engines,
};
use crate::support::{
    patience::{eventually, in_time},
    postgres::Cluster,
};

const LIMIT: Duration = Duration::from_secs(3);

on_both_engines! {
    a_record_that_can_be_written_says_so,
    a_record_without_tables_says_so,
    a_closed_record_is_unavailable,
    callers_may_come_from_runtimes_that_end,
    a_caller_that_hangs_up_does_not_stop_a_write,
}

async fn a_record_that_can_be_written_says_so(book: &Book) {
    assert_eq!(book.audit.ping().await, Ok(()));
}

async fn a_record_without_tables_says_so(book: &Book) {
    book.raw("ALTER TABLE kill_log RENAME TO hidden").await.unwrap();
    let error = book.audit.ping().await.unwrap_err();
    assert!(matches!(&error, AuditError::Failed { why, .. } if why.contains("kill_log")), "{error}");
    assert!(matches!(book.audit.begin(&attempt(NOON), DAY).await, Err(AuditError::Failed { .. })));
}

async fn a_closed_record_is_unavailable(book: &Book) {
    book.audit.close().await;
    assert!(matches!(book.audit.begin(&attempt(NOON), DAY).await, Err(AuditError::Unavailable { .. })));
    assert!(matches!(book.audit.find(attempt(NOON).kill.id).await, Err(AuditError::Unavailable { .. })));
}

async fn callers_may_come_from_runtimes_that_end(book: &Book) {
    for n in 0..5 {
        let (audit, attempt) = (book.audit.clone(), attempt(NOON + Duration::from_secs(n)));
        let worker = tokio::task::spawn_blocking(move || {
            let own = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            thread::spawn(move || own().block_on(async { audit.begin(&attempt, DAY).await })).join().unwrap()
        });
        assert_eq!(worker.await.unwrap(), Ok(Begun::New));
    }
    assert_eq!(book.audit.page(&Filter::default(), 9).await.unwrap().items.len(), 5);
}

async fn a_caller_that_hangs_up_does_not_stop_a_write(book: &Book) {
    let attempt = attempt(NOON);
    assert_eq!(book.audit.begin(&attempt, DAY).now_or_never(), None);
    eventually("the write was not given up", async || book.audit.find(attempt.kill.id).await.unwrap()).await;
}

fn settings(url: &str) -> Settings {
    Settings { database_url: Some(url.into()), timeout: LIMIT, max_connections: 2, ..Settings::default() }
}

#[tokio::test]
async fn a_database_that_is_down_is_unavailable_in_time_and_heals() {
    let cluster = Cluster::start();
    let settings = settings(cluster.url());
    let audit = Audit::open(&settings).await.unwrap();
    assert_eq!(audit.begin(&attempt(NOON), DAY).await, Ok(Begun::New));

    cluster.stop();
    let attempts = [(); 3].map(|()| attempt(NOON));
    let begun = join_all(attempts.iter().map(|attempt| audit.begin(attempt, DAY)));
    let (begun, pinged, opened) = in_time(async { tokio::join!(begun, audit.ping(), Audit::open(&settings)) }).await;
    for begun in begun {
        let error = begun.unwrap_err();
        assert!(matches!(error, AuditError::Unavailable { .. }), "{error}");
    }
    assert!(pinged.is_err());
    let error = opened.unwrap_err();
    assert!(matches!(error, AuditError::Unavailable { operation: "migrate", .. }), "{error}");
    let early = Audit::open(&Settings { migrate: false, ..settings }).await.unwrap();
    assert!(in_time(early.ping()).await.is_err());

    cluster.restart();
    for audit in [&audit, &early] {
        let healed = async || audit.begin(&attempt(NOON), DAY).await.ok();
        for _ in 0..3 {
            assert_eq!(eventually("it writes again", healed).await, Begun::New);
        }
    }
}

#[tokio::test]
async fn connections_that_fall_silent_do_not_use_up_the_pool() {
    let cluster = Cluster::start();
    let audit = Audit::open(&settings(cluster.url())).await.unwrap();
    let mut other = PgConnection::connect(cluster.url()).await.unwrap();
    let mut watcher = PgConnection::connect(cluster.url()).await.unwrap();
    let mut silent = Vec::new();
    // More often than there are connections: a write waits for another one of the same key, and its server process
    // falls silent.
    for _ in 0..3 {
        let mut first = other.begin().await.unwrap();
        let same_key =
            "INSERT INTO idempotency_keys VALUES ('bot', 'key', sha256(''), gen_random_uuid(), now(), now())";
        sqlx::query(same_key).execute(&mut *first).await.unwrap();
        let attempt = keyed(NOON, "key", 1);
        let (begun, ()) = tokio::join!(in_time(audit.begin(&attempt, DAY)), async {
            let process = waiting_process(&mut watcher, &silent).await;
            cluster.silence(process);
            silent.push(process);
        });
        assert!(matches!(begun, Err(AuditError::Unavailable { .. })), "{begun:?}");
        first.rollback().await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(audit.begin(&attempt(NOON), DAY).await, Ok(Begun::New));
    }
}

/// The server process that waits for another transaction and was not silenced before. Not from within a transaction, which would see the same for ever.
async fn waiting_process(watcher: &mut PgConnection, silent: &[i32]) -> i32 {
    let sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'transactionid' AND pid <> ALL($1)";
    eventually("somebody waits", async || {
        sqlx::query_scalar(sql).bind(silent).fetch_optional(&mut *watcher).await.unwrap()
    })
    .await
}

#[tokio::test]
async fn no_error_and_no_debug_output_tells_the_password() {
    let cluster = Cluster::start();
    let password = cluster.url().split_once(":only").unwrap().1.split_once('@').unwrap().0;
    let good = settings(cluster.url());
    let audit = Audit::open(&good).await.unwrap();
    let mut said = vec![format!("{good:?}"), format!("{audit:?}")];
    let wrong = [
        cluster.url().replace("killgate:", "nobody:"),
        cluster.url().replace("only", "0nly"),
        cluster.url().replace("/postgres", "/nowhere"),
        cluster.url().replace("127.0.0.1:", "127.0.0.1:9"),
        cluster.url().replace("127.0.0.1", "no such host"),
        cluster.url().replace("postgres://", "mysql://"),
        format!("{}?sslmode=only{password}", cluster.url()),
    ];
    for stopped in [false, true] {
        if stopped {
            cluster.stop();
        }
        let ways = wrong.iter().flat_map(|url| [(url, true), (url, false)]);
        let tried = ways.map(async |(url, migrate)| match Audit::open(&Settings { migrate, ..settings(url) }).await {
            Ok(audit) => {
                let error = audit.begin(&attempt(NOON), DAY).await.unwrap_err();
                format!("{audit:?} {error} {error:?}")
            }
            Err(error) => format!("{error} {error:?}"),
        });
        said.extend(join_all(tried).await);
    }
    assert!(said.iter().all(|text| !text.contains(password)), "{said:#?}");
    assert!(said.iter().any(|text| text.contains("28P01")), "{said:#?}");
}

/// Otherwise a crash of the database could take back that a call was about to leave.
#[tokio::test]
async fn what_is_recorded_is_on_disk_though_the_database_is_set_to_say_so_sooner() {
    let book = Book::on_postgres().await;
    for sql in [
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
        "CREATE TABLE seen (setting text)",
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$",
        "CREATE TRIGGER see BEFORE INSERT ON kill_log FOR EACH STATEMENT EXECUTE FUNCTION see()",
    ] {
        book.raw(sql).await.unwrap();
    }
    book.begin(&attempt(NOON)).await;
    let seen = book.texts("SELECT DISTINCT setting FROM seen").await;
    assert_eq!(seen, [Some("on".to_owned())]);
}

//! When a gateway says that it is ready: where a kill could be recorded now, and it is not about to stop.

use std::time::Duration;

use killgate::{
    app::App,
    audit::{Audit, AuditError, Settings},
    clock::Clock,
};
use sqlx::{Connection as _, PgConnection, QueryBuilder};
use time::macros::date;

use crate::{
    audit::{
        book::{Book, DAY, NOON, attempt},
        on_both_engines,
    },
    support::{
        configuration::configuration_text,
        gateway::{Engine, Gateway, Setup, kill_of},
        patience::{eventually, in_time},
        postgres::{Database, Pooler},
    },
};

on_both_engines! {
    an_older_version_starts_beside_newer_tables_as_long_as_they_serve_it,
}

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(&mut connection).await.expect(sql);
}

async fn gateway_on(database: &Database) -> Gateway {
    let env = vec![("KILLGATE__AUDIT__TIMEOUT_MS", "2000")];
    let setup = Setup { database_url: Some(database.url()), env, ..Setup::default() };
    Gateway::start_with(Engine::Postgres, setup).await
}

/// Waits until `/readyz` answers so.
async fn answers(gateway: &Gateway, status: u16) {
    let probe = async || (gateway.client().get("/readyz", "").await.status.as_u16() == status).then_some(());
    eventually(&format!("/readyz is {status}"), probe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_kill_is_not_ready() {
    let database = Database::fresh().await;
    let gateway = gateway_on(&database).await;
    answers(&gateway, 200).await;
    run(&database.url(), "ALTER TABLE kill_log RENAME COLUMN body TO what").await;
    answers(&gateway, 503).await;
    run(&database.url(), "ALTER TABLE kill_log RENAME COLUMN what TO body").await;
    answers(&gateway, 200).await;

    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE kill_log IN SHARE MODE").execute(&mut *tx).await.unwrap();
    answers(&gateway, 503).await;
    tx.rollback().await.unwrap();
    answers(&gateway, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_set_read_only_takes_no_kill_until_it_is_not() {
    let database = Database::fresh().await;
    let name = database.url().rsplit_once('/').unwrap().1.to_owned();
    let gateway = gateway_on(&database).await;
    answers(&gateway, 200).await;
    run(database.server(), &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    run(&database.url(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").await;
    answers(&gateway, 503).await;
    for _ in 0..3 {
        let refused = in_time(gateway.kill(&kill_of("ledger", &[10_180]))).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (503, "audit_unavailable"), "{}", refused.body);
    }
    assert_eq!(gateway.clouds.calls().len(), 0);
    run(database.server(), &format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await;
    run(database.server(), &format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")).await;
    answers(&gateway, 200).await;
    let done = async || (gateway.kill(&kill_of("ledger", &[10_180])).await.status.as_u16() == 200).then_some(());
    eventually("a kill is taken", done).await;
}

async fn an_older_version_starts_beside_newer_tables_as_long_as_they_serve_it(book: &Book) {
    let zero = if book.is_postgres() { "decode('00', 'hex')" } else { "x'00'" };
    let newer = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'newer', true, {zero}, 0)"
    );
    assert_eq!(book.raw(&newer).await, Ok(1));
    let again = Audit::open(&book.settings).await.unwrap();
    assert_eq!((again.examine().await, again.ping().await), (Ok(()), Ok(())));
    book.raw("UPDATE serving SET from_version = 999").await.unwrap();
    let refused = book.another().await.examine().await.unwrap_err();
    assert!(matches!(refused, AuditError::Failed { .. }) && refused.to_string().contains("run a newer killgate"));
    // Older tables may be brought up to date at any moment.
    book.raw("UPDATE serving SET from_version = 1").await.unwrap();
    for _ in 0..2 {
        book.raw("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
            .await
            .unwrap();
    }
    let refused = book.another().await.ping().await.unwrap_err();
    assert!(matches!(refused, AuditError::Unavailable { .. }) && refused.to_string().contains("run killgate migrate"));
}

#[tokio::test]
async fn a_database_that_is_not_utf8_is_refused_by_that_name() {
    let database = Database::fresh().await;
    let name = format!("latin_{}", std::process::id());
    run(
        database.server(),
        &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'"),
    )
    .await;
    let url = format!("{}/{name}", database.server().rsplit_once('/').unwrap().0);
    let settings = Settings { database_url: Some(url.into()), timeout: Duration::from_secs(20), ..Settings::default() };
    let refused = Audit::open(&settings).await.unwrap_err();
    run(database.server(), &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    assert!(matches!(refused, AuditError::Failed { .. }), "{refused}");
    assert!(refused.to_string().contains("LATIN1") && refused.to_string().contains("UTF8"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_mixes_sessions_up_is_refused_by_name_and_one_that_does_not_serves() {
    let database = Database::fresh().await;
    let direct =
        Settings { database_url: Some(database.url().into()), timeout: Duration::from_secs(20), ..Settings::default() };
    Audit::migrate(&direct).await.unwrap();
    for mode in ["transaction", "statement"] {
        let pooler = Pooler::start(&database.url(), mode);
        let audit = format!("database_url = \"{}\"\nmigrate = false\ntimeout_ms = 20000", pooler.url());
        let text = configuration_text(&audit, "http://127.0.0.1:1", "");
        let config = killgate::config::parse(&text, std::collections::BTreeMap::new()).unwrap();
        let refused = format!("{:#}", App::start(&config, Clock::system()).await.unwrap_err());
        assert!(refused.contains("audit.database_url") && refused.contains("pool_mode = session"), "{mode}: {refused}");
    }
    let pooler = Pooler::start(&database.url(), "session");
    let env = vec![("KILLGATE__AUDIT__TIMEOUT_MS", "20000")];
    let setup = Setup { database_url: Some(pooler.url().to_owned()), env, ..Setup::default() };
    let gateway = Gateway::start_with(Engine::Postgres, setup).await;
    answers(&gateway, 200).await;
    assert_eq!(gateway.kill(&kill_of("ledger", &[10_180])).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_about_to_stop_says_so_and_still_takes_kills() {
    let env = vec![("KILLGATE__SERVER__DRAIN_MS", "600000")];
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { env, ..Setup::default() }).await;
    answers(&gateway, 200).await;
    let check = async {
        answers(&gateway, 503).await;
        assert_eq!(gateway.client().get("/readyz", "").await.code(), "overloaded");
        assert_eq!(gateway.kill(&kill_of("ledger", &[10_180])).await.status.as_u16(), 200);
    };
    tokio::select! {
        () = gateway.app.drain() => panic!("it takes ten minutes"),
        () = check => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_not_removed_behind_a_reader_and_kills_go_on_meanwhile() {
    let book = Book::on_postgres().await;
    book.raw("SELECT make_months('2026-03-01Z', 1)").await.unwrap();
    let url = secrecy::ExposeSecret::expose_secret(book.settings.database_url.as_ref().unwrap()).to_owned();
    let mut reader = PgConnection::connect(&url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM kills").execute(&mut *reading).await.unwrap();
    let month = date!(2026 - 03 - 01);
    let mut removing = Box::pin(Audit::remove_month(&book.settings, month, "kept long enough"));
    let refused = loop {
        let one = attempt(Clock::system().now());
        tokio::select! {
            removed = &mut removing => break removed.unwrap_err(),
            begun = book.audit.begin(&one, DAY) => drop(begun.unwrap()),
        }
    };
    assert!(refused.to_string().contains("somebody reads or writes the record"), "{refused}");
    reading.rollback().await.unwrap();
    assert_eq!(Audit::remove_month(&book.settings, month, "kept long enough").await, Ok(0));
    assert!(book.audit.begin(&attempt(NOON), DAY).await.is_err(), "it is gone");
}

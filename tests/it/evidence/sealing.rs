//! Sealing while kills are made.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use killgate::{
    app::App,
    audit::{Audit, Sealing, Settings},
    chain::{
        Checkpoint, SealKey,
        check::{Trusted, VERIFIED},
    },
    clock::Clock,
    evidence::{self, read_checkpoints},
};
use secrecy::ExposeSecret as _;
use sqlx::{PgPool, QueryBuilder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{MOST, Sealed, seal_with, settled, settled_at};
use crate::{
    audit::book::Book,
    support::{
        configuration::{configuration, record_at},
        gateway::{Client, Engine, Gateway, Setup, kill_of, on_both_engines},
        patience::eventually,
    },
};

on_both_engines! {
    a_gateway_with_a_key_seals_and_checkpoints_what_it_records,
}

/// A `[seal]` section with that key.
fn section(key: &SealKey) -> String {
    let key = key.base64().unwrap();
    format!("\n[seal]\nkey = \"{}\"\nevery_ms = 100\nmost = 7\n", key.expose_secret())
}

/// The heads that are kept wherever the record is.
async fn heads(gateway: &Gateway) -> Vec<Checkpoint> {
    gateway.app.kills().audit().heads(0, 1000).await.unwrap()
}

/// Takes checkpoints at an address of its own, and refuses the first; tells when it has.
async fn receiver() -> (String, Arc<Mutex<Vec<String>>>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/checkpoints", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (kept, has_refused) = (Arc::clone(&taken), Arc::new(AtomicBool::new(false)));
    let refused = Arc::clone(&has_refused);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut text = String::new();
            while !text.contains("\r\n\r\n{") || !text.ends_with('}') {
                let mut bytes = [0; 4096];
                let read = connection.read(&mut bytes).await.unwrap();
                text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            }
            assert!(text.starts_with("POST /checkpoints HTTP/1.1\r\n"), "{text}");
            let status = if refused.swap(true, Ordering::SeqCst) {
                let (_, body) = text.split_once("\r\n\r\n").unwrap();
                kept.lock().unwrap().push(body.to_owned());
                "204 No Content"
            } else {
                "500 Internal Server Error"
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, taken, has_refused)
}

async fn a_gateway_with_a_key_seals_and_checkpoints_what_it_records(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoints.ndjson");
    let (url, taken, has_refused) = receiver().await;
    let key = SealKey::generate().unwrap();
    let destinations = format!("checkpoint_file = \"{}\"\ncheckpoint_url = \"{url}\"\n", file.display());
    let setup = Setup { more: section(&key) + &destinations, ..Setup::default() };
    let gateway = Gateway::start_with(engine, setup).await;
    for number in 0..3 {
        assert_eq!(gateway.kill(&kill_of("ledger", &[10_180 + number])).await.status.as_u16(), 200);
    }
    let sealed_all = async || {
        let last = gateway.app.kills().audit().last_head().await.unwrap();
        last.filter(|last| last.head.total == 3)
    };
    eventually("all three are sealed", sealed_all).await;
    let heads = heads(&gateway).await;
    let on_file = async || read_checkpoints(&file).ok().filter(|(all, _)| all.len() == heads.len());
    assert_eq!(eventually("all blocks are in the file", on_file).await, (heads.clone(), vec![]));

    eventually("the first delivery was refused", async || has_refused.load(Ordering::SeqCst).then_some(())).await;

    let audit = Audit::open(&killgate::app::audit_settings(&gateway.config)).await.unwrap();
    let (_sandbox, _home) = gateway.stop().await;
    // The last moment is the next try.
    let taken: Vec<Checkpoint> = taken.lock().unwrap().iter().map(|line| Checkpoint::read(line).unwrap()).collect();
    assert_eq!(taken.last(), heads.last());
    let report = evidence::verify(&audit, vec![Trusted::always(key.public())], taken).await.unwrap();
    assert_eq!((report.status(), report.verified), (VERIFIED, 3), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_on_one_postgres_make_one_unbroken_chain() {
    let key = SealKey::generate().unwrap();
    let first = Gateway::start_with(Engine::Postgres, Setup { more: section(&key), ..Setup::default() }).await;
    let config = configuration(&record_at(&first.database_url()), &first.sandbox.url, &section(&key));
    let second = App::start(&config, Clock::system()).await.unwrap();
    let third = App::start(&config, Clock::system()).await.unwrap();
    let clients = [first.client().clone(), Client::new(second.address()), Client::new(third.address())];
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let body = kill_of("ledger", &[10_180]).to_string();
    let kills = (0..150).map(|number| clients[number % 3].post("/sessions/kill", &token, &[], body.clone()));
    for answer in join_all(kills).await {
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    }
    for app in [second, third] {
        app.stop().await.unwrap();
    }
    let record = Audit::open(&killgate::app::audit_settings(&first.config)).await.unwrap();
    let (_sandbox, _home) = first.stop().await;
    let report = evidence::verify(&record, vec![Trusted::always(key.public())], vec![]).await.unwrap();
    assert_eq!((report.status(), report.verified), (VERIFIED, 150), "{report}");
    assert!(report.blocks >= 150 / 7, "{report}");
    let last = record.last_head().await.unwrap().unwrap();
    assert_eq!(last.head.total, 150, "each was sealed once");
}

/// Seals and makes kills by turns while the record is verified over and over.
async fn verified_while_it_grows(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let writer = async {
        for number in 100..160 {
            settled_at(book, Clock::system().now()).await;
            if number % 3 == 0 {
                seal_with(book, &sealed.key).await;
            }
        }
    };
    let reader = async {
        for _ in 0..12 {
            let report = sealed.verify_with(sealed.checkpoints().await).await;
            assert_eq!(report.status(), VERIFIED, "{report}");
        }
    };
    tokio::join!(writer, reader);
    seal_with(book, &sealed.key).await;
    assert_eq!(sealed.verify().await.verified, 70);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_on_postgres_verifies_while_it_grows() {
    verified_while_it_grows(&Book::on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_on_sqlite_verifies_while_it_grows() {
    verified_while_it_grows(&Book::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_seals_at_the_same_time_seals_nothing_twice() {
    for book in [Book::on_postgres().await, Book::on_sqlite().await] {
        let key = SealKey::generate().unwrap();
        assert_eq!(book.audit.begin_sealing().await, Ok(true));
        for number in 0..40 {
            settled(&book, number).await;
        }
        let others = [book.another().await, book.another().await, book.another().await];
        let all_sealed = async || {
            let tries = others.iter().map(|audit| audit.seal(&key, Clock::system().now(), MOST));
            for tried in join_all(tries).await {
                tried.unwrap();
            }
            book.texts("SELECT 'x' FROM unsealed").await.is_empty().then_some(())
        };
        eventually("all is sealed", all_sealed).await;
        let report = evidence::verify(&book.audit, vec![Trusted::always(key.public())], vec![]).await.unwrap();
        assert_eq!((report.status(), report.verified), (VERIFIED, 40), "{report}");
        assert_eq!(book.audit.last_head().await.unwrap().unwrap().head.total, 40);
    }
}

#[tokio::test]
async fn a_role_that_only_serves_can_seal_and_verify_and_cannot_change_a_block() {
    let book = Book::on_postgres().await;
    settled(&book, 1).await;
    let role = format!("seals_{}", std::process::id());
    book.raw(&format!("CREATE ROLE {role} LOGIN PASSWORD 'only-for-tests'")).await.unwrap();
    book.raw(&format!("SELECT let_serve('{role}')")).await.unwrap();
    let mut url: url::Url = book.settings.database_url.as_ref().unwrap().expose_secret().parse().unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("only-for-tests")).unwrap();
    let settings = Settings { database_url: Some(url.as_str().into()), migrate: false, ..book.settings.clone() };
    let serving = Audit::open(&settings).await.unwrap();
    let key = SealKey::generate().unwrap();
    assert_eq!((serving.begin_sealing().await, serving.begin_sealing().await), (Ok(true), Ok(false)));
    let sealed = serving.seal(&key, Clock::system().now(), MOST).await.unwrap();
    assert_eq!(sealed, Sealing::Sealed { block: 1, entries: 1 });
    let report = evidence::verify(&serving, vec![Trusted::always(key.public())], vec![]).await.unwrap();
    assert_eq!((report.status(), report.verified), (VERIFIED, 1), "{report}");

    let pool = PgPool::connect(url.as_str()).await.unwrap();
    for sql in
        ["UPDATE blocks SET total = 2", "DELETE FROM blocks", "TRUNCATE blocks", "INSERT INTO removals DEFAULT VALUES"]
    {
        let refused = QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(&pool).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{sql}: {refused}");
    }
    pool.close().await;
    serving.close().await;
    for sql in [format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")] {
        book.raw(&sql).await.unwrap();
    }
}

//! Whoever waits for an outcome costs nobody anything: not the record, not other callers, and nothing once it is gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::{
    audit::Audit,
    domain::{Outcome, Status},
    sandbox::{Action, Behaviour, Lie},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{on_both_engines, on_one_engine};
use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup, kill_of},
    patience::{PATIENCE, eventually, in_time},
    postgres::Database,
};

on_both_engines! {
    a_waiter_hears_of_a_kill_that_another_gateway_settled,
    whoever_waits_for_what_nobody_looks_after_is_answered_at_once,
    whoever_waits_is_told_what_a_look_makes_of_an_unknown_kill,
}

on_one_engine! {
    one_caller_waits_for_so_many_at_a_time_and_for_none_that_it_has_left,
    a_stop_is_not_held_by_those_who_wait,
    what_stays_unknown_is_answered_as_such,
}

/// The most that one caller waits for at a time.
const SEATS: usize = 200;

/// A gateway at which DCDB's kills stay accepted, and one of them under a key.
async fn open_kill(setup: Setup, engine: Engine) -> (Gateway, Answer) {
    let gateway = Gateway::start_blind_with(engine, setup).await;
    gateway.clouds.misbehave(Action::DcdbKill, Behaviour::Lie(Lie::FlowRuns(Duration::from_hours(1))));
    let accepted = wait(&gateway, 0).await;
    let taken = async || (gateway.record(accepted.kill_id()).await["status"] == "accepted").then_some(());
    eventually("the vendor takes it", taken).await;
    (gateway, accepted)
}

/// Asks for the same kill again, and waits for so many seconds.
async fn wait(gateway: &Gateway, seconds: u64) -> Answer {
    let wait = format!("wait={seconds}");
    gateway.kill_with(&[("Idempotency-Key", "k"), ("Prefer", &wait)], &kill_of("orders-shard-1", &[1111])).await
}

async fn a_waiter_hears_of_a_kill_that_another_gateway_settled(engine: Engine) {
    let (gateway, accepted) = open_kill(Setup::default(), engine).await;
    let elsewhere = Audit::open(&killgate::app::audit_settings(&gateway.config)).await.unwrap();
    let settle = async {
        let id = accepted.kill_id().parse().unwrap();
        let mut kill = elsewhere.find(id).await.unwrap().unwrap();
        (kill.status, kill.sessions[0].outcome) = (Status::Succeeded, Outcome::Killed);
        kill.completed_at = Some(kill.requested_at);
        assert!(elsewhere.conclude(&kill, kill.requested_at, "looked", None).await.unwrap());
    };
    let (waited, ()) = tokio::join!(wait(&gateway, 300), settle);
    assert_eq!((waited.status, &waited.body["status"]), (StatusCode::OK, &"succeeded".into()), "{}", waited.body);
    assert_eq!(waited.header("preference-applied"), Some("wait=300"));
    assert_eq!(gateway.record(accepted.kill_id()).await, waited.body);
}

async fn whoever_waits_for_what_nobody_looks_after_is_answered_at_once(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let asked = kill_of("shop", &[11_212]);
    let answered = gateway.kill_with(&[("Prefer", "wait=300")], &asked);
    let answer = timeout(PATIENCE / 2, answered).await.expect("an answer long before");
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &"accepted".into()), "{}", answer.body);
}

async fn whoever_waits_is_told_what_a_look_makes_of_an_unknown_kill(engine: Engine) {
    let more = "[vendors.taurusdb]\ntimeout_ms = 1500\n".to_owned();
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Drop);
    let asked = kill_of("orders-ro", &[2_075_425]);
    let waited = gateway.kill_with(&[("Prefer", "wait=300")], &asked).await;
    assert_eq!((waited.status, &waited.body["status"]), (StatusCode::OK, &"succeeded".into()), "{}", waited.body);
    assert_eq!(waited.body["sessions"][0]["outcome"], "gone", "{}", waited.body);
    assert_eq!(waited.header("preference-applied"), Some("wait=300"));
    assert_eq!(gateway.record(waited.kill_id()).await, waited.body);
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 1);
}

async fn what_stays_unknown_is_answered_as_such(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Drop);
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    let asked = kill_of("orders-ro", &[2_075_425]);
    let keyed = [("Idempotency-Key", "unknown")];
    let late = gateway.kill_with(&[keyed[0], ("Prefer", "wait=1")], &asked).await;
    assert_eq!((late.status.as_u16(), late.code()), (504, "outcome_unknown"), "{}", late.body);
    assert_eq!(late.header("preference-applied"), Some("wait=1"));
    let again = gateway.kill_with(&keyed, &asked).await;
    assert_eq!(
        (again.status.as_u16(), again.kill_id()),
        (504, late.kill_id()),
        "without the wish nothing is waited for"
    );

    // Nobody can look for what was not seen before: the record is closed for it at once.
    gateway.clouds.misbehave_times(1, Action::DasKill, Behaviour::Drop);
    let asked = kill_of("shop", &[11_212]);
    let answered = gateway.kill_with(&[("Prefer", "wait=300")], &asked);
    let closed = timeout(PATIENCE / 2, answered).await.expect("an answer long before");
    assert_eq!((closed.status.as_u16(), closed.code()), (504, "outcome_unknown"), "{}", closed.body);
}

/// Waits for the same kill on a connection that can be left.
async fn waiter(gateway: &Gateway) -> TcpStream {
    let (token, body) =
        (Gateway::token("chatops-bot", "sessions:kill"), kill_of("orders-shard-1", &[1111]).to_string());
    let request = format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nPrefer: wait=300\r\n\
         Idempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(gateway.app.address()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

async fn one_caller_waits_for_so_many_at_a_time_and_for_none_that_it_has_left(engine: Engine) {
    let (gateway, accepted) = open_kill(Setup::default(), engine).await;
    let mut held = join_all((0..SEATS).map(|_| waiter(&gateway))).await;
    let full = async || {
        let answer = wait(&gateway, 1).await;
        assert_eq!(answer.kill_id(), accepted.kill_id());
        if answer.header("preference-applied").is_none() {
            return Some(answer);
        }
        // A machine may be too slow to read the requests of all in time.
        held.push(waiter(&gateway).await);
        None
    };
    let answer = eventually("all seats are taken", full).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &"accepted".into()), "{}", answer.body);
    drop(held);
    let free = async || wait(&gateway, 1).await.header("preference-applied").map(|_| ());
    eventually("who has left takes no seat", free).await;
}

async fn a_stop_is_not_held_by_those_who_wait(engine: Engine) {
    let env = vec![("KILLGATE__SERVER__SHUTDOWN_GRACE_MS", "600000")];
    let (gateway, _) = open_kill(Setup { env, ..Setup::default() }, engine).await;
    let mut held = waiter(&gateway).await;
    // Its key is looked up before it waits; what comes later is answered all the same.
    wait(&gateway, 1).await;
    timeout(PATIENCE / 2, gateway.stop()).await.expect("a stop long before");
    let mut answer = vec![];
    in_time(held.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_cost_the_record_no_statement_each() {
    let database = Database::fresh().await;
    let counter = Counter::before(&database.url()).await;
    let setup = Setup { database_url: Some(counter.url.clone()), ..Setup::default() };
    let (gateway, _) = open_kill(setup, Engine::Postgres).await;
    let statements = async |seconds| {
        let before = counter.statements();
        let answers = join_all((0..SEATS).map(|_| wait(&gateway, seconds))).await;
        assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
        counter.statements() - before
    };
    let (without, with) = (statements(0).await, statements(4).await);
    assert!(with < without + SEATS, "{without} statements for those who do not wait, {with} for those who do");
}

/// Passes on what is said to Postgres, and counts the statements.
struct Counter {
    url: String,
    statements: Arc<AtomicUsize>,
}

impl Counter {
    async fn before(url: &str) -> Self {
        let mut url: url::Url = url.parse().unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let statements = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&statements);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server.clone()).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&count)));
            }
        });
        Self { url: url.into(), statements }
    }

    fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }
}

/// Carries one connection; each `Execute` and each `Query` is a statement.
async fn carry(client: TcpStream, server: TcpStream, statements: Arc<AtomicUsize>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let forth = async {
        // Until a session is asked for, messages have no kind.
        let mut has_begun = false;
        loop {
            let kind = if has_begun { Some(from_client.read_u8().await?) } else { None };
            let length = from_client.read_u32().await?;
            let mut message = vec![0; usize::try_from(length).unwrap() - 4];
            from_client.read_exact(&mut message).await?;
            has_begun |= message.starts_with(&[0, 3, 0]);
            if matches!(kind, Some(b'E' | b'Q')) {
                statements.fetch_add(1, Ordering::Relaxed);
            }
            let mut passed_on: Vec<u8> = kind.into_iter().collect();
            passed_on.extend(length.to_be_bytes());
            passed_on.extend(message);
            to_server.write_all(&passed_on).await?;
        }
    };
    let _: std::io::Result<()> = forth.await;
    back.abort();
}

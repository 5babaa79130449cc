//! Callers that are slow on purpose, or gone: none of them holds anything for long.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::kit::recorded;
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of},
    patience::{eventually, in_time},
};

/// The head of a kill whose body has so many bytes, or comes in chunks.
fn head(length: &str) -> String {
    let token = Gateway::token("chatops-bot", "sessions:kill");
    format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n{length}\r\n\r\n"
    )
}

async fn connect(gateway: &Gateway, bytes: &str) -> TcpStream {
    let mut connection = TcpStream::connect(gateway.app.address()).await.unwrap();
    connection.write_all(bytes.as_bytes()).await.unwrap();
    connection
}

/// All that is answered until the connection is closed.
async fn answered(mut connection: TcpStream) -> String {
    let mut answer = vec![];
    in_time(connection.read_to_end(&mut answer)).await.ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_whole_in_time_is_answered_and_on_record_as_far_as_it_came() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let beginning = r#"{"target":"orders"#;
    let mut held = vec![
        connect(&gateway, &head("Content-Length: 1000")).await,
        connect(&gateway, &format!("{}{beginning}", head("Content-Length: 1000"))).await,
        connect(&gateway, &head("Transfer-Encoding: chunked")).await,
        connect(&gateway, &format!("{}11\r\n{beginning}\r\n", head("Transfer-Encoding: chunked"))).await,
    ];
    let mut trickle = connect(&gateway, &head("Content-Length: 1000")).await;
    let (mut from, mut to) = trickle.split();
    let trickling = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            if to.write_all(b" ").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = vec![];
    tokio::select! {
        () = trickling => {}
        read = in_time(from.read_to_end(&mut answer)) => { read.ok(); }
    }
    let mut answers = vec![String::from_utf8(answer).unwrap()];
    for connection in held.drain(..) {
        answers.push(answered(connection).await);
    }
    for answer in &answers {
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains(r#""code":"too_slow""#) && answer.contains("kill_id"), "{answer}");
    }
    assert_eq!(recorded(&gateway).await, answers.len());
    let token = Gateway::token("auditor", "kills:export");
    let export = gateway.client().get("/kills/export", &token).await;
    let lines = export.body.as_str().unwrap().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sent: Vec<_> = lines.filter_map(|line| line["request"].as_str().map(str::to_owned)).collect();
    assert_eq!(sent.iter().filter(|sent| sent.contains("orders")).count(), 2, "{sent:?}");
    let whole = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(whole.status.as_u16(), 200, "{}", whole.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_wanted_holds_no_connection() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    for length in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        for line in ["POST /sessions/kill", "GET /kills", "GET /healthz", "PUT /kills", "POST /nowhere"] {
            let request = format!("{line} HTTP/1.1\r\nHost: gateway\r\n{length}\r\n\r\n");
            let answer = answered(connect(&gateway, &request).await).await;
            assert!(answer.starts_with("HTTP/1.1 "), "{line} {length}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_never_whole_holds_no_connection() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let healthz = "GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let first = connect(&gateway, "GET /healthz HTTP/1.1\r\nHost:").await;
    let second = connect(&gateway, &format!("{healthz}GET /healthz HTTP/1.1\r\nHost:")).await;
    for connection in [first, second] {
        answered(connection).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_not_held_by_bodies_that_are_not_whole() {
    let env = vec![("KILLGATE__SERVER__SHUTDOWN_GRACE_MS", "600000")];
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { env, ..Setup::default() }).await;
    let connection = connect(&gateway, &format!("{}{{", head("Content-Length: 1000"))).await;
    let chunked = connect(&gateway, &head("Transfer-Encoding: chunked")).await;
    // What came before is read by the time that what comes after is answered.
    eventually("both are being read", async || {
        let in_flight = gateway.client().get("/metrics", "").await;
        in_flight.body.as_str().unwrap().contains("killgate_bodies 2").then_some(())
    })
    .await;
    let stopping = tokio::spawn(gateway.stop());
    for connection in [connection, chunked] {
        let answer = answered(connection).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("kill_id"), "{answer}");
    }
    in_time(stopping).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_may_leave_its_answer_unread_for_a_minute() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, _far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let near = near.unwrap();
    killgate::http::limit_unread(&near);
    assert_eq!(socket2::SockRef::from(&near).tcp_user_timeout().unwrap(), Some(Duration::from_mins(1)));
}

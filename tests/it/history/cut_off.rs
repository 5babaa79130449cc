//! A file that cannot be finished does not look like one that is.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::block_in_place,
};

use super::aged;
use crate::{
    audit::book::{NOON, attempt},
    support::{
        gateway::{Engine, Gateway, Setup},
        patience::in_time,
        postgres::Cluster,
    },
};

/// More than what the buffers of a connection take.
const KILLS: u32 = 500;
const LARGE: usize = 60_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_breaks_when_its_database_dies_on_postgres() {
    let cluster = Cluster::start();
    let env = vec![("KILLGATE__AUDIT__TIMEOUT_MS", "3000")];
    let setup = Setup { database_url: Some(cluster.url().to_owned()), env, ..Setup::default() };
    let gateway = Gateway::start_with(Engine::Postgres, setup).await;
    broken(&gateway, async || block_in_place(|| cluster.stop())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_breaks_when_its_record_is_closed_on_sqlite() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    broken(&gateway, async || gateway.app.kills().audit().close().await).await;
}

/// A client that has read no more than the head of an answer when the record goes.
async fn broken(gateway: &Gateway, go: impl AsyncFnOnce()) {
    let audit = gateway.app.kills().audit();
    for n in 0..KILLS {
        let mut large = attempt(NOON + n * Duration::from_secs(1));
        large.request = Some("x".repeat(LARGE));
        aged::recorded(audit, &large).await;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut connection = socket.connect(gateway.app.address()).await.unwrap();
    let token = Gateway::token("auditor", "kills:export");
    let request = format!("GET /kills/export HTTP/1.1\r\nHost: killgate\r\nAuthorization: Bearer {token}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    in_time(connection.read_exact(&mut answer)).await.unwrap();
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");

    go().await;
    // However the connection ends.
    let _ = in_time(connection.read_to_end(&mut answer)).await;
    let whole = KILLS as usize * LARGE;
    assert!(answer.len() < whole, "what the client has not read was not fetched either: {}", answer.len());
    let text = String::from_utf8_lossy(&answer);
    assert!(!text.ends_with("0\r\n\r\n"), "a body that ends is a whole one");
    assert!(!text.contains("\"manifest\""), "only a whole file has a manifest");
}

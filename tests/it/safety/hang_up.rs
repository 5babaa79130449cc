//! A kill that is on record runs to its end, whether or not its caller still listens.

use std::time::Duration;

use killgate::sandbox::Behaviour;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{Operation, on_both_engines, operations, records};
use crate::support::{
    gateway::{Engine, Gateway},
    patience::eventually,
};

on_both_engines! {
    a_caller_that_hangs_up_does_not_end_its_kill,
    a_caller_whose_connection_breaks_does_not_end_its_kill,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As of a caller that says goodbye: the server may still answer.
    Close,
    /// As of a caller whose machine is gone: the server drops whatever it did for this connection.
    Reset,
}

async fn a_caller_that_hangs_up_does_not_end_its_kill(engine: Engine) {
    every_kill_goes_on(engine, End::Close).await;
}

async fn a_caller_whose_connection_breaks_does_not_end_its_kill(engine: Engine) {
    every_kill_goes_on(engine, End::Reset).await;
}

async fn every_kill_goes_on(engine: Engine, end: End) {
    let gateway = Gateway::start_blind(engine).await;
    for (before, operation) in operations().iter().enumerate() {
        gateway.clouds.misbehave_times(1, operation.action, Behaviour::Slow(Duration::from_millis(500)));
        let connection = ask(&gateway, operation).await;
        gateway.clouds.arrived(operation.action, 1).await;
        if end == End::Reset {
            connection.set_zero_linger().unwrap();
        }
        drop(connection);

        let kill = eventually("the kill is answered", async || {
            let rows = records(&gateway).await;
            assert_eq!(rows.len(), before + 1);
            rows.into_iter().next().filter(|kill| kill["status"] != "pending")
        })
        .await;
        let status = kill["status"].as_str().unwrap();
        assert!(matches!(status, "succeeded" | "accepted"), "{:?}: {kill}", operation.action);
        assert_eq!(gateway.clouds.calls_for(operation.action).len(), 1);
    }
}

/// Asks for a kill on a connection of its own, and does not read from it.
async fn ask(gateway: &Gateway, operation: &Operation) -> TcpStream {
    let (body, token) = (operation.body.to_string(), Gateway::token("chatops-bot", "sessions:kill"));
    let request = format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: killgate\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(gateway.app.address()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

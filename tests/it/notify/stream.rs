//! A caller that follows a kill, as far as a test has read what it is sent.

use std::net::SocketAddr;

use actix_web::http::StatusCode;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{gateway::Gateway, patience::in_time};

/// A stream of events.
#[derive(Debug)]
pub(super) struct Stream {
    connection: TcpStream,
    pub(super) status: StatusCode,
    pub(super) head: String,
    /// What was received of the head, then of the body's chunks.
    received: String,
    /// What came in chunks and was not read yet.
    text: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) id: Option<i64>,
    pub(super) name: String,
    pub(super) data: Value,
}

impl Stream {
    /// Follows a kill as whoever asked for it.
    pub(super) async fn of(gateway: &Gateway, kill: &str) -> Self {
        let token = Gateway::token("chatops-bot", "sessions:kill");
        let stream = Self::open(gateway.app.address(), kill, &token, "").await;
        assert_eq!(stream.status, StatusCode::OK, "{}", stream.head);
        stream
    }

    pub(super) async fn open(address: SocketAddr, kill: &str, token: &str, headers: &str) -> Self {
        let request = format!(
            "GET /kills/{kill}/events HTTP/1.1\r\nHost: killgate\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
        );
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let (head, received, text) = (String::new(), String::new(), String::new());
        let mut stream = Self { connection, status: StatusCode::OK, head, received, text };
        stream.head = stream.received_until("\r\n\r\n").await;
        let status = stream.head.split(' ').nth(1).unwrap();
        stream.status = StatusCode::from_bytes(status.as_bytes()).unwrap();
        stream
    }

    /// The next event or comment; `None` at the end of the stream.
    pub(super) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                assert_eq!(self.text, "", "the stream ends between two events");
                return None;
            }
            self.text.push_str(&chunk);
        }
    }

    /// The next event; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if !block.starts_with(':') {
                return Some(Event::read(&block));
            }
        }
    }

    /// All events that are still to come.
    pub(super) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// The next chunk of the body; the last one is empty.
    async fn chunk(&mut self) -> String {
        let size = self.received_until("\r\n").await;
        let size = usize::from_str_radix(&size, 16).unwrap();
        while self.received.len() < size + 2 {
            self.receive().await;
        }
        let rest = self.received.split_off(size + 2);
        let chunk = std::mem::replace(&mut self.received, rest);
        chunk[..size].to_owned()
    }

    async fn received_until(&mut self, end: &str) -> String {
        loop {
            if let Some((before, rest)) = self.received.split_once(end) {
                let (before, rest) = (before.to_owned(), rest.to_owned());
                self.received = rest;
                return before;
            }
            self.receive().await;
        }
    }

    async fn receive(&mut self) {
        let mut piece = [0; 4096];
        let read = in_time(self.connection.read(&mut piece)).await.unwrap();
        assert!(read > 0, "the stream broke off: {}", self.received);
        self.received.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
}

impl Event {
    fn read(block: &str) -> Self {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Self {
            id: field("id").map(|id| id.parse().unwrap()),
            name: field("event").unwrap().to_owned(),
            data: serde_json::from_str(field("data").unwrap()).unwrap(),
        }
    }
}

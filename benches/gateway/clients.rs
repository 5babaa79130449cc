//! Callers: HTTP/1.1 over connections that stay open, with as little work as possible around it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::gateway::token;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back, as far as it matters.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(2048) })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Reply> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes()).await
    }

    /// Writes a request as it is and reads the reply to it.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Reply> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status = text.get(9..12).and_then(|code| code.parse().ok()).context("no HTTP status")?;
        let length = header(text, "content-length").and_then(|length| length.parse().ok());
        let length: usize = length.context("no Content-Length")?;
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        Ok(Reply { status, body: self.buffer[head..head + length].to_vec() })
    }

    async fn read(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}

/// The value of a header, by its name in lower case.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The request for a kill, all of it.
pub(crate) fn kill(token: &str, target: &str, id: u64) -> Vec<u8> {
    let body = format!(r#"{{"target":{target},"select":{{"ids":["{id}"]}},"reason":"INC-4711 runaway report"}}"#);
    format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// That many connections, each to the next of the addresses.
///
/// # Errors
/// One is not made.
pub(crate) async fn connect(addresses: &[SocketAddr], count: u64) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for (address, _) in addresses.iter().cycle().zip(0..count) {
        clients.push(Client::connect(*address).await?);
    }
    Ok(clients)
}

/// One request on each connection, all at once. How long until all are answered, and the connections, still open.
///
/// # Errors
/// One is not answered with that status.
pub(crate) async fn all_at_once(
    clients: Vec<Client>,
    requests: impl IntoIterator<Item = Vec<u8>>,
    status: u16,
) -> Result<(Duration, Vec<Client>)> {
    let started = Instant::now();
    let mut kills = JoinSet::new();
    for (mut client, request) in clients.into_iter().zip(requests) {
        kills.spawn(async move {
            let reply = client.exchange(&request).await?;
            expect(&reply, status)?;
            anyhow::Ok(client)
        });
    }
    let answered = kills.join_all().await;
    let took = started.elapsed();
    Ok((took, answered.into_iter().collect::<Result<_>>()?))
}

fn expect(reply: &Reply, status: u16) -> Result<()> {
    if reply.status != status {
        bail!("HTTP {} and not {status}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    Ok(())
}

/// That many callers, each of whom asks for its next kill as soon as the one before is answered; how many kills a
/// second are answered with that status, once they are under way. `target` is the target of each caller.
///
/// # Errors
/// A kill is answered otherwise.
pub(crate) async fn kills_per_second(
    address: SocketAddr,
    callers: u64,
    time: Duration,
    status: u16,
    target: impl Fn(u64) -> String,
) -> Result<f64> {
    let (counts, ends) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut running = JoinSet::new();
    for caller in 0..callers {
        let (mut client, token) = (Client::connect(address).await?, token(&format!("caller-{caller}"))?);
        let (target, counts, ends) = (target(caller), Arc::clone(&counts), Arc::clone(&ends));
        running.spawn(async move {
            let (mut id, mut counted) = (caller, 0_u64);
            while !ends.load(Ordering::Relaxed) {
                let reply = client.exchange(&kill(&token, &target, id)).await?;
                expect(&reply, status)?;
                id += callers;
                counted += u64::from(counts.load(Ordering::Relaxed));
            }
            anyhow::Ok(counted)
        });
    }
    tokio::time::sleep(time / 4).await;
    counts.store(true, Ordering::Relaxed);
    let started = Instant::now();
    tokio::time::sleep(time).await;
    counts.store(false, Ordering::Relaxed);
    let took = started.elapsed();
    ends.store(true, Ordering::Relaxed);
    let mut kills = 0;
    for counted in running.join_all().await {
        kills += counted?;
    }
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand kills")]
    Ok(kills as f64 / took.as_secs_f64())
}

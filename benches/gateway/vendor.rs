//! Vendors that answer as documented after a given time, check nothing and limit nobody: TaurusDB, where every session is
//! found and killed, and DCDB, which takes every kill as a task that is done when it is asked for.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::clients::header;

/// A vendor that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Vendor {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl Vendor {
    /// # Errors
    /// No port is free.
    pub(crate) async fn start(latency: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, calls) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&calls);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that ends is no event here.
                tokio::spawn(serve(stream, latency, Arc::clone(&counted)));
            }
        });
        Ok(Self { address, calls, serving })
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A call to it, all of it.
pub(crate) fn call(ids: &[u64]) -> Vec<u8> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let body = format!(r#"{{"processes":[{}]}}"#, ids.join(","));
    format!("DELETE / HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn serve(mut stream: TcpStream, latency: Duration, calls: Arc<AtomicU64>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let length = header(std::str::from_utf8(&buffer[..head])?, "content-length").map_or(Ok(0), str::parse)?;
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let number = calls.fetch_add(1, Ordering::Relaxed);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let action = header(std::str::from_utf8(&buffer[..head])?, "x-tc-action").map(str::to_owned);
        let body = std::str::from_utf8(&buffer[head..head + length])?;
        if let Some(action) = action {
            let what = if action == "KillSession" { r#""TaskId":4711"# } else { r#""Status":0"# };
            // An id that came before would be an answer to another call.
            answer(&mut stream, &format!(r#"{{"Response":{{{what},"RequestId":"r-{number}"}}}}"#)).await?;
            buffer.drain(..head + length);
            continue;
        }
        let ids = body.split_once('[').and_then(|(_, rest)| rest.split_once(']')).context("a list of ids")?.0;
        answer(&mut stream, &format!(r#"{{"processes_killed":[{ids}],"processes_not_found":[]}}"#)).await?;
        buffer.drain(..head + length);
    }
}

async fn answer(stream: &mut TcpStream, body: &str) -> Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Ok(stream.write_all(answer.as_bytes()).await?)
}

//! Below a prefix that a proxy takes off, the pages work as at the root.

use std::net::SocketAddr;

use killgate::sandbox::Clouds;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{
    browser::Browser,
    kit::{ALL, gateway_with},
};
use crate::support::gateway::{Gateway, Setup};

const PREFIX: &str = "/ops/killgate";

/// A proxy that has the server below the prefix, and nothing else; where it listens.
async fn proxy(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, server));
        }
    });
    address
}

/// Carries one request, and what follows on its connection.
async fn carry(mut client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some(stripped) = head.split_once(&format!(" {PREFIX}/")).map(|(method, rest)| format!("{method} /{rest}"))
    else {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    };
    // The browser makes a connection for each request, so that every head comes through here.
    let told = format!("\r\nConnection: close\r\nX-Forwarded-Prefix: {PREFIX}\r\n");
    let stripped = stripped.replace("\r\nConnection: keep-alive\r\n", "\r\n").replacen("\r\n", &told, 1);
    let mut server = TcpStream::connect(server).await?;
    server.write_all(stripped.as_bytes()).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_work_below_a_prefix() {
    let env = vec![("KILLGATE__SERVER__TRUSTED_PROXIES", "127.0.0.0/8")];
    let gateway = gateway_with(Setup { clouds: Some(Clouds::demo()), env, ..Setup::default() }).await;
    let address = proxy(gateway.app.address()).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{address}{PREFIX}/#token={}", Gateway::token("dba", ALL))).await;
    browser.until("return document.querySelector('.top .caller')?.innerText").await;
    browser.js("location.hash = '#/live?target=billing'").await;
    browser.sees(".grid-body .grid-row", "billing_job").await;
    let path = browser.until("return location.pathname").await;
    assert_eq!(path, "/ops/killgate/");
    browser.open(&format!("http://{address}{PREFIX}/docs")).await;
    browser.sees(".swagger-ui .info", "killgate").await;
}

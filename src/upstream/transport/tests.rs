//! Real sockets: what a peer does, and what is then known of the request.

use std::future::Future;

use actix_web::rt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;

mod answers;
mod connecting;
mod kept;
mod tls;

const ENOUGH: Duration = Duration::from_secs(20);

/// A peer that answers one connection as `script` says; gives its URL and what the script gives.
async fn peer<F, T>(script: impl FnOnce(TcpStream) -> F + 'static) -> (Url, JoinHandle<T>)
where
    F: Future<Output = T> + 'static,
    T: 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v3/p?a=b", listener.local_addr().unwrap()).parse().unwrap();
    (url, rt::spawn(async move { script(listener.accept().await.unwrap().0).await }))
}

/// Reads a head and as much of a body as it announces.
pub(in crate::upstream) async fn read_request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "the request broke off");
        let text = String::from_utf8(seen.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
    }
}

fn request(method: Method, url: Url, timeout: Duration) -> Request {
    Request {
        method,
        url,
        headers: vec![("X-Sdk-Date".into(), "now".into())],
        body: b"{\"a\":1}".to_vec(),
        timeout,
        longest: Request::USUAL,
    }
}

async fn send(method: Method, url: Url) -> Result<Response, TransportError> {
    Transport::start(ENOUGH).unwrap().send(request(method, url, ENOUGH)).await
}

/// What is known after the peer has read a request and answered `answer`, then closed.
async fn after(answer: impl Into<Vec<u8>>) -> Result<Response, TransportError> {
    after_a(Method::POST, answer).await
}

async fn after_a(method: Method, answer: impl Into<Vec<u8>>) -> Result<Response, TransportError> {
    let answer = answer.into();
    let (url, peer) = peer(async move |mut stream: TcpStream| {
        read_request(&mut stream).await;
        // Whoever has seen enough may have closed.
        let _ = stream.write_all(&answer).await;
    })
    .await;
    let outcome = send(method, url).await;
    peer.await.unwrap();
    outcome
}

fn is_lost(outcome: &Result<Response, TransportError>) -> bool {
    matches!(outcome, Err(TransportError::Lost(_)))
}

fn is_not_connected(outcome: &Result<Response, TransportError>) -> bool {
    matches!(outcome, Err(TransportError::NotConnected(_)))
}

#[actix_web::test]
async fn a_refused_connection_left_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let outcome = send(Method::DELETE, url).await;
    assert!(is_not_connected(&outcome), "{outcome:?}");
}

#[actix_web::test]
async fn a_name_that_cannot_be_resolved_left_nothing() {
    let outcome = send(Method::POST, Url::parse("http://name.invalid/").unwrap()).await;
    assert!(is_not_connected(&outcome), "{outcome:?}");
}

#[actix_web::test]
async fn a_failed_or_hanging_tls_handshake_left_nothing() {
    let (mut url, plain) =
        peer(async |mut stream: TcpStream| stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await).await;
    url.set_scheme("https").unwrap();
    let outcome = send(Method::POST, url).await;
    assert!(is_not_connected(&outcome), "{outcome:?}");
    plain.await.unwrap().unwrap();

    let (done, hold) = oneshot::channel::<()>();
    let (mut url, silent) = peer(async |stream: TcpStream| {
        let _ = hold.await;
        drop(stream);
    })
    .await;
    url.set_scheme("https").unwrap();
    let impatient = Transport::start(Duration::from_millis(50)).unwrap();
    let outcome = impatient.send(request(Method::POST, url.clone(), ENOUGH)).await;
    assert!(is_not_connected(&outcome), "{outcome:?}");
    drop(done);
    silent.await.unwrap();
}

#[actix_web::test]
async fn a_time_that_ends_before_the_connection_is_made_left_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let transport = Transport::start(ENOUGH).unwrap();
    let outcome = transport.send(request(Method::POST, url, Duration::from_millis(50))).await;
    assert!(is_not_connected(&outcome), "{outcome:?}");
}

#[actix_web::test]
async fn whatever_is_not_a_complete_answer_is_lost() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "no HTTP at all\r\n\r\n",
    ] {
        let outcome = after(answer).await;
        assert!(is_lost(&outcome), "{answer:?}: {outcome:?}");
    }
}

#[actix_web::test]
async fn an_answer_that_never_ends_is_lost() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let (done, hold) = oneshot::channel::<()>();
        let (url, peer) = peer(async move |mut stream: TcpStream| {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = hold.await;
        })
        .await;
        let transport = Transport::start(ENOUGH).unwrap();
        let outcome = transport.send(request(Method::POST, url, Duration::from_millis(200))).await;
        assert!(is_lost(&outcome), "{outcome:?}");
        drop(done);
        peer.await.unwrap();
    }
}

#[actix_web::test]
async fn a_delete_carries_its_body_and_the_headers_that_were_signed() {
    let (url, peer) = peer(async |mut stream: TcpStream| {
        let seen = read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\nX-Request-Id: r1\r\n\r\n").await.unwrap();
        seen
    })
    .await;
    let host = format!("\r\nHost: {}\r\n", url.authority());
    let answer = send(Method::DELETE, url).await.unwrap();
    assert_eq!((answer.status, answer.header("x-request-id")), (StatusCode::NO_CONTENT, Some("r1")));
    let seen = peer.await.unwrap();
    assert!(seen.starts_with("DELETE /v3/p?a=b HTTP/1.1\r\n"), "{seen}");
    for part in [host.as_str(), "\r\nX-Sdk-Date: now\r\n", "\r\nContent-Length: 7\r\n", "\r\n\r\n{\"a\":1}"] {
        assert!(seen.contains(part), "{part:?} in {seen}");
    }
    assert!(seen.contains(concat!("\r\nUser-Agent: killgate/", env!("CARGO_PKG_VERSION"), "\r\n")), "{seen}");
}

#[actix_web::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let answer = after("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.unwrap().status, StatusCode::FOUND);
}

#[actix_web::test]
async fn a_connection_that_was_kept_and_ends_after_the_second_request_is_lost_and_not_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let peer = rt::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        read_request(&mut stream).await;
        drop(stream);
        listener
    });
    let transport = Transport::start(ENOUGH).unwrap();
    assert_eq!(transport.send(request(Method::POST, url.clone(), ENOUGH)).await.unwrap().body, b"ok");
    let outcome = transport.send(request(Method::POST, url, ENOUGH)).await;
    assert!(is_lost(&outcome), "{outcome:?}");
    let listener = peer.await.unwrap().into_std().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "sent again");
}

#[actix_web::test]
async fn an_exchange_runs_to_its_end_without_its_caller_and_without_any_handle() {
    let (arrived, has_arrived) = oneshot::channel();
    let (go_on, told) = oneshot::channel::<()>();
    let (url, peer) = peer(async move |mut stream: TcpStream| {
        arrived.send(read_request(&mut stream).await).unwrap();
        told.await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        // The connection is kept until the thread ends; a reset would say that the answer was not read.
        stream.read(&mut [0; 8]).await
    })
    .await;
    let transport = Transport::start(ENOUGH).unwrap();
    let waiting = rt::spawn(async move { transport.send(request(Method::POST, url, ENOUGH)).await });
    has_arrived.await.unwrap();
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    go_on.send(()).unwrap();
    assert_eq!(peer.await.unwrap().unwrap(), 0);
}

#[test]
fn debug_shows_neither_query_nor_headers_nor_body() {
    let url = Url::parse("https://canary:canary@a.example/v3/p?canary=1").unwrap();
    let headers = vec![("Authorization".into(), "canary".into())];
    let request = Request {
        method: Method::GET,
        url,
        headers,
        body: b"canary".to_vec(),
        timeout: ENOUGH,
        longest: Request::USUAL,
    };
    assert_eq!(format!("{request:?}"), "Request(GET https://a.example/v3/p)");
}

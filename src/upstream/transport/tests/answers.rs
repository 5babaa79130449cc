//! Which answers count: final ones that say where they end and come up to there.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::upstream::transport::watch::Watch;
use actix_web::web::BytesMut;

const FINAL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What may come before the final answer.
const INTERIM: [&str; 7] = [
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 102 Processing\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nContent-Type: text/plain\r\n\r\n",
    "HTTP/1.1 199 \r\n\r\n",
    "HTTP/1.0 100 Continue\r\n\r\n",
    "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\nX: 1\r\n\r\n",
];

#[actix_web::test]
async fn interim_answers_are_left_out_wherever_their_bytes_are_split() {
    let chunked = format!("{CHUNKED}3;x=y\r\n{{\"a\r\n4\r\n\":1}}\r\n0\r\nX-Trailer: 1\r\n\r\n");
    for interim in INTERIM.into_iter().chain([""]) {
        for answer in [FINAL, &chunked] {
            let all = format!("{interim}{answer}HTTP/1.1 500 Another\r\n\r\n").into_bytes();
            let end = interim.len() + answer.len();
            for split in 0..end {
                let (mut watch, mut out) = (Watch::new(&Method::POST), BytesMut::new());
                for part in [&all[..split], &all[split..end]] {
                    assert!(!watch.is_whole());
                    watch.take(part, &mut out).unwrap();
                }
                assert!(watch.is_whole() && watch.keeps(), "{interim:?} {split}");
                assert_eq!(out, answer.as_bytes(), "{interim:?} {split}");
            }
            let (mut watch, mut out) = (Watch::new(&Method::POST), BytesMut::new());
            for byte in &all[..end] {
                watch.take(&[*byte], &mut out).unwrap();
            }
            assert_eq!((out.as_ref(), watch.keeps()), (answer.as_bytes(), true), "{interim:?}");
            let (mut watch, mut out) = (Watch::new(&Method::POST), BytesMut::new());
            watch.take(&all, &mut out).unwrap();
            assert_eq!(
                (out.as_ref(), watch.is_whole(), watch.keeps()),
                (answer.as_bytes(), true, false),
                "{interim:?}"
            );
        }
    }
}

#[actix_web::test]
async fn the_answer_after_interim_ones_counts() {
    for interim in INTERIM {
        let answer = after(format!("{interim}{FINAL}")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, &b"{\"a\":1}"[..]), "{interim:?}");
        let answer = after(format!("{interim}HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n")).await.unwrap();
        assert_eq!(answer.status.as_u16(), 409, "{interim:?}");
    }
}

#[actix_web::test]
async fn interim_answers_and_then_the_end_are_lost_and_so_is_a_change_of_protocol() {
    for interim in INTERIM {
        let outcome = after(interim).await;
        assert!(is_lost(&outcome), "{interim:?}: {outcome:?}");
    }
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    for answer in [switched.to_owned(), format!("{switched}{FINAL}"), format!("{}{switched}{FINAL}", INTERIM[0])] {
        let outcome = after(answer.clone()).await;
        assert!(is_lost(&outcome), "{answer:?}: {outcome:?}");
    }
}

#[actix_web::test]
async fn an_answer_that_does_not_say_where_it_ends_or_stops_before_is_lost() {
    let chunked = |rest: &str| format!("{CHUNKED}{rest}");
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(200_000));
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{\"error_code\":\"DBS.280001\"}".to_owned(),
        "HTTP/1.0 200 OK\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n".to_owned(),
        chunked(""),
        chunked("7"),
        chunked("7\r\n{\"a\""),
        chunked("7\r\n{\"a\":1}"),
        chunked("7\r\n{\"a\":1}\r\n"),
        chunked("7\r\n{\"a\":1}\r\n0"),
        chunked("7\r\n{\"a\":1}\r\n0\r\n"),
        chunked("7\r\n{\"a\":1}\r\n0\r\nX-Trailer: 1\r\n"),
        chunked("7\r\n{\"a\":1}\r\n0\r\n\r"),
        chunked("8\r\n{\"a\":1}\r\n0\r\n\r\n"),
        chunked("fffffffffffffffff\r\n{\"a\":1}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 6\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 7, 6\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\nContent-Length: 7\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nContent-Length: 7\r\n\r\n{\"a\":1}".to_owned(),
        "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
        huge,
    ] {
        let outcome = after(answer.clone()).await;
        assert!(is_lost(&outcome), "{:?}: {outcome:?}", answer.get(..100).unwrap_or(&answer));
    }
}

#[actix_web::test]
async fn an_answer_that_says_where_it_ends_is_whole_without_the_end_of_the_connection() {
    let large_head = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}", "x".repeat(60_000));
    for (method, answer, body) in [
        (Method::POST, FINAL.to_owned(), "{\"a\":1}"),
        (Method::POST, large_head, "{\"a\":1}"),
        (Method::POST, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}".to_owned(), "{\"a\":1}"),
        (Method::POST, format!("{CHUNKED}7\r\n{{\"a\":1}}\r\n0\r\n\r\n"), "{\"a\":1}"),
        (Method::POST, format!("{CHUNKED}007;ext=\"1\"\r\n{{\"a\":1}}\r\n0\r\nX: 1\r\nY: 2\r\n\r\n"), "{\"a\":1}"),
        (Method::POST, format!("{CHUNKED}0\r\n\r\n"), ""),
        (Method::POST, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), ""),
        (Method::POST, "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), ""),
        (Method::POST, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n".to_owned(), ""),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n".to_owned(), ""),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n".to_owned(), ""),
        (Method::HEAD, format!("{}{CHUNKED}", INTERIM[2]), ""),
    ] {
        let (done, hold) = oneshot::channel::<()>();
        let why = format!("{method} {:?}", answer.get(..100).unwrap_or(&answer));
        let (url, peer) = peer(async move |mut stream: TcpStream| {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = hold.await;
        })
        .await;
        let answer = send(method, url).await.unwrap_or_else(|error| panic!("{why}: {error}"));
        assert_eq!(answer.body, body.as_bytes(), "{why}");
        drop(done);
        peer.await.unwrap();
    }
}

#[actix_web::test]
async fn for_whom_the_status_is_enough_the_body_may_be_anything() {
    let deliver = async |answer: &'static str| {
        let (url, peer) = peer(async move |mut stream: TcpStream| {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let transport = Transport::start(ENOUGH).unwrap();
        let outcome = transport.deliver(request(Method::POST, url, ENOUGH)).await;
        peer.await.unwrap();
        outcome.map(|response| response.status.as_u16())
    };
    assert_eq!(deliver("HTTP/1.0 200 OK\r\n\r\ndone").await, Ok(200));
    assert_eq!(deliver("HTTP/1.1 202 Accepted\r\n\r\n").await, Ok(202));
    assert_eq!(deliver("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await, Ok(200));
    assert_eq!(deliver("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 410 Gone\r\n\r\n").await, Ok(410));
    for lost in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 200"] {
        assert!(matches!(deliver(lost).await, Err(TransportError::Lost(_))), "{lost}");
    }
}

#[actix_web::test]
async fn a_compressed_body_is_read_within_the_same_limit() {
    let packed = |body: &[u8]| {
        let mut gzip = GzEncoder::new(vec![], Compression::best());
        gzip.write_all(body).unwrap();
        let gzip = gzip.finish().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip.len());
        [head.into_bytes(), gzip].concat()
    };
    assert_eq!(after(packed(b"{\"a\":1}")).await.unwrap().body, b"{\"a\":1}");
    let bomb = after(packed(&vec![b' '; Request::USUAL + 1])).await;
    assert!(is_lost(&bomb), "{bomb:?}");
    let mut broken = packed(b"{\"a\":1}");
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let broken = after(broken).await;
    assert!(is_lost(&broken), "{broken:?}");
}

#[actix_web::test]
async fn a_body_may_be_as_long_as_the_request_says() {
    let body = vec![b' '; Request::USUAL + 1];
    for (longest, is_read) in [(Request::USUAL, false), (Request::USUAL + 1, true)] {
        let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
        let (url, peer) = peer(async move |mut stream: TcpStream| {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await;
        })
        .await;
        let transport = Transport::start(ENOUGH).unwrap();
        let outcome = transport.send(Request { longest, ..request(Method::GET, url, ENOUGH) }).await;
        assert_eq!(outcome.is_ok(), is_read, "{outcome:?}");
        peer.await.unwrap();
    }
}

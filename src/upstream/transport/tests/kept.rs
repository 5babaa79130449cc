//! Which connections are used again: those that said one whole answer, and not a byte more.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Whether the request after this answer comes on the same connection, and what that one is then answered.
async fn is_kept_after(method: Method, answer: &str) -> bool {
    let answer = answer.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let peer = rt::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_request(&mut first).await;
        first.write_all(answer.as_bytes()).await.unwrap();
        let mut byte = [0; 1];
        tokio::select! {
            another = listener.accept() => {
                let (mut another, _) = another.unwrap();
                read_request(&mut another).await;
                another.write_all(OK.as_bytes()).await.unwrap();
                (false, another, first)
            }
            Ok(1) = first.peek(&mut byte) => {
                read_request(&mut first).await;
                first.write_all(OK.as_bytes()).await.unwrap();
                let (spare, _) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
                (true, first, spare.unwrap())
            }
        }
    });
    let transport = Transport::start(ENOUGH).unwrap();
    let _ = transport.send(request(method, url.clone(), ENOUGH)).await;
    assert_eq!(transport.send(request(Method::POST, url, ENOUGH)).await.unwrap().body, b"ok");
    peer.await.unwrap().0
}

#[actix_web::test]
async fn a_connection_is_used_again_after_a_whole_answer() {
    for (method, answer) in [
        (Method::POST, OK),
        (Method::POST, "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"),
        (Method::POST, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        (Method::POST, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n"),
        (Method::POST, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (Method::POST, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
    ] {
        assert!(is_kept_after(method, answer).await, "{answer:?}");
    }
}

#[actix_web::test]
async fn a_connection_that_said_less_or_more_than_a_whole_answer_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n",
    ] {
        assert!(!kept_or_timed_out(answer).await, "{answer:?}");
    }
}

/// The same where the first answer may never end; that request is given up soon.
async fn kept_or_timed_out(answer: &'static str) -> bool {
    if answer.contains("9000000") {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let peer = rt::spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            read_request(&mut first).await;
            first.write_all(answer.as_bytes()).await.unwrap();
            let (mut second, _) = listener.accept().await.unwrap();
            read_request(&mut second).await;
            second.write_all(OK.as_bytes()).await.unwrap();
        });
        let transport = Transport::start(ENOUGH).unwrap();
        let outcome = transport.send(request(Method::POST, url.clone(), Duration::from_millis(200))).await;
        assert!(is_lost(&outcome), "{outcome:?}");
        assert_eq!(transport.send(request(Method::POST, url, ENOUGH)).await.unwrap().body, b"ok");
        peer.await.unwrap();
        return false;
    }
    is_kept_after(Method::POST, answer).await
}

#[actix_web::test]
async fn no_other_request_comes_on_a_connection_between_an_interim_answer_and_the_final_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (said, is_said) = oneshot::channel();
    let peer = rt::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_request(&mut first).await;
        first.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        said.send(()).unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        read_request(&mut second).await;
        second.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await.unwrap();
        first.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await.unwrap();
        (first, second)
    });
    let transport = Transport::start(ENOUGH).unwrap();
    let first = rt::spawn({
        let (transport, request) = (transport.clone(), request(Method::POST, url.clone(), ENOUGH));
        async move { transport.send(request).await }
    });
    is_said.await.unwrap();
    assert_eq!(transport.send(request(Method::POST, url, ENOUGH)).await.unwrap().body, b"2");
    assert_eq!(first.await.unwrap().unwrap().body, b"1");
    drop(peer.await.unwrap());
}

#[actix_web::test]
async fn an_answer_before_the_request_is_out_counts_only_where_all_of_it_can_still_leave() {
    let large = |url: Url, timeout| Request { body: vec![b' '; 64 << 20], ..request(Method::POST, url, timeout) };
    let early = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    // It closes, or reads no further.
    let (url, closing) = peer(async move |mut stream: TcpStream| {
        stream.read_u8().await.unwrap();
        stream.write_all(early.as_bytes()).await.unwrap();
    })
    .await;
    let outcome = Transport::start(ENOUGH).unwrap().send(large(url, ENOUGH)).await;
    assert!(is_lost(&outcome), "{outcome:?}");
    closing.await.unwrap();
    let (done, hold) = oneshot::channel::<()>();
    let (url, waiting) = peer(async move |mut stream: TcpStream| {
        stream.read_u8().await.unwrap();
        stream.write_all(early.as_bytes()).await.unwrap();
        let _ = hold.await;
    })
    .await;
    let outcome = Transport::start(ENOUGH).unwrap().send(large(url, Duration::from_millis(300))).await;
    assert!(is_lost(&outcome), "{outcome:?}");
    drop(done);
    waiting.await.unwrap();
    // It reads on.
    let (url, reading) = peer(async move |mut stream: TcpStream| {
        stream.read_u8().await.unwrap();
        stream.write_all(early.as_bytes()).await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    })
    .await;
    let transport = Transport::start(ENOUGH).unwrap();
    assert_eq!(transport.send(large(url, ENOUGH)).await.unwrap().status.as_u16(), 413);
    drop(transport);
    reading.await.unwrap().unwrap();
}

//! Connections that take long: what was to leave before is not sent, and the next one finds the connection made.

use std::{cell::Cell, rc::Rc};

use tokio::{
    net::TcpSocket,
    time::{sleep_until, timeout},
};

use super::*;

/// An address where connecting hangs until somebody accepts, and what keeps it so.
async fn full() -> (TcpListener, Url, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = vec![];
    // The kernel answers at once while it has a place.
    while let Ok(filler) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        fillers.push(filler.unwrap());
    }
    (listener, format!("http://{address}/").parse().unwrap(), fillers)
}

#[actix_web::test]
async fn a_connection_that_came_too_late_is_kept_for_the_next_call() {
    let (listener, url, fillers) = full().await;
    let transport = Transport::start(ENOUGH).unwrap();
    let begin_by = Instant::now() + Duration::from_millis(50);
    let late = rt::spawn({
        let (transport, request) = (transport.clone(), request(Method::POST, url.clone(), ENOUGH));
        async move { transport.send_by(begin_by, request).await }
    });
    sleep_until(begin_by + Duration::from_millis(1)).await;
    assert!(!late.is_finished());
    let peer = rt::spawn(async move {
        for _ in &fillers {
            drop(listener.accept().await.unwrap());
        }
        loop {
            // The one that hung when the place was full was given up, and may come nevertheless.
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0; 1];
            if stream.peek(&mut byte).await.is_ok_and(|many| many == 1) {
                let seen = read_request(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                return (seen, stream, listener);
            }
        }
    });
    assert_eq!(late.await.unwrap().unwrap_err(), TransportError::TooLate);
    let next = transport.send_by(Instant::now() + ENOUGH, request(Method::POST, url, ENOUGH)).await;
    assert_eq!(next.unwrap().body, b"ok");
    let (_, _stream, listener) = peer.await.unwrap();
    let listener = listener.into_std().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "it was the same connection");
}

#[actix_web::test]
async fn connections_made_ahead_are_there_when_they_are_needed() {
    loop {
        let began = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let made = Rc::new(Cell::new(0));
        let counted = Rc::clone(&made);
        let serving = rt::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.set(counted.get() + 1);
                rt::spawn(async move {
                    read_request(&mut stream).await;
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                });
            }
        });
        let transport = Transport::start(ENOUGH).unwrap();
        transport.warm(url.clone(), 3).await;
        // There are enough.
        transport.warm(url.clone(), 2).await;
        let send = || transport.send(request(Method::POST, url.clone(), ENOUGH));
        let (first, second, third) = tokio::join!(send(), send(), send());
        for answer in [first, second, third] {
            assert_eq!(answer.unwrap().body, b"ok");
        }
        serving.abort();
        // What a machine is late for longer than they are waited for tells nothing.
        if began.elapsed() < Duration::from_secs(1) {
            assert_eq!(made.get(), 3, "no other was made");
            return;
        }
    }
}

#[actix_web::test]
async fn nobody_waits_for_connections_that_cannot_be_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let transport = Transport::start(ENOUGH).unwrap();
    timeout(ENOUGH, transport.warm(url, 3)).await.unwrap();
    let (_listener, url, _fillers) = full().await;
    timeout(ENOUGH, transport.warm(url, 3)).await.unwrap();
}

//! The same over TLS.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate for `localhost`, signed by itself: only who is given it trusts it.
fn identity() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    (made.cert.der().clone(), PrivateKeyDer::Pkcs8(key))
}

/// A client and a server that trust each other.
fn pair() -> (Transport, TlsAcceptor) {
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (certificate, key) = identity();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    (Transport::start_trusting(ENOUGH, roots).unwrap(), TlsAcceptor::from(Arc::new(server)))
}

#[actix_web::test]
async fn requests_and_answers_go_through_tls_on_one_connection_and_interim_answers_are_passed_over() {
    let (transport, acceptor) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = rt::spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        for answer in [
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2",
        ] {
            let mut seen = vec![];
            while !seen.ends_with(b"{\"a\":1}") {
                assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
            }
            let host = format!("\r\nHost: localhost:{port}\r\n");
            assert!(String::from_utf8(seen).unwrap().contains(&host));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        stream
    });
    let url: Url = format!("https://localhost:{port}/v3").parse().unwrap();
    for expected in [b"1", b"2"] {
        let answer = transport.send(request(Method::POST, url.clone(), ENOUGH)).await.unwrap();
        assert_eq!(answer.body, expected);
    }
    drop(peer.await.unwrap());
}

#[actix_web::test]
async fn whom_nobody_trusts_is_sent_nothing() {
    let (_, acceptor) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = rt::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
    let outcome = send(Method::POST, format!("https://localhost:{port}/").parse().unwrap()).await;
    assert!(is_not_connected(&outcome), "{outcome:?}");
    peer.await.unwrap().unwrap_err();
}

#[actix_web::test]
async fn a_handshake_that_took_too_long_is_kept_for_the_next_call() {
    let (transport, acceptor) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go_on, told) = oneshot::channel::<()>();
    let peer = rt::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        told.await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut seen = vec![];
        while !seen.ends_with(b"{\"a\":1}") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        (seen, stream)
    });
    let url: Url = format!("https://localhost:{port}/").parse().unwrap();
    let begin_by = Instant::now() + Duration::from_millis(10);
    let late = rt::spawn({
        let (transport, request) = (transport.clone(), request(Method::POST, url.clone(), ENOUGH));
        async move { transport.send_by(begin_by, request).await }
    });
    tokio::time::sleep_until(begin_by + Duration::from_millis(1)).await;
    go_on.send(()).unwrap();
    assert_eq!(late.await.unwrap().unwrap_err(), TransportError::TooLate);
    let next = transport.send_by(Instant::now() + ENOUGH, request(Method::POST, url, ENOUGH)).await;
    assert_eq!(next.unwrap().body, b"ok");
    let (seen, _stream) = peer.await.unwrap();
    assert_eq!(String::from_utf8(seen).unwrap().matches("POST ").count(), 1);
}

//! The same over TLS.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority, and what it has signed.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&key).unwrap().pem();
        Self(Issuer::new(authority, key), pem)
    }

    /// A server with a certificate for that name, for so many days from ten days ago on.
    fn server(&self, name: &str, days: i64) -> TlsAcceptor {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut asked = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let from = crate::clock::Clock::system().now() - time::Duration::days(10);
        (asked.not_before, asked.not_after) = (from, from + time::Duration::days(days));
        let key = KeyPair::generate().unwrap();
        let certificate = asked.signed_by(&key, &self.0).unwrap().der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        TlsAcceptor::from(Arc::new(server))
    }

    /// A client that believes this authority alone.
    fn client(&self) -> Transport {
        let egress = Egress::new(PublicRoots::None, &[self.1.as_bytes()]).unwrap();
        Transport::start(ENOUGH).unwrap().by(egress)
    }
}

/// A client and a server that trust each other.
fn pair() -> (Transport, TlsAcceptor) {
    let authority = Authority::new();
    (authority.client(), authority.server("localhost", 20))
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

/// What is told of a peer that shows such a certificate.
async fn told(transport: &Transport, acceptor: TlsAcceptor) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = rt::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
    let url = format!("https://localhost:{port}/").parse().unwrap();
    let outcome = transport.send(request(Method::POST, url, ENOUGH)).await;
    let _ = peer.await.unwrap();
    assert!(is_not_connected(&outcome), "{outcome:?}");
    outcome.unwrap_err().to_string()
}

#[actix_web::test]
async fn what_is_wrong_with_a_certificate_is_told_by_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    let client = ours.client();
    for (acceptor, expected) in [
        (ours.server("localhost", 5), "the certificate has expired"),
        (ours.server("example.com", 20), "the certificate is for another name"),
        (other.server("localhost", 20), "the certificate is of an authority that is not known here (ca_file)"),
    ] {
        assert_eq!(told(&client, acceptor).await, format!("no connection was made: TLS: {expected}"));
    }
}

#[actix_web::test]
async fn a_connection_is_not_used_by_whoever_would_not_have_made_it() {
    let (transport, acceptor) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = rt::spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut seen = vec![];
        while !seen.ends_with(b"{\"a\":1}") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        // Open, and good for whoever may use it again; the other is turned away by itself.
        let _ = acceptor.accept(listener.accept().await.unwrap().0).await;
        drop(stream);
    });
    let url: Url = format!("https://localhost:{port}/").parse().unwrap();
    assert_eq!(transport.send(request(Method::POST, url.clone(), ENOUGH)).await.unwrap().body, b"ok");
    let stranger = transport.by(Egress::web());
    let outcome = stranger.send(request(Method::POST, url, ENOUGH)).await;
    assert!(is_not_connected(&outcome), "{outcome:?}");
    peer.await.unwrap();
}

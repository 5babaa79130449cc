//! HTTP/2: agreed on by ALPN where the gateway has a certificate; and what one connection can have of it.

use std::{net::SocketAddr, sync::Arc};

use actix_web::web::Bytes;
use h2::{Reason, client::SendRequest};
use killgate::{
    http::MOST_STREAMS,
    sandbox::{Action, Behaviour},
};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    authority::{Authority, For, Issued},
    certificates::settings,
};
use crate::support::{
    configuration::BLIND,
    gateway::{Engine, Gateway, Setup, kill_of, on_one_engine},
    patience::{eventually, in_time},
};

on_one_engine! {
    either_version_is_spoken_as_the_client_would_have_it,
    many_kills_at_once_on_one_connection_and_a_stream_of_events,
    a_connection_has_so_many_requests_under_way_and_no_more,
    requests_that_are_taken_back_at_once_take_nothing_from_others,
}

/// A connection to the gateway by TLS, for the protocols that the client offers.
pub(super) async fn connect(
    address: SocketAddr,
    authority: &Authority,
    shows: Option<&Issued>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let client = ClientConfig::builder().with_root_certificates(authority.roots());
    let mut client = match shows {
        None => client.with_no_client_auth(),
        Some(issued) => client.with_client_auth_cert(issued.chain(), issued.private()).unwrap(),
    };
    client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    in_time(TlsConnector::from(Arc::new(client)).connect(ServerName::from(address.ip()), stream)).await
}

/// What answers requests on one connection of HTTP/2.
struct Connection(SendRequest<Bytes>);

/// An answer whose body is not read yet.
type Answer = http::Response<h2::RecvStream>;

impl Connection {
    async fn to(address: SocketAddr, authority: &Authority) -> Self {
        let stream = connect(address, authority, None, &["h2"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let handshake = h2::client::Builder::new()
            .initial_max_send_streams(10_000)
            .initial_connection_window_size(1 << 30)
            .handshake(stream)
            .await;
        let (send, connection) = handshake.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    async fn begin(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> Result<h2::client::ResponseFuture, h2::Error> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://killgate.test{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let mut requests = in_time(self.0.clone().ready()).await?;
        let (answer, mut sent) = requests.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            sent.send_data(Bytes::from(body.to_owned()), true)?;
        }
        Ok(answer)
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        in_time(async { self.begin(method, path, token, body).await?.await }).await.unwrap()
    }
}

/// The rest of a body, as JSON.
async fn body(answer: Answer) -> Value {
    let (mut stream, mut whole) = (answer.into_body(), vec![]);
    while let Some(part) = in_time(stream.data()).await {
        let part = part.unwrap();
        stream.flow_control().release_capacity(part.len()).unwrap();
        whole.extend(part);
    }
    serde_json::from_slice(&whole).unwrap()
}

/// Reads a stream of events until that stands in it, or to its end.
async fn until(stream: &mut h2::RecvStream, text: Option<&str>) -> String {
    let mut received = String::new();
    while text.is_none_or(|text| !received.contains(text)) {
        let Some(part) = in_time(stream.data()).await else { break };
        let part = part.unwrap();
        stream.flow_control().release_capacity(part.len()).unwrap();
        received.push_str(std::str::from_utf8(&part).unwrap());
    }
    received
}

async fn gateway(engine: Engine, env: Vec<(&'static str, &'static str)>) -> (Gateway, Authority, impl Sized) {
    let (authority, folder) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    authority.issue(For::Us).write(folder.path());
    let more = format!("{BLIND}{}", settings(folder.path(), ""));
    let gateway = Gateway::start_with(engine, Setup { more, env, ..Setup::default() }).await;
    (gateway, authority, folder)
}

fn token() -> String {
    Gateway::token("chatops-bot", "sessions:kill kills:read")
}

async fn either_version_is_spoken_as_the_client_would_have_it(engine: Engine) {
    let (gateway, authority, _files) = gateway(engine, vec![]).await;
    let address = gateway.app.address();
    for (offers, agreed) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let stream = connect(address, &authority, None, offers).await.unwrap();
        let found = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
        assert_eq!(found.as_deref(), agreed);
    }
    let connection = Connection::to(address, &authority).await;
    let answer = connection.send("GET", "/healthz", "none", "").await;
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    let refused = connection.send("GET", "/kills", "none", "").await;
    assert_eq!((refused.status().as_u16(), body(refused).await["code"].as_str()), (401, Some("unauthenticated")));
    let answer = connection.send("HEAD", "/healthz", "none", "").await;
    assert_eq!((answer.status().as_u16(), answer.into_body().is_end_stream()), (200, true));
}

async fn many_kills_at_once_on_one_connection_and_a_stream_of_events(engine: Engine) {
    let (gateway, authority, _files) = gateway(engine, vec![]).await;
    let connection = Connection::to(gateway.app.address(), &authority).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hold);
    let held =
        connection.begin("POST", "/sessions/kill", &token(), &kill_of("orders-ro", &[2_075_425]).to_string()).await;
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    let page = connection.send("GET", "/kills?limit=1", &token(), "").await;
    let id = body(page).await["items"][0]["id"].as_str().unwrap().to_owned();
    let stream = connection.send("GET", &format!("/kills/{id}/events"), &token(), "").await;
    assert_eq!(stream.status().as_u16(), 200);
    let mut stream = stream.into_body();
    // It is told as it happens, while the kill is held.
    until(&mut stream, Some("event: sent")).await;
    let mut asked = vec![];
    for id in 0..100 {
        let kill = kill_of("orders-shard-1", &[id]).to_string();
        asked.push(connection.begin("POST", "/sessions/kill", &token(), &kill).await.unwrap());
    }
    for answer in asked {
        let answer = in_time(answer).await.unwrap();
        assert!(answer.headers().contains_key("location"), "{}", answer.status());
        let kill = body(answer).await;
        assert!(kill["id"].is_string() && kill["code"].is_null(), "{kill}");
    }
    gateway.clouds.behave();
    assert!(until(&mut stream, None).await.contains("event: kill"));
    assert_eq!(body(in_time(held.unwrap()).await.unwrap()).await["id"], id);
}

async fn a_connection_has_so_many_requests_under_way_and_no_more(engine: Engine) {
    let (gateway, authority, _files) = gateway(engine, vec![("KILLGATE__SERVER__MAX_STREAMS", "2000")]).await;
    let connection = Connection::to(gateway.app.address(), &authority).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hold);
    let other = Connection::to(gateway.app.address(), &authority).await;
    let held = other.begin("POST", "/sessions/kill", &token(), &kill_of("orders-ro", &[2_075_425]).to_string()).await;
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    let page = other.send("GET", "/kills?limit=1", &token(), "").await;
    let id = body(page).await["items"][0]["id"].as_str().unwrap().to_owned();
    let mut streams = vec![];
    for _ in 0..MOST_STREAMS {
        let stream = connection.send("GET", &format!("/kills/{id}/events"), &token(), "").await;
        assert_eq!(stream.status().as_u16(), 200);
        streams.push(stream.into_body());
    }
    let refused = connection.send("GET", "/healthz", "none", "").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert_eq!(body(refused).await["code"], "overloaded");
    assert_eq!(other.send("GET", "/healthz", "none", "").await.status().as_u16(), 200);
    gateway.clouds.behave();
    for mut stream in streams {
        until(&mut stream, None).await;
    }
    let again = async || (connection.send("GET", "/healthz", "none", "").await.status().as_u16() == 200).then_some(());
    eventually("there is room again", again).await;
    assert_eq!(in_time(held.unwrap()).await.unwrap().status().as_u16(), 200);
}

async fn requests_that_are_taken_back_at_once_take_nothing_from_others(engine: Engine) {
    let (gateway, authority, _files) = gateway(engine, vec![]).await;
    let hasty = Connection::to(gateway.app.address(), &authority).await;
    for _ in 0..5000 {
        let request = http::Request::get("https://killgate.test/vendors").header("authorization", "Bearer none");
        // The gateway may end the connection whenever it has had enough.
        let Ok(mut requests) = in_time(hasty.0.clone().ready()).await else { break };
        let Ok((_, mut sent)) = requests.send_request(request.body(()).unwrap(), false) else { break };
        sent.send_reset(Reason::CANCEL);
    }
    let other = Connection::to(gateway.app.address(), &authority).await;
    assert_eq!(other.send("GET", "/healthz", "none", "").await.status().as_u16(), 200);
    let kill = other.send("POST", "/sessions/kill", &token(), &kill_of("orders-ro", &[2_075_425]).to_string()).await;
    assert_eq!(kill.status().as_u16(), 200);
}

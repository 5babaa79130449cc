//! Over HTTP: several agents, each with a token of its own.

use std::{collections::HashMap, process::Stdio};

use rmcp::{
    ClientLifecycleMode, ServiceExt as _,
    model::ProtocolVersion,
    service::ClientServiceExt as _,
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Child,
};

use super::Agent;
use crate::{
    client::kit::{ALL, Person, on_record, statuses},
    support::{
        gateway::{Engine, Gateway},
        patience::{eventually, in_time},
    },
};

const SESSION: &str = "mcp-session-id";

/// The server, started by somebody who has a token that must serve nobody.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    async fn at(gateway: &Gateway, words: &[&str]) -> Self {
        let starter = Person::at(gateway);
        let mut command = starter.command(env!("CARGO_BIN_EXE_killgate"));
        let command = command.args(["mcp", "--listen", "127.0.0.1:0"]).args(words).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = in_time(lines.next_line()).await.unwrap().expect("it says where it listens");
        let address = line.strip_prefix("agents are served at http://").and_then(|rest| rest.strip_suffix("/mcp"));
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, address }
    }

    fn transport(&self, token: &str) -> StreamableHttpClientTransport<reqwest::Client> {
        let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{}/mcp", self.address));
        let config = config.auth_header(token).reinit_on_expired_session(false);
        StreamableHttpClientTransport::with_client(reqwest::Client::builder().no_proxy().build().unwrap(), config)
    }

    async fn agent(&self, subject: &str) -> Agent {
        Agent(in_time(().serve(self.transport(&Gateway::token(subject, ALL)))).await.unwrap())
    }

    /// The same in the version of the protocol that has no sessions.
    async fn agent_without_session(&self, subject: &str) -> Agent {
        let transport = self.transport(&Gateway::token(subject, ALL));
        let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        Agent(in_time(().serve_with_lifecycle(transport, lifecycle)).await.unwrap())
    }

    /// What is answered to a request that no SDK would send, with its head in lower case.
    async fn answers(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("{method} /mcp HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        let defaults = [
            ("host", self.address.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
        let defaults = defaults.iter().filter(|(name, _)| !is_given(name));
        head.extend(defaults.chain(headers).map(|(name, value)| format!("{name}: {value}\r\n")));
        let mut connection = TcpStream::connect(&self.address).await.unwrap();
        connection.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = vec![];
        // What was not read of a long body is answered with an end that may be none of TCP's good ones.
        let _ = in_time(connection.read_to_end(&mut answer)).await;
        Answer::of(&String::from_utf8(answer).unwrap())
    }

    async fn begun(&self, token: &str) -> Answer {
        self.answers("POST", &[("authorization", &format!("Bearer {token}"))], &initialize()).await
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }
}

fn initialize() -> String {
    let client = json!({ "name": "by hand", "version": "1" });
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }).to_string()
}

fn criteria() -> Value {
    json!({ "user": "report", "min_seconds": "10m" })
}

fn of_report() -> Value {
    json!({ "target": "orders-ro", "criteria": criteria(), "reason": "INC-4711", "on_behalf_of": "bob@example.com" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_agent_is_itself_and_confirms_what_it_was_shown_and_nothing_else() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let mut server = Server::at(&gateway, &[]).await;
    let (mut carol, dave, again) =
        (server.agent("carol").await, server.agent("dave").await, server.agent("carol").await);
    let targets = carol.done("list_targets", json!({})).await;
    assert!(targets.data.to_string().contains("orders-ro"), "{targets:?}");
    let sessions = carol.done("list_sessions", json!({ "target": "orders-ro", "criteria": criteria() })).await;
    assert_eq!(sessions.data["items"].as_array().unwrap().len(), 2, "{sessions:?}");
    let preview = carol.done("preview", of_report()).await;
    assert_eq!((&preview.data["caller"], preview.data.get("confirm")), (&json!("carol"), None));
    let confirm = json!({ "preview_id": preview.data["id"], "sessions": 2 });
    // Neither somebody else's nor that of the same person elsewhere.
    for other in [&dave, &again] {
        let refused = other.refused("confirm", confirm.clone()).await;
        assert!(refused.contains("no preview of this session"), "{refused}");
    }
    assert_eq!(statuses(&gateway).await, ["preview"]);
    let killed = carol.done("confirm", confirm).await;
    assert_eq!((&killed.data["status"], &killed.data["caller"]), (&json!("succeeded"), &json!("carol")), "{killed:?}");
    assert_eq!(killed.data["on_behalf_of"], "bob@example.com");
    assert!(on_record(&gateway).await.iter().all(|kill| kill["caller"] == "carol"));
    in_time(carol.0.close()).await.unwrap();
    let process = server.process.id().unwrap();
    tokio::process::Command::new("kill").arg(process.to_string()).status().await.unwrap();
    assert!(in_time(server.process.wait()).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_protocol_has_no_sessions_a_preview_is_its_callers() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let server = Server::at(&gateway, &["--on-behalf-of", "bob@example.com"]).await;
    let (carol, dave) = (server.agent_without_session("carol").await, server.agent_without_session("dave").await);
    let preview = carol.done("preview", of_report()).await;
    let confirm = json!({ "preview_id": preview.data["id"], "sessions": 2 });
    let with_session = server.agent("carol").await;
    for other in [&dave, &with_session] {
        let refused = other.refused("confirm", confirm.clone()).await;
        assert!(refused.contains("no preview of this session"), "{refused}");
    }
    let killed = carol.done("confirm", confirm).await;
    assert_eq!((&killed.data["status"], &killed.data["caller"]), (&json!("succeeded"), &json!("carol")), "{killed:?}");
    let mut asked = of_report();
    asked["on_behalf_of"] = json!("eve@example.com");
    let refused = carol.refused("preview", asked).await;
    assert!(refused.contains("acts for bob@example.com and for nobody else"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_token_is_told_where_to_get_one_and_the_starters_is_nobodys() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let server = Server::at(&gateway, &[]).await;
    let metadata =
        format!("Bearer resource_metadata=\"http://{}/.well-known/oauth-protected-resource\"", gateway.app.address());
    let invalid = format!("{metadata}, error=\"invalid_token\"");
    for (authorization, challenge) in [
        (None, &metadata),
        (Some("Basic Y2FuYXJ5"), &metadata),
        (Some("Bearer "), &metadata),
        (Some("Bearer canary"), &invalid),
    ] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
        for (method, body) in [("POST", initialize()), ("GET", String::new()), ("DELETE", String::new())] {
            let answer = server.answers(method, &headers, &body).await;
            assert_eq!((answer.status, answer.headers.get("www-authenticate")), (401, Some(challenge)), "{answer:?}");
            assert!(!answer.body.contains("canary"), "{answer:?}");
        }
    }
    let unknown = in_time(().serve(server.transport("canary"))).await;
    assert!(unknown.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_elsewhere_does_not_reach_it_under_another_name() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let server = Server::at(&gateway, &["--allowed-host", "agents.example.com"]).await;
    let bearer = format!("Bearer {}", Gateway::token("carol", ALL));
    for (header, value, status) in [
        ("host", "evil.example.com", 403),
        ("host", "evil.example.com:80", 403),
        ("host", "agents.example.com", 200),
        ("host", "localhost:1234", 200),
        ("origin", "https://evil.example.com", 403),
        ("origin", "null", 403),
        ("origin", "https://agents.example.com", 200),
        ("origin", "http://[::1]:3000", 200),
    ] {
        let answer = server.answers("POST", &[("authorization", &bearer), (header, value)], &initialize()).await;
        assert_eq!(answer.status, status, "{header}: {value}: {answer:?}");
    }
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(1024 * 1024));
    let answer = server.answers("POST", &[("authorization", &bearer)], &long).await;
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_its_callers_and_ends() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let server = Server::at(&gateway, &["--max-sessions", "1", "--idle", "1h"]).await;
    let (carol, dave) = (Gateway::token("carol", ALL), Gateway::token("dave", ALL));
    let begun = server.begun(&carol).await;
    let session = begun.headers[SESSION].clone();
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }).to_string();
    let asked = async |token: &str, method: &str, body: &str| {
        let headers = [("authorization", &*format!("Bearer {token}")), (SESSION, &*session)];
        server.answers(method, &headers, body).await.status
    };
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    assert_eq!(asked(&carol, "POST", &ready).await, 202);
    for (method, body) in [("POST", &*list), ("GET", ""), ("DELETE", "")] {
        assert_eq!(asked(&dave, method, body).await, 404, "{method}: another's session");
    }
    let full = server.begun(&dave).await;
    assert_eq!((full.status, full.headers.get("retry-after").map(String::as_str)), (503, Some("10")), "{full:?}");
    assert_eq!(asked(&carol, "DELETE", "").await, 202);
    assert_eq!(asked(&carol, "POST", &list).await, 404);
    // Its place is free once it has ended.
    let begun = eventually("another session", async || {
        let begun = server.begun(&dave).await;
        (begun.status == 200).then_some(begun)
    });
    assert_ne!(begun.await.headers[SESSION], session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_which_nothing_is_heard_ends_by_itself() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let server = Server::at(&gateway, &["--max-sessions", "1", "--idle", "50ms"]).await;
    let carol = Gateway::token("carol", ALL);
    let first = server.begun(&carol).await.headers[SESSION].clone();
    let next = eventually("its place is free", async || server.begun(&carol).await.headers.get(SESSION).cloned()).await;
    assert_ne!(first, next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_listens_beyond_this_machine_in_plain_text_only_where_that_is_said() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let carol = Person::at(&gateway);
    let refused = carol.run("mcp --listen 0.0.0.0:0").await;
    assert!(refused.assert(2).stderr.contains("--listen: leads beyond this machine"), "{refused:?}");
    for (words, said) in [
        ("mcp --allow-plain", "--listen"),
        ("mcp --listen 127.0.0.1:0 --allowed-host user@host", "must be a host"),
        ("mcp --listen 127.0.0.1:0 --max-sessions 0", "--max-sessions"),
    ] {
        let refused = carol.run(words).await;
        assert!(refused.assert(2).stderr.contains(said), "{refused:?}");
    }
    let nowhere = Person::with("http://127.0.0.1:1", "token");
    let refused = nowhere.run("mcp --listen 127.0.0.1:0").await;
    assert!(refused.assert(1).stderr.contains("cannot be reached"), "{refused:?}");
}

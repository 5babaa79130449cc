//! Answers are compressed for whoever asks, and those that must not be are not.

use std::io::Read as _;

use flate2::read::GzDecoder;
use killgate::sandbox::{Action, Behaviour};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of, on_one_engine},
    patience::in_time,
};

on_one_engine! {
    long_answers_say_the_same_compressed,
    what_has_a_confirm_or_literals_goes_as_it_is,
    events_are_told_as_they_happen_whatever_is_asked_for,
}

/// What came: the head in small letters, and the body as it was sent.
struct Sent {
    head: String,
    body: Vec<u8>,
}

impl Sent {
    fn is_compressed(&self) -> bool {
        self.head.contains("content-encoding: gzip")
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.is_compressed() {
            GzDecoder::new(self.body.as_slice()).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(self.body.clone()).unwrap();
        }
        text
    }
}

async fn send(gateway: &Gateway, line: &str, headers: &str, body: &str) -> Sent {
    let mut connection = TcpStream::connect(gateway.app.address()).await.unwrap();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{line} HTTP/1.1\r\nHost: killgate\r\nConnection: close\r\n{length}{headers}\r\n{body}");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut all = vec![];
    in_time(connection.read_to_end(&mut all)).await.unwrap();
    let at = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(all[..at].to_vec()).unwrap().to_ascii_lowercase();
    let mut rest = &all[at + 4..];
    let mut body = vec![];
    if head.contains("transfer-encoding: chunked") {
        loop {
            let end = rest.windows(2).position(|bytes| bytes == b"\r\n").expect("a whole body");
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend(&rest[end + 2..end + 2 + size]);
            rest = &rest[end + 4 + size..];
        }
    } else {
        body.extend(rest);
    }
    Sent { head, body }
}

fn bearer(scope: &str) -> String {
    format!("Authorization: Bearer {}\r\n", Gateway::token("auditor", scope))
}

async fn long_answers_say_the_same_compressed(engine: Engine) {
    let setup = Setup { more: "\n[console]\nenabled = true\n".to_owned(), ..Setup::default() };
    let gateway = Gateway::start_with(engine, setup).await;
    for id in 0..40 {
        gateway.kill(&kill_of("orders-ro", &[id])).await;
    }
    let token = bearer("kills:read kills:export sessions:read");
    for path in [
        "/kills?limit=40",
        "/kills/export",
        "/kills/export?format=csv&rows=sessions",
        "/openapi.json",
        "/metrics",
        "/",
        "/console/main.js",
        "/console/css/base.css",
        "/docs/swagger-ui.css",
        "/sessions?target=orders-ro",
    ] {
        let line = format!("GET {path}");
        let plain = send(&gateway, &line, &token, "").await;
        let asked = send(&gateway, &line, &format!("{token}Accept-Encoding: br, gzip\r\n"), "").await;
        assert!(
            plain.head.starts_with("http/1.1 200") && asked.head.starts_with("http/1.1 200"),
            "{path}: {}",
            plain.head
        );
        // How long a list is, and what was counted, is not always the same.
        if !["/sessions", "/metrics", "/kills/export"].iter().any(|moving| path.starts_with(moving)) {
            assert_eq!(plain.text(), asked.text(), "{path}");
        }
        assert!(!plain.is_compressed(), "{path}");
        if plain.text().len() >= 1024 {
            assert!(asked.is_compressed() && asked.body.len() * 2 < asked.text().len(), "{path}: {}", asked.head);
            assert!(plain.head.contains("vary: ") && plain.head.contains("accept-encoding"), "{path}: {}", plain.head);
            assert!(asked.head.contains("accept-encoding"), "{path}: {}", asked.head);
        }
    }
    let export = send(&gateway, "GET /kills/export", &format!("{token}Accept-Encoding: gzip\r\n"), "").await.text();
    let manifest: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    assert_eq!(
        (export.lines().count() > 40, manifest["manifest"]["kills"].as_u64().or(manifest["kills"].as_u64())),
        (true, Some(40))
    );
    let short = send(&gateway, "GET /healthz", "Accept-Encoding: gzip\r\n", "").await;
    assert!(!short.is_compressed());
    let file = send(&gateway, "GET /console/main.js", "Accept-Encoding: gzip\r\n", "").await;
    let tag = file.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    assert!(tag.starts_with("w/\""), "{tag}");
    let tag = tag.replace("w/", "W/");
    let known = format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n");
    assert!(send(&gateway, "GET /console/main.js", &known, "").await.head.starts_with("http/1.1 304"));
}

async fn what_has_a_confirm_or_literals_goes_as_it_is(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let mut preview = kill_of("orders-ro", &[2_075_425]);
    preview["dry_run"] = json!(true);
    preview["reason"] = "x".repeat(900).into();
    let headers =
        format!("{}Content-Type: application/json\r\nAccept-Encoding: gzip\r\n", bearer("sessions:kill sessions:read"));
    let answer = send(&gateway, "POST /sessions/kill", &headers, &preview.to_string()).await;
    assert!(answer.text().contains("\"confirm\":") && answer.text().len() > 1024, "{}", answer.text());
    assert!(!answer.is_compressed(), "{}", answer.head);
    for (scope, is_compressed) in [("sessions:read", true), ("sessions:read sessions:statements", false)] {
        let headers = format!("{}Accept-Encoding: gzip\r\n", bearer(scope));
        let list = send(&gateway, "GET /sessions?target=orders-ro", &headers, "").await;
        assert!(list.text().len() > 1024, "{}", list.text());
        assert_eq!(list.is_compressed(), is_compressed, "{scope}");
    }
}

async fn events_are_told_as_they_happen_whatever_is_asked_for(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hold);
    let (client, token) = (gateway.client().clone(), Gateway::token("auditor", "sessions:kill"));
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    let asked = tokio::spawn(async move { client.post("/sessions/kill", &token, &[], body).await });
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    let id = gateway.read("/kills?limit=1").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    let mut connection = TcpStream::connect(gateway.app.address()).await.unwrap();
    let request = format!(
        "GET /kills/{id}/events HTTP/1.1\r\nHost: killgate\r\nAccept-Encoding: gzip\r\nConnection: close\r\n{}\r\n",
        bearer("kills:read")
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut received = String::new();
    // The kill is held: what is told of it comes all the same.
    while !received.contains("event: sent") {
        let mut bytes = [0; 4096];
        let length = in_time(connection.read(&mut bytes)).await.unwrap();
        assert!(length > 0, "{received}");
        received.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    assert!(!received.to_ascii_lowercase().contains("content-encoding"), "{received}");
    gateway.clouds.behave();
    assert_eq!(asked.await.unwrap().status.as_u16(), 200);
}

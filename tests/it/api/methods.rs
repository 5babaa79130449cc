//! HEAD says what GET says, without the body; any other method is told which there are.

use super::kit::exchange;
use crate::support::gateway::{Engine, Gateway, kill_of};

/// The status line and the headers but those that differ from one answer to the next, and what came after them.
fn parted(answer: &str) -> (Vec<String>, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let mut lines: Vec<String> = head.lines().map(str::to_ascii_lowercase).collect();
    lines.retain(|line| !line.starts_with("date:") && !line.starts_with("x-request-id:"));
    lines[1..].sort();
    (lines, body)
}

async fn ask(gateway: &Gateway, method: &str, path: &str, token: &str) -> String {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    exchange(gateway, request.as_bytes()).await
}

/// The status of an answer, which has a body only if it was asked for one.
async fn status(gateway: &Gateway, method: &str, path: &str, token: &str) -> u16 {
    let answer = ask(gateway, method, path, token).await;
    assert!(method == "GET" || parted(&answer).1.is_empty(), "{answer}");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_says_what_get_says_without_the_body() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let id = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await.kill_id().to_owned();
    let token = Gateway::token("auditor", "kills:read kills:export sessions:read");
    let (kill, events) = (format!("/kills/{id}"), format!("/kills/{id}/events"));
    for path in [
        "/sessions?target=orders-ro",
        "/kills",
        "/kills?limit=0",
        "/kills?nothing=1",
        &kill,
        &events,
        "/kills/nothing",
        "/kills/stats?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z",
        "/kills/export",
        "/kills/export?format=csv",
        "/kills/export?format=xml",
        "/vendors",
        "/targets",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/",
        "/nowhere",
    ] {
        let (get, head) = (ask(&gateway, "GET", path, &token).await, ask(&gateway, "HEAD", path, &token).await);
        let ((mut get, _), (head, body)) = (parted(&get), parted(&head));
        if path.ends_with("format=csv") {
            // It says when the file was begun, and none was.
            get.retain(|line| !line.starts_with("link:"));
        }
        assert_eq!((head, body), (get, ""), "{path}");
    }
    assert_eq!(status(&gateway, "HEAD", "/metrics", "").await, 200);
    assert_eq!(status(&gateway, "HEAD", "/kills", "").await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_an_export_or_a_stream_reads_and_holds_nothing() {
    let env = vec![("KILLGATE__SERVER__MAX_STREAMS", "1")];
    let setup = crate::support::gateway::Setup { env, ..Default::default() };
    let gateway = Gateway::start_with(Engine::Sqlite, setup).await;
    let id = gateway.kill(&kill_of("orders-shard-1", &[1111])).await.kill_id().to_owned();
    let token = Gateway::token("auditor", "kills:read kills:export");
    let head = async |path: &str| status(&gateway, "HEAD", path, &token).await;
    for _ in 0..3 {
        assert_eq!(head(&format!("/kills/{id}/events")).await, 200);
    }
    // An export that reads finds the record closed.
    gateway.app.kills().audit().close().await;
    assert_eq!(head("/kills/export").await, 200);
    assert_eq!(head("/kills/export?format=xml").await, 422, "what is wrong with it is told");
    assert_eq!(status(&gateway, "GET", "/kills/export", &token).await, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_only_posts_has_no_head() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    for method in ["HEAD", "GET", "OPTIONS", "TRACE", "SEND"] {
        let answer = ask(&gateway, method, "/sessions/kill", "").await;
        let (head, _) = parted(&answer);
        assert!(head[0].contains(" 405 ") && head.contains(&"allow: post".to_owned()), "{method}: {answer}");
    }
}

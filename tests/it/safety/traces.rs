//! What is no kill leaves a trace too: who reads the record, tokens that are refused, and paths that there are not.

use std::time::Instant;

use super::process::Served;
use crate::support::{
    configuration::record_at,
    gateway::{Gateway, kill_of, token_with},
    patience::eventually,
};
use killgate::sandbox::{Clouds, Sandbox};
use serde_json::{Map, json};

/// A gateway with its record in a file, and what must live as long as it does.
async fn served() -> (Served, Sandbox, tempfile::TempDir) {
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let audit = record_at(&format!("sqlite:{}", directory.path().join("killgate.db").display()));
    let served = Served::start(&audit, &sandbox.url, "").await;
    (served, sandbox, directory)
}

/// The log line that has all these words, once there is one.
async fn line(served: &Served, words: &[&str]) -> String {
    let found = async || {
        let log = served.process.stderr();
        log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    };
    eventually(&format!("a line with {words:?}"), found).await
}

/// What the metric of that name and these labels says.
async fn counted(served: &Served, name: &str) -> u64 {
    let text = served.client.get("/metrics", "").await.body;
    let found = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    found.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_the_record_is_logged_and_counted() {
    let (served, _sandbox, _directory) = served().await;
    let answer = served.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let id = answer.kill_id();
    let mut extra = Map::new();
    extra.insert("act".to_owned(), json!({ "sub": "console-bot" }));
    extra.insert("azp".to_owned(), json!("portal"));
    let token = token_with("auditor@example.com", "kills:read kills:export", extra);
    for (path, route, what) in [
        ("/kills?caller=chatops-bot&limit=3".to_owned(), "/kills", "chatops-bot".to_owned()),
        (format!("/kills/{id}"), "/kills/{id}", format!("kill_id={id}")),
        (format!("/kills/{id}/events"), "/kills/{id}/events", format!("kill_id={id}")),
        ("/kills/stats?by=status".to_owned(), "/kills/stats", "status=200".to_owned()),
        ("/kills/export?vendor=taurusdb".to_owned(), "/kills/export", "status=200".to_owned()),
    ] {
        let answer = served.client.get(&path, &token).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.body);
        let who = ["caller=\"auditor@example.com\"", "actor=\"console-bot\"", "client_id=\"portal\""];
        let route_is = format!("route=\"{route}\"");
        let words = [&who[..], &["the record was read", &route_is, &what, "client_address=127.0.0.1"]].concat();
        line(&served, &words).await;
        assert_eq!(counted(&served, &format!("killgate_reads_total{{route=\"{route}\"}}")).await, 1, "{route}");
    }
    let refused = served.client.get("/kills", &Gateway::token("mallory", "sessions:read")).await;
    assert_eq!(refused.status.as_u16(), 403);
    line(&served, &["the record was read", "caller=\"mallory\"", "status=403"]).await;
    let log = served.process.stderr();
    let parts: Vec<_> = token.split('.').collect();
    assert!(parts.iter().all(|part| !log.contains(part)), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_there_are_not_are_counted_and_fill_no_log() {
    let (served, _sandbox, _directory) = served().await;
    let token = Gateway::token("mallory", "kills:read");
    let began = Instant::now();
    for tried in 0..100 {
        let answer = served.client.get(&format!("/admin-{tried}/{token}?token={token}"), &token).await;
        assert_eq!(answer.status.as_u16(), 404);
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    line(&served, &["there is no such path", "client_address=127.0.0.1", "path=\"/admin-0/[token]\""]).await;
    assert_eq!(counted(&served, "killgate_unknown_paths_total").await, 100);
    // What is known and has no such thing is no unknown path.
    served.client.get("/kills/7", &token).await;
    served.client.post("/kills", &token, &[], String::new()).await;
    assert_eq!(counted(&served, "killgate_unknown_paths_total").await, 100);
    let log = served.process.stderr();
    let lines = log.lines().filter(|line| line.contains("there is no such path")).count();
    assert!(lines <= seconds + 1, "{lines} lines in {seconds} s");
    assert!(token.split('.').all(|part| !log.contains(part)), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_logged_by_why_and_from_where_and_never_itself() {
    let (served, _sandbox, _directory) = served().await;
    let token = Gateway::token("mallory", "kills:read");
    let (head, signature) = token.rsplit_once('.').unwrap();
    let spoiled: String = signature.chars().rev().collect();
    let answer = served.client.get("/kills", &format!("{head}.{spoiled}")).await;
    assert_eq!(answer.status.as_u16(), 401);
    line(&served, &["a token was refused", "route=\"/kills\"", "client_address=127.0.0.1"]).await;
    let log = served.process.stderr();
    assert!(head.split('.').chain([spoiled.as_str()]).all(|part| !log.contains(part)), "{log}");
}

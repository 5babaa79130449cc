//! Log lines name the trace that they belong to, with a collector or without, in either form.

use killgate::sandbox::{Clouds, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

use super::parents::{PARENT_SPAN, TRACE, parent};
use crate::{
    safety::process::Served,
    support::{
        collector::{Collector, Mood},
        configuration::record_at,
        gateway::{Gateway, kill_of},
        patience::eventually,
        receiver::{Receiver, Reply},
    },
};

/// A gateway with its record in a file, and what must live as long as it does.
pub(super) async fn served(more: &str, format: &str) -> (Served, Sandbox, TempDir) {
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let audit = record_at(&format!("sqlite:{}", directory.path().join("killgate.db").display()));
    let env = [("KILLGATE__SERVER__LOG__FORMAT", format)];
    let served = Served::start_with(&audit, &sandbox.url, more, &env).await;
    (served, sandbox, directory)
}

/// The first log line with these words, once there is one.
pub(super) async fn line(served: &Served, words: &[&str]) -> String {
    let found = async || {
        let log = served.process.stderr();
        log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    };
    eventually(&format!("a line with {words:?}"), found).await
}

/// The id of the kill.
async fn kill(served: &Served, headers: &[(&str, &str)], target: &str, id: u64) -> String {
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let answer = served.client.post("/sessions/kill", &token, headers, kill_of(target, &[id]).to_string()).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    answer.kill_id().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_names_the_trace_of_its_caller_where_nobody_collects_spans() {
    let portal = Receiver::always(Reply::Status(500)).await;
    let (served, _sandbox, _directory) = served(&portal.section("portal"), "human").await;
    kill(&served, &[parent(true)], "orders-ro", 2_075_425).await;
    let ids = [&*format!("trace_id={TRACE}"), &format!("span_id={PARENT_SPAN}")];
    line(&served, &[" kill ", "status=succeeded", ids[0], ids[1]]).await;
    // And what comes later.
    line(&served, &["a delivery to a webhook failed", ids[0], ids[1]]).await;
    kill(&served, &[parent(false)], "orders-shard-1", 1111).await;
    line(&served, &["kill settled", ids[0], ids[1]]).await;
    let id = kill(&served, &[], "orders-ro", 2_075_426).await;
    let last = line(&served, &[" kill ", "status=succeeded", &id]).await;
    assert!(!last.contains("trace_id"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_names_its_own_span_where_somebody_collects_them() {
    let collector = Collector::start(Mood::Takes).await;
    let (served, _sandbox, _directory) = served(&collector.section(), "json").await;
    kill(&served, &[parent(true)], "orders-ro", 2_075_425).await;
    let request = collector.span("of the request", |span| span.name == "POST /sessions/kill").await;
    let line: Value = serde_json::from_str(&line(&served, &["\"message\":\"kill\""]).await).unwrap();
    assert_eq!((&line["span"]["trace_id"], &line["span"]["span_id"]), (&TRACE.into(), &request.id.into()), "{line}");
}

//! The last spans are delivered before a gateway ends, and a collector does not keep it from ending.

use super::lines::{line, served};
use crate::support::{
    collector::{Collector, Mood},
    gateway::kill_of,
};

/// What is said of a collector that takes nothing.
const FAILED: &str = "spans could not be delivered";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_of_the_last_kill_are_delivered_before_it_ends() {
    let collector = Collector::start(Mood::Takes).await;
    let (served, _sandbox, _directory) = served(&collector.section(), "human").await;
    served.kill(&kill_of("orders-ro", &[2_075_425])).await;
    served.process.signal("TERM");
    let ended = served.process.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    for name in ["POST /sessions/kill", "kill", "look", "dispatch"] {
        assert!(names.iter().any(|told| told == name), "{name} is not among {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_keeps_no_gateway_from_ending() {
    let collector = Collector::start(Mood::Hangs).await;
    let (served, _sandbox, _directory) = served(&collector.section(), "human").await;
    served.kill(&kill_of("orders-ro", &[2_075_425])).await;
    served.process.signal("TERM");
    let ended = served.process.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopping with spans that were not delivered"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_fails_is_told_of_once() {
    let collector = Collector::start(Mood::Fails).await;
    let (served, _sandbox, _directory) = served(&collector.section(), "human").await;
    served.kill(&kill_of("orders-ro", &[2_075_425])).await;
    line(&served, &[FAILED, "HTTP 500"]).await;
    let counted = async || {
        served.kill(&kill_of("orders-ro", &[2_075_426])).await;
        let text = served.client.get("/metrics", "").await.body;
        let failed = text
            .as_str()
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix("killgate_spans_total{result=\"failed\"} "));
        failed.and_then(|failed| failed.parse::<u64>().ok())
    };
    let first = counted().await.unwrap();
    crate::support::patience::eventually("more of them", async || counted().await.filter(|now| *now > 2 * first)).await;
    collector.is(Mood::Takes);
    served.kill(&kill_of("orders-ro", &[2_075_427])).await;
    line(&served, &["spans are delivered again"]).await;
    assert_eq!(served.process.stderr().matches(FAILED).count(), 1);
}

//! Collectors that are away, slow or failing: no kill hears of it.

use serde_json::Value;

use crate::support::{
    collector::{Collector, Mood},
    gateway::{Engine, Gateway, Setup, kill_of, on_one_engine},
    patience::eventually,
    way::nobody,
};

on_one_engine! {
    a_collector_that_is_away_keeps_no_kill_from_anything,
    a_collector_that_hangs_keeps_no_kill_from_anything,
    what_a_collector_refuses_is_counted_and_what_it_takes_again_too,
    what_the_collector_wants_to_be_sent_is_sent,
}

async fn gateway(engine: Engine, more: String) -> Gateway {
    Gateway::start_with(engine, Setup { more, ..Setup::default() }).await
}

/// Kills one after the other, each of which goes well.
async fn kills_go_well(gateway: &Gateway) {
    for id in 2_075_425..2_075_428 {
        let answer = gateway.kill(&kill_of("orders-ro", &[id])).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }
}

/// How many spans came to that.
async fn counted(gateway: &Gateway, result: &str) -> u64 {
    let text = gateway.client().get("/metrics", "").await.body;
    let Value::String(text) = text else { panic!("{text}") };
    let name = format!("killgate_spans_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

async fn some(gateway: &Gateway, result: &str) -> u64 {
    let found = async || Some(counted(gateway, result).await).filter(|count| *count > 0);
    eventually(&format!("spans that are {result}"), found).await
}

async fn a_collector_that_is_away_keeps_no_kill_from_anything(engine: Engine) {
    let (_kept, nobody) = nobody();
    keeps_no_kill_from_anything(engine, format!("[traces]\nendpoint = \"http://{nobody}\"\n")).await;
}

async fn a_collector_that_hangs_keeps_no_kill_from_anything(engine: Engine) {
    let collector = Collector::start(Mood::Hangs).await;
    keeps_no_kill_from_anything(engine, collector.section()).await;
}

async fn keeps_no_kill_from_anything(engine: Engine, section: String) {
    let gateway = gateway(engine, section).await;
    kills_go_well(&gateway).await;
    some(&gateway, "failed").await;
    kills_go_well(&gateway).await;
    assert_eq!(counted(&gateway, "delivered").await, 0);
}

async fn what_a_collector_refuses_is_counted_and_what_it_takes_again_too(engine: Engine) {
    let collector = Collector::start(Mood::Fails).await;
    let gateway = gateway(engine, collector.section()).await;
    kills_go_well(&gateway).await;
    some(&gateway, "failed").await;
    collector.is(Mood::Takes);
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    collector.span("of the next kill", |span| span.name == "kill").await;
    some(&gateway, "delivered").await;
}

async fn what_the_collector_wants_to_be_sent_is_sent(engine: Engine) {
    let collector = Collector::start(Mood::Takes).await;
    let more = format!("{}service_name = \"gate\"\nheaders.x-canary = \"canary-header\"\n", collector.section());
    let gateway = gateway(engine, more).await;
    kills_go_well(&gateway).await;
    collector.span("of a kill", |span| span.name == "kill").await;
    let (head, _) = &collector.posts()[0];
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    assert!(head.to_ascii_lowercase().contains("x-canary: canary-header"), "{head}");
    assert_eq!(collector.resources()[0]["service.name"], "gate");
    assert!(!format!("{:?}{:?}", gateway.app, gateway.config).contains("canary-header"));
    assert!(!gateway.config.summary().concat().contains("canary-header"));
}

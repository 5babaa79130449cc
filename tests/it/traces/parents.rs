//! What callers say of where they stand: `traceparent` in and out.

use crate::support::{
    collector::{Collector, Mood, Told},
    gateway::{Engine, Gateway, Setup, kill_of, on_one_engine},
    receiver::Receiver,
};

on_one_engine! {
    an_unsampled_parent_sends_no_span_and_its_webhook_says_so,
    what_is_not_well_formed_begins_another_trace,
    without_a_collector_a_webhook_is_told_what_the_caller_said,
    of_those_that_begin_here_as_many_are_told_as_is_said,
}

pub(super) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(super) const PARENT_SPAN: &str = "00f067aa0ba902b7";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// The header of a caller whose trace is collected, or not.
pub(super) fn parent(sampled: bool) -> (&'static str, &'static str) {
    ("traceparent", if sampled { SAMPLED } else { UNSAMPLED })
}

async fn gateway(engine: Engine, more: String) -> Gateway {
    Gateway::start_with(engine, Setup { more, ..Setup::default() }).await
}

fn of_request(span: &Told) -> bool {
    span.name == "POST /sessions/kill"
}

async fn an_unsampled_parent_sends_no_span_and_its_webhook_says_so(engine: Engine) {
    let (collector, portal) = (Collector::start(Mood::Takes).await, Receiver::replying([]).await);
    let gateway = gateway(engine, collector.section() + &portal.section("portal")).await;
    let answer = gateway.kill_with(&[parent(false)], &kill_of("orders-ro", &[2_075_425])).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    let told = &portal.got(1).await[0].headers["traceparent"];
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
    assert!(!told.contains(PARENT_SPAN), "it stands below its caller: {told}");
    // What comes after it has been told.
    gateway.kill(&kill_of("orders-ro", &[2_075_426])).await;
    collector.span("of the next request", of_request).await;
    assert!(collector.spans().iter().all(|span| span.trace != TRACE));
}

async fn what_is_not_well_formed_begins_another_trace(engine: Engine) {
    let collector = Collector::start(Mood::Takes).await;
    let gateway = gateway(engine, collector.section()).await;
    for (tried, bad) in [&SAMPLED[..54], "00-canary", &SAMPLED.to_uppercase()].into_iter().enumerate() {
        gateway.kill_with(&[("traceparent", bad)], &kill_of("orders-ro", &[2_075_425])).await;
        let begun = |span: &Told| of_request(span) && span.parent.is_empty() && span.trace != TRACE;
        let found =
            async || Some(collector.spans()).filter(|spans| spans.iter().filter(|span| begun(span)).count() > tried);
        crate::support::patience::eventually("a trace begins", found).await;
    }
}

async fn without_a_collector_a_webhook_is_told_what_the_caller_said(engine: Engine) {
    let portal = Receiver::replying([]).await;
    let gateway = gateway(engine, portal.section("portal")).await;
    gateway.kill_with(&[parent(true)], &kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(portal.got(1).await[0].headers["traceparent"], SAMPLED);
    gateway.kill(&kill_of("orders-ro", &[2_075_426])).await;
    assert!(!portal.got(2).await[1].headers.contains_key("traceparent"));
}

async fn of_those_that_begin_here_as_many_are_told_as_is_said(engine: Engine) {
    let collector = Collector::start(Mood::Takes).await;
    let gateway = gateway(engine, collector.section() + "sample = 0\n").await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    gateway.kill_with(&[parent(true)], &kill_of("orders-ro", &[2_075_426])).await;
    collector.span("of a caller that is collected", of_request).await;
    assert!(collector.spans().iter().all(|span| span.trace == TRACE));
}

//! Deliveries outlive the gateway that owes them, and are dropped where nobody is to be told any more.

use std::time::Duration;

use killgate::clock::Clock;

use super::metric;
use crate::{
    safety::process::Served,
    support::{
        configuration::{BLIND, record_at},
        gateway::{Engine, Gateway, Setup, kill_of, on_both_engines, url_of},
        patience::eventually,
        receiver::{Receiver, Reply},
    },
};

on_both_engines! {
    a_gateway_that_dies_leaves_its_deliveries_to_another,
    a_delivery_to_a_webhook_that_is_gone_is_dropped,
}

/// A clock that is so far ahead that leases and pauses are over.
fn later() -> Clock {
    Clock::manual(Clock::system().now() + Duration::from_hours(2))
}

async fn a_gateway_that_dies_leaves_its_deliveries_to_another(engine: Engine) {
    let portal = Receiver::replying([Reply::Status(503), Reply::Hang]).await;
    // Only the one that is to die knows of the webhook as yet.
    let idle = Gateway::start_blind(engine).await;
    let more = format!("{BLIND}{}", portal.section("portal"));
    let doomed = Served::start(&record_at(&url_of(&idle)), &idle.sandbox.url, &more).await;
    let answer = doomed.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    // Refused once, and the second try is under way.
    portal.got(2).await;
    doomed.die().await;

    let setup = Setup {
        more: portal.section("portal"),
        database_url: Some(url_of(&idle)),
        clock: Some(later()),
        clouds: Some(idle.clouds.clone()),
        ..Setup::default()
    };
    let living = Gateway::start_blind_with(engine, setup).await;
    let posts = portal.got(3).await;
    for post in &posts {
        post.verify();
        assert_eq!((post.id(), &post.body), (posts[0].id(), &posts[0].body));
    }
    assert_eq!(posts[0].json()["data"], answer.body);
    let name = "killgate_webhook_deliveries_total{webhook=\"portal\",result=\"delivered\"}";
    eventually("it is counted", async || (metric(&living, name).await == 1).then_some(())).await;
}

async fn a_delivery_to_a_webhook_that_is_gone_is_dropped(engine: Engine) {
    let portal = Receiver::always(Reply::Status(500)).await;
    let first = Gateway::start_blind_with(engine, Setup { more: portal.section("portal"), ..Setup::default() }).await;
    first.kill(&kill_of("orders-ro", &[2_075_425])).await;
    portal.got(1).await;
    let url = url_of(&first);
    let (_sandbox, _home) = first.stop().await;

    let setup = Setup { database_url: Some(url), clock: Some(later()), ..Setup::default() };
    let without = Gateway::start_blind_with(engine, setup).await;
    let name = "killgate_webhook_deliveries_total{webhook=\"none\",result=\"dropped\"}";
    eventually("it is dropped", async || (metric(&without, name).await == 1).then_some(())).await;
}

//! A vendor that throttles below its documented limit is asked more slowly.

use serde_json::Value;

use super::{all, assert_accepted, current, ids, sent, shards};
use crate::support::gateway::{Engine, Gateway};

/// Nobody is turned away for waiting.
const PATIENT: &str = "
    [vendors.dcdb]
    reserved_percent = 0
    max_wait_ms = 60000
";

/// Calls a second that are asked for of the kills' own budget now, as `GET /metrics` says.
async fn pace(gateway: &Gateway) -> Option<u64> {
    let Value::String(text) = gateway.client().get("/metrics", "").await.body else { panic!("metrics are text") };
    let line = r#"killgate_pace{budget="tencent-test/dcdb/KillSession"} "#;
    text.lines().find_map(|all| all.strip_prefix(line)).map(|pace| pace.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_throttles_below_its_limit_slows_the_gateway_down_and_all_is_done() {
    let (gateway, targets) = shards(Engine::Postgres, 21, PATIENT).await;
    assert_accepted(&all(&gateway, &[ids(&targets[20], &[1])]).await);
    assert_eq!((current(&gateway).await, pace(&gateway).await), (20, Some(20)));

    gateway.clouds.limit_dcdb(5);
    let bodies: Vec<_> = targets[..20].iter().map(|target| ids(target, &[1])).collect();
    assert_accepted(&all(&gateway, &bodies).await);
    assert!(gateway.clouds.violations() > 0);
    assert!(sent(&gateway.clouds).len() < 100, "{} calls", sent(&gateway.clouds).len());
    let slowed = current(&gateway).await;
    assert!((1..=10).contains(&slowed), "{slowed}");
    assert!(pace(&gateway).await.is_some_and(|pace| (1..=10).contains(&pace)));
}

//! Callers share what a vendor gives for looks before kills too: told by how many of them get theirs.

use actix_web::http::StatusCode;
use killgate::sandbox::Action;
use serde_json::json;
use tokio::task::JoinSet;

use super::huawei;
use crate::support::{
    gateway::{Engine, Gateway, Setup, on_both_engines},
    patience::eventually,
};

/// How many looks a bot keeps under way.
const MANY: u64 = 100;

on_both_engines!(who_keeps_many_looks_under_way_leaves_others_their_share);

/// At Huawei all calls count together, the lists before kills too.
async fn who_keeps_many_looks_under_way_leaves_others_their_share(engine: Engine) {
    let few = "vendors.taurusdb = { requests_per_second = 3, requests_per_minute = 0, reserved_percent = 0, \
               max_wait_ms = 8000 }\n";
    let gateway = Gateway::start_with(engine, Setup { more: huawei(few), ..Setup::default() }).await;
    // Each is one list: it meets nobody.
    let body = json!({ "target": "orders-ro", "select": { "match": { "user": "nobody" } }, "reason": "fair" });
    let mut bot = JoinSet::new();
    for _ in 0..MANY {
        let (client, body) = (gateway.client().clone(), body.to_string());
        bot.spawn(async move {
            loop {
                client.post("/sessions/kill", &Gateway::token("bot", "sessions:kill"), &[], body.clone()).await;
            }
        });
    }
    let lists = || gateway.clouds.calls_for(Action::TaurusdbProcesses).len();
    eventually("the bot has had its first lists", async || (lists() > 6).then_some(())).await;

    let (token, before, mut others) = (Gateway::token("dba", "sessions:kill"), lists(), 0);
    for _ in 0..8 {
        let answer = gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await;
        others += usize::from(answer.status == StatusCode::OK);
    }
    // If all went in the order in which they came, nearly three of four would find no permit in time.
    assert!(others >= 5, "{others} of {}", lists() - before);
    assert!(others < lists() - before, "and the bot has its own share");
    assert_eq!(gateway.clouds.violations(), 0);
}

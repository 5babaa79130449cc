//! Callers share what a vendor gives, however much each of them asks for: told by their shares of the calls.

use killgate::sandbox::Action;
use tokio::task::JoinSet;

use super::{ids, sent, shards};
use crate::support::{
    gateway::{Engine, Gateway, on_both_engines},
    patience::eventually,
};

/// Few calls, each of one session, and patience for a dozen of them.
const FEW: &str = "
    [vendors.dcdb]
    requests_per_second = 3
    reserved_percent = 0
    max_ids_per_call = 1
    max_wait_ms = 8000
";

/// How many kills a bot keeps under way, each of as many calls as it has sessions.
const MANY: u64 = 100;
/// Sessions that the bot does not ask for.
const OTHERS: u64 = 9_000;

on_both_engines!(who_keeps_many_large_kills_under_way_leaves_others_their_share);

async fn who_keeps_many_large_kills_under_way_leaves_others_their_share(engine: Engine) {
    let (gateway, targets) = shards(engine, 2, FEW).await;
    let mut bot = JoinSet::new();
    for kill in 0..MANY {
        let sessions: Vec<_> = (1..10).map(|id| kill * 10 + id).collect();
        let (client, body) = (gateway.client().clone(), ids(&targets[0], &sessions).to_string());
        bot.spawn(async move {
            loop {
                let token = Gateway::token("bot", "sessions:kill");
                client.post("/sessions/kill", &token, &[], body.clone()).await;
            }
        });
    }
    let calls = || gateway.clouds.calls_for(Action::DcdbKill).len();
    eventually("the bot has had its first calls", async || (calls() > 6).then_some(())).await;

    let (token, before) = (Gateway::token("dba", "sessions:kill"), calls());
    for kill in 0..8 {
        let body = ids(&targets[1], &[OTHERS + kill]).to_string();
        gateway.client().post("/sessions/kill", &token, &[], body).await;
    }
    let since = sent(&gateway.clouds).split_off(before);
    let others = since.iter().filter(|ids| ids[0] >= 9_000).count();
    // If all went in the order in which they came, nearly nine of ten would find no permit in time.
    assert!(others >= 5, "{others} of {} calls", since.len());
    assert!(others < since.len(), "and the bot has its own share");
    assert_eq!(gateway.clouds.violations(), 0);
}

//! Any number of gateways on one Postgres share the budget of a vendor account.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;
use killgate::{
    app::App,
    clock::Clock,
    sandbox::{Action, Clouds},
};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::{assert_accepted, ids, sent, shards};
use crate::support::{
    configuration::{configuration, record_at},
    gateway::{Client, Engine, Gateway},
    lateness::Lateness,
    patience::eventually,
};

/// All of the budget is for everybody here, and nobody is turned away for waiting.
const WHOLE_BUDGET: &str = "
    [vendors.dcdb]
    reserved_percent = 0
    max_wait_ms = 60000
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_together_never_exceed_the_limit_and_lose_nothing() {
    let lateness = Lateness::watch();
    let (first, targets) = shards(Engine::Postgres, 60, WHOLE_BUDGET).await;
    let config = configuration(&record_at(&first.database_url()), &first.sandbox.url, WHOLE_BUDGET);
    let second = App::start(&config, Clock::system()).await.unwrap();
    let third = App::start(&config, Clock::system()).await.unwrap();
    let clients = [first.client().clone(), Client::new(second.address()), Client::new(third.address())];
    let token = Gateway::token("chatops-bot", "sessions:kill");

    // Five kills of one session each on each of sixty shards; none can be told which gateway it meets.
    let kills = targets.iter().flat_map(|target| (1..=5).map(move |id| ids(target, &[id])));
    let answers = join_all(kills.enumerate().map(|(number, body)| {
        let (client, token) = (&clients[number % 3], &token);
        async move {
            let has_turn = async || {
                let answer = client.post("/sessions/kill", token, &[], body.to_string()).await;
                // A machine may be too slow for all of them to have their turns in a minute.
                (answer.code() != "rate_limited").then_some(answer)
            };
            eventually("a kill has its turn", has_turn).await
        }
    }))
    .await;

    assert_accepted(&answers);
    let clouds = &first.clouds;
    lateness.assert_kept(&clouds.calls_for(Action::DcdbKill), 20).await;
    assert_eq!(sent(clouds).concat().len(), 300, "each session was asked for once");
    let served = served_first(&first, clouds).await;
    assert!(served.len() == 3, "none of them is starved: {served:?}");
    for app in [second, third] {
        app.stop().await.unwrap();
    }
}

/// How many of the first half of the calls, as the vendor saw them, were those of each gateway: somebody waited at each of
/// them all that time. How they share is for the machine to say: whoever is quicker takes more of what has just become free.
async fn served_first(gateway: &Gateway, clouds: &Clouds) -> BTreeMap<String, usize> {
    let sql = "SELECT target ->> 'shard_id' || ' ' || (selector -> 'ids' ->> 0), gateway FROM kills";
    let mut connection = PgConnection::connect(&gateway.database_url()).await.unwrap();
    let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    let asked_at: HashMap<String, String> = rows.into_iter().collect();
    let mut calls = clouds.calls_for(Action::DcdbKill);
    calls.truncate(calls.len() / 2);
    let mut served = BTreeMap::new();
    for call in &calls {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let of = format!("{} {}", body["ShardId"].as_str().unwrap(), body["SessionId"][0]);
        *served.entry(asked_at[&of].clone()).or_default() += 1;
    }
    served
}

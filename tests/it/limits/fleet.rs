//! Any number of gateways on one Postgres share the budget of a vendor account.

use std::time::Duration;

use futures_util::future::join_all;
use killgate::{
    app::App,
    clock::Clock,
    sandbox::{Action, Clouds},
};

use super::{assert_accepted, ids, sent, shards};
use crate::support::gateway::{Client, Engine, Gateway, configuration};

/// All of the budget is for everybody here, and nobody is turned away for waiting.
const WHOLE_BUDGET: &str = "
    [vendors.dcdb]
    reserved_percent = 0
    max_wait_ms = 60000
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_together_never_exceed_the_limit_and_lose_nothing() {
    let (first, targets) = shards(Engine::Postgres, 60, WHOLE_BUDGET).await;
    let audit = format!("database_url = \"{}\"\ntimeout_ms = 30000", first.database_url());
    let config = configuration(&audit, &first.sandbox.url, WHOLE_BUDGET);
    let second = App::start(&config, Clock::system()).await.unwrap();
    let third = App::start(&config, Clock::system()).await.unwrap();
    let clients = [first.client().clone(), Client::new(second.address()), Client::new(third.address())];
    let token = Gateway::token("chatops-bot", "sessions:kill");

    // Five kills of one session each on each of sixty shards; none can be told which gateway it meets.
    let kills = targets.iter().flat_map(|target| (1..=5).map(move |id| ids(target, &[id])));
    let answers = join_all(kills.enumerate().map(|(number, body)| {
        let (client, token) = (&clients[number % 3], &token);
        async move { client.post("/sessions/kill", token, &[], body.to_string()).await }
    }))
    .await;

    assert_accepted(&answers);
    let clouds = &first.clouds;
    assert_eq!(clouds.violations(), 0);
    assert_eq!(sent(clouds).concat().len(), 300, "each session was asked for once");
    assert!(use_of_budget(clouds) >= 0.9, "{:.3} of the budget was used", use_of_budget(clouds));
    for app in [second, third] {
        app.stop().await.unwrap();
    }
}

/// Calls between the first and the last arrival, against twenty a second: somebody waited all the time.
fn use_of_budget(clouds: &Clouds) -> f64 {
    let mut arrivals: Vec<_> = clouds.calls_for(Action::DcdbKill).iter().map(|call| call.arrived).collect();
    arrivals.sort_unstable();
    let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
    let took = last.duration_since(first).max(Duration::from_millis(1));
    f64::from(u32::try_from(arrivals.len()).unwrap()) / (20.0 * took.as_secs_f64())
}

//! What the vendor counts: credentials and not accounts, minutes and not only seconds, by its own clock and nobody else's.

use killgate::sandbox::{Action, demo as world};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{all, assert_accepted, huawei, ids, shards};
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of},
    lateness::Lateness,
};

/// A second name for the account that there is.
fn too() -> String {
    format!(
        "[accounts.tencent-too]\ncloud = 'tencent'\nregion = '{}'\nsecret_id = '{}'\nsecret_key = '{}'\n\
         endpoints.dcdb = '{{clouds}}'\n[vendors.dcdb]\nreserved_percent = 0\nmax_wait_ms = 60000\n",
        world::TENCENT_REGION,
        world::TENCENT_SECRET_ID,
        world::TENCENT_SECRET_KEY,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_with_the_same_credentials_share_one_budget() {
    let lateness = Lateness::watch();
    let (gateway, targets) = shards(Engine::Sqlite, 40, &too()).await;
    let bodies: Vec<Value> = targets
        .iter()
        .enumerate()
        .map(|(number, target)| {
            let mut target = target.clone();
            target["account"] = json!(["tencent-test", "tencent-too"][number % 2]);
            ids(&target, &[1])
        })
        .collect();
    assert_accepted(&all(&gateway, &bodies).await);
    let calls = gateway.clouds.calls_for(Action::DcdbKill);
    assert_eq!(calls.len(), 40);
    lateness.assert_kept(&calls, 20).await;
    let metrics = gateway.client().get("/metrics", "").await.body;
    let metrics = metrics.as_str().unwrap();
    for account in ["tencent-test", "tencent-too"] {
        assert!(metrics.contains(&format!("budget=\"{account}/dcdb/KillSession\"")), "{metrics}");
    }
    assert!(!metrics.contains(world::TENCENT_SECRET_ID));
}

/// Moves the turns that were given by so much, as if the database's clock had been set back or forward by it.
async fn move_turns(gateway: &Gateway, micros: i64) {
    let mut connection = PgConnection::connect(&gateway.database_url()).await.unwrap();
    let moved = "UPDATE turns SET slots = array(SELECT slot + $1 FROM unnest(slots) AS slot)";
    sqlx::query(moved).bind(micros).execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_databases_clock_empties_no_window() {
    let lateness = Lateness::watch();
    let patient = "[vendors.dcdb]\nreserved_percent = 0\nmax_wait_ms = 60000\n";
    // Forward by a bit more than what is looked at, and back by two hours.
    for step in [-1_200_000, 7_200_000_000] {
        let (gateway, targets) = shards(Engine::Postgres, 40, patient).await;
        let bodies: Vec<_> = targets.iter().map(|target| ids(target, &[1])).collect();
        assert_accepted(&all(&gateway, &bodies[..20]).await);
        move_turns(&gateway, step).await;
        assert_accepted(&all(&gateway, &bodies[20..]).await);
        lateness.assert_kept(&gateway.clouds.calls_for(Action::DcdbKill), 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_by_the_minute_is_kept_to_on_both_engines() {
    for engine in [Engine::Postgres, Engine::Sqlite] {
        let few = "[accounts.huawei-test.vendors.taurusdb]\nrequests_per_minute = 4\nmax_wait_ms = 0\n";
        let gateway = Gateway::start_with(engine, Setup { more: huawei(few), ..Setup::default() }).await;
        let mut refused = None;
        for id in 1..=8 {
            let answer = gateway.kill(&kill_of("orders-ro", &[id])).await;
            refused = refused.or_else(|| (answer.code() == "rate_limited").then_some(answer));
        }
        let refused = refused.expect("the minute is over before it has begun again");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((2..=61).contains(&wait), "{engine:?}: {wait}");
        assert!(gateway.clouds.count() <= 4, "{engine:?}: {}", gateway.clouds.count());
    }
}

//! After a kill is looked whether its sessions come back.

use std::time::Duration;

use killgate::{
    clock::Clock,
    sandbox::{Action, Behaviour, Clouds, Lie, Session},
};
use serde_json::{Value, json};

use super::{kill_by, on_both_engines, on_one_engine, place};
use crate::support::{
    configuration::BLIND,
    gateway::{Engine, Gateway, Setup, kill_of},
    patience::eventually,
};

on_both_engines! {
    sessions_of_a_pool_that_reconnects_are_counted,
    none_that_came_is_0_at_the_end_and_one_list_serves_all_kills_of_a_target,
    a_last_look_that_fails_is_tried_again,
}

on_one_engine! {
    only_who_is_alike_and_new_counts,
    nobody_is_watched_where_that_is_off_or_nobody_can_be_recognised,
}

const ORDERS: &str = "orders-ro";
/// What `ORDERS` has running: two lookups of two clients, and a third session.
const LOOKUP: u64 = 2_075_426;
const LATER: u64 = 2_075_430;

/// A gateway whose clock, and that of its clouds, stands still.
async fn standing(engine: Engine, more: &str) -> (Gateway, Clock) {
    let clock = Clock::manual(Clock::system().now());
    let clouds = Clouds::demo_at(clock.clone());
    clouds.set_flow_time(Duration::ZERO);
    let setup = Setup { clouds: Some(clouds), clock: Some(clock.clone()), more: more.into(), ..Setup::default() };
    (Gateway::start_with(engine, setup).await, clock)
}

fn pass(clock: &Clock, seconds: u64) {
    clock.set(clock.now() + Duration::from_secs(seconds));
}

/// A kill of these sessions, pinned to their user.
fn pinned(gateway: &Gateway, alias: &str, ids: &[u64]) -> Value {
    let sessions = gateway.clouds.sessions(&place(alias));
    let pin = |id: &u64| {
        let user = &sessions.iter().find(|session| session.id == *id).unwrap().user;
        json!({ "id": id, "user": user })
    };
    kill_by(alias, json!({ "ids": ids.iter().map(pin).collect::<Vec<_>>() }))
}

/// Kills them and waits until that is done; answers the kill's id.
async fn killed(gateway: &Gateway, alias: &str, ids: &[u64]) -> String {
    let answer = gateway.kill(&pinned(gateway, alias, ids)).await;
    let done = async || Some(gateway.record(answer.kill_id()).await).filter(|kill| kill["status"] == "succeeded");
    let kill = eventually("the kill is done", done).await;
    assert_eq!(kill.get("returned"), None, "{kill}");
    let digest = kill["sessions"][0]["identity"]["statement_digest"].as_str();
    assert_eq!(digest.map(str::len), Some(32), "{kill}");
    kill["id"].as_str().unwrap().to_owned()
}

/// The record of a kill once it tells who came back.
async fn told(gateway: &Gateway, id: &str) -> u64 {
    let told = async || gateway.record(id).await["returned"].as_u64();
    eventually("it is told who came back", told).await
}

/// How many watches there are; to be asked at the end, since nobody looks any more after it.
async fn watches(gateway: &Gateway) -> usize {
    let (audit, in_a_year) = (gateway.app.kills().audit(), Clock::system().now() + Duration::from_hours(8760));
    audit.claim_watches("nobody", in_a_year, Duration::ZERO, 100).await.unwrap().len()
}

async fn sessions_of_a_pool_that_reconnects_are_counted(engine: Engine) {
    let (gateway, clock) = standing(engine, "").await;
    let mut kills = vec![];
    for (alias, kill, ids) in [
        ("ledger", Action::GaussdbKill, [10_181, 10_185]),
        ("shop", Action::DasKill, [11_213, 11_217]),
        (ORDERS, Action::TaurusdbKill, [LOOKUP, LATER]),
        ("orders-shard-1", Action::DcdbKill, [1112, 1116]),
    ] {
        gateway.clouds.misbehave(kill, Behaviour::Lie(Lie::Reconnects));
        kills.push(killed(&gateway, alias, &ids).await);
    }
    // A quarter of the usual minute, and what a kill may take.
    pass(&clock, 16);
    for kill in &kills {
        assert_eq!(told(&gateway, kill).await, 2);
    }
    // One of them goes and opens another.
    let at = place(ORDERS);
    let mut last = gateway.clouds.sessions(&at).pop().unwrap();
    gateway.clouds.remove(&at, last.id);
    last.id += 1;
    gateway.clouds.put(&at, &Session { seconds: 0, ..last });
    pass(&clock, 60);
    let three = async || (told(&gateway, &kills[2]).await == 3).then_some(());
    eventually("the third is seen beside the two of before", three).await;
    let listed = gateway.read("/kills?limit=10").await;
    let items = listed.body["items"].as_array().unwrap();
    assert!(items.iter().all(|kill| kill["returned"].as_u64() >= Some(2)), "{}", listed.body);
}

async fn none_that_came_is_0_at_the_end_and_one_list_serves_all_kills_of_a_target(engine: Engine) {
    let (gateway, clock) = standing(engine, "").await;
    let lists = || gateway.clouds.calls_for(Action::TaurusdbProcesses).len();
    let kills = [killed(&gateway, ORDERS, &[LOOKUP]).await, killed(&gateway, ORDERS, &[LATER]).await];
    assert_eq!(lists(), 2, "each was looked at before");
    pass(&clock, 16);
    gateway.clouds.arrived(Action::TaurusdbProcesses, 3).await;
    for kill in &kills {
        assert_eq!(gateway.record(kill).await.get("returned"), None, "one may still come");
    }
    pass(&clock, 60);
    for kill in &kills {
        assert_eq!(told(&gateway, kill).await, 0);
    }
    assert!(lists() <= 4, "a list for each kill is too many");
    assert_eq!(watches(&gateway).await, 0);
}

async fn only_who_is_alike_and_new_counts(engine: Engine) {
    let (gateway, clock) = standing(engine, "").await;
    let at = place(ORDERS);
    let lost = gateway.clouds.sessions(&at).into_iter().find(|session| session.id == LOOKUP).unwrap();
    let address = lost.host.rsplit_once(':').unwrap().0.to_owned();
    let like = |id: u64, port: u64| Session { id, host: format!("{address}:{port}"), seconds: 0, ..lost.clone() };
    gateway.clouds.put(&at, &like(100, 50_100).running("select count(*) from orders", 5));
    gateway.clouds.put(&at, &like(101, 50_101));
    let kill = killed(&gateway, ORDERS, &[LOOKUP]).await;

    // The pool's others, which were there before: one by now runs the very statement.
    gateway.clouds.put(&at, &like(100, 50_100));
    gateway.clouds.put(&at, &Session { user: "etl".into(), ..like(200, 50_200) });
    gateway.clouds.put(&at, &Session { host: "10.9.9.9:50200".into(), ..like(201, 50_201) });
    gateway.clouds.put(&at, &like(202, 50_202).running("select * from orders where id = 1 for update", 0));
    gateway.clouds.put(&at, &like(203, 50_203).running("select * from orders where id = 1", 3600));
    // Under a new id, and under the killed one's.
    gateway.clouds.put(&at, &like(300, 50_300).running("select  * from orders where id = 8", 0));
    gateway.clouds.put(&at, &like(LOOKUP, 50_301));
    pass(&clock, 61);
    assert_eq!(told(&gateway, &kill).await, 2);
}

async fn a_last_look_that_fails_is_tried_again(engine: Engine) {
    let (gateway, clock) = standing(engine, "").await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Lie(Lie::Reconnects));
    let kill = killed(&gateway, ORDERS, &[LOOKUP]).await;
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    pass(&clock, 61);
    gateway.clouds.arrived(Action::TaurusdbProcesses, 2).await;
    assert_eq!(gateway.record(&kill).await.get("returned"), None);
    gateway.clouds.behave();
    pass(&clock, 31);
    assert_eq!(told(&gateway, &kill).await, 1);
}

async fn nobody_is_watched_where_that_is_off_or_nobody_can_be_recognised(engine: Engine) {
    let (gateway, _) = standing(engine, "[returned]\nwatch_s = 0").await;
    killed(&gateway, ORDERS, &[LOOKUP]).await;
    assert_eq!(watches(&gateway).await, 0);

    let (gateway, _) = standing(engine, BLIND).await;
    let plain = gateway.kill(&kill_of(ORDERS, &[LOOKUP])).await;
    assert_eq!(plain.body["status"], "succeeded", "{}", plain.body);
    // It sleeps, so it has no statement to be recognised by.
    let asleep = gateway.kill(&pinned(&gateway, ORDERS, &[2_075_428])).await;
    assert_eq!(asleep.body["status"], "succeeded", "{}", asleep.body);
    assert_eq!(watches(&gateway).await, 0);
    killed(&gateway, ORDERS, &[LATER]).await;
    assert_eq!(watches(&gateway).await, 1);
}

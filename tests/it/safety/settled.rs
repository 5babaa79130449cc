//! What is open is settled by looking: lists that show a session gone, still there, or another one under its id.

use std::time::Duration;

use futures_util::future::join_all;
use killgate::{
    clock::Clock,
    sandbox::{Action, Behaviour, Clouds, Lie, Place, demo as world},
};
use serde_json::{Value, json};

use super::{IMPATIENT, on_both_engines, on_one_engine, process::Served, recorded_as, records, url_of};
use crate::support::{
    configuration::{BLIND, record_at},
    gateway::{Engine, Gateway, Setup, kill_of},
    patience::eventually,
};

on_both_engines! {
    an_accepted_kill_of_das_settles_where_its_sessions_were_seen_before,
    a_lost_answer_settles_once_the_sessions_are_seen_gone,
    a_lost_answer_stays_unknown_while_the_session_is_there,
    a_session_that_is_there_when_the_time_is_up_is_alive,
    a_dead_gateways_unknown_kill_is_settled_by_another,
}

on_one_engine! {
    a_session_that_dies_slowly_is_open_until_it_is_gone,
    a_session_whose_id_went_to_another_is_gone,
    a_list_that_was_cut_off_settles_nothing_that_it_does_not_show,
    where_no_task_tells_the_list_does,
}

/// A vendor's alias, its kill and its list, a place and a session of it.
struct Where {
    alias: &'static str,
    kill: Action,
    list: Action,
    place: Place,
    id: u64,
}

fn ledger() -> Where {
    let place = Place::gaussdb(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT);
    Where { alias: "ledger", kill: Action::GaussdbKill, list: Action::GaussdbSessions, place, id: 10_180 }
}

fn orders() -> Where {
    let place = Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE);
    Where { alias: "orders-ro", kill: Action::TaurusdbKill, list: Action::TaurusdbProcesses, place, id: 2_075_425 }
}

fn shard() -> Where {
    let place = Place::dcdb(world::DCDB_INSTANCE, world::DCDB_SHARD, world::DCDB_NODE);
    Where { alias: "orders-shard-1", kill: Action::DcdbKill, list: Action::DcdbProcesses, place, id: 1111 }
}

fn shop() -> Where {
    let place = Place::das(world::DAS_INSTANCE);
    Where { alias: "shop", kill: Action::DasKill, list: Action::DasProcesses, place, id: 11_212 }
}

impl Where {
    /// A kill of the session, pinned to whose it is.
    fn pinned(&self, clouds: &Clouds) -> Value {
        let session = clouds.sessions(&self.place).into_iter().find(|session| session.id == self.id).unwrap();
        let id = json!({ "id": self.id, "user": session.user, "host": session.host });
        json!({ "target": self.alias, "select": { "ids": [id] }, "reason": "INC-4711" })
    }

    fn plain(&self) -> Value {
        kill_of(self.alias, &[self.id])
    }
}

async fn impatient(engine: Engine) -> Gateway {
    Gateway::start_blind_with(engine, Setup { more: IMPATIENT.into(), ..Setup::default() }).await
}

/// What is said of a session that nobody can be sure to have ended.
const GONE: (&str, &str) =
    ("gone", "not there when it was looked for afterwards; whether this kill ended it cannot be told");

fn fate(kill: &Value) -> (&str, &str) {
    let session = &kill["sessions"][0];
    (session["outcome"].as_str().unwrap(), session["detail"].as_str().unwrap_or_default())
}

async fn an_accepted_kill_of_das_settles_where_its_sessions_were_seen_before(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let shop = shop();
    let answer = gateway.kill(&shop.pinned(&gateway.clouds)).await;
    assert_eq!((answer.status.as_u16(), fate(&answer.body).0), (202, "accepted"), "{}", answer.body);
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(fate(&kill), ("killed", "seen gone"), "{kill}");
    assert!(answer.body.get("verified_at").is_none() && kill["verified_at"].is_string(), "{kill}");
    assert_eq!(gateway.clouds.calls_for(shop.kill).len(), 1);
    let token = Gateway::token("auditor", "kills:export");
    let lines = gateway.client().get("/kills/export", &token).await.body.to_string();
    assert!(lines.matches(r#"kind\":\"looked"#).count() >= 2, "each look is an event: {lines}");
}

async fn a_lost_answer_settles_once_the_sessions_are_seen_gone(engine: Engine) {
    let gateway = impatient(engine).await;
    let gateway = &gateway;
    let settle = |at: Where| async move {
        gateway.clouds.misbehave_times(1, at.kill, Behaviour::Drop);
        let answer = gateway.kill(&at.plain()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
        let kill = recorded_as(gateway, answer.kill_id(), "succeeded").await;
        assert_eq!((fate(&kill), kill.get("problem")), (GONE, None), "{kill}");
        assert_eq!(kill["verified_at"], kill["completed_at"], "{kill}");
        let (kills, lists) = (gateway.clouds.calls_for(at.kill), gateway.clouds.calls_for(at.list));
        assert_eq!(kills.len(), 1, "{} is not sent again", at.alias);
        // The call's own time was over by then.
        assert!(lists[0].at - kills[0].at >= Duration::from_millis(1500), "{}", at.alias);
    };
    join_all([ledger(), orders(), shard()].map(settle)).await;
}

async fn a_lost_answer_stays_unknown_while_the_session_is_there(engine: Engine) {
    let gateway = impatient(engine).await;
    let gateway = &gateway;
    let settle = |at: Where| async move {
        gateway.clouds.misbehave_times(1, at.kill, Behaviour::DropBefore);
        let answer = gateway.kill(&at.plain()).await;
        assert_eq!(answer.status.as_u16(), 504, "{}", answer.body);
        gateway.clouds.arrived(at.list, 2).await;
        let kill = gateway.record(answer.kill_id()).await;
        assert_eq!((&kill["status"], fate(&kill).0), (&json!("unknown"), "unknown"), "{kill}");
        gateway.clouds.remove(&at.place, at.id);
        recorded_as(gateway, answer.kill_id(), "succeeded").await;
        assert_eq!(gateway.clouds.calls_for(at.kill).len(), 1, "{} is not sent again", at.alias);
    };
    join_all([ledger(), orders()].map(settle)).await;
}

async fn a_session_that_dies_slowly_is_open_until_it_is_gone(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let shop = shop();
    gateway.clouds.misbehave(shop.kill, Behaviour::Lie(Lie::SlowDeath(Duration::from_secs(2))));
    let answer = gateway.kill(&shop.pinned(&gateway.clouds)).await;
    recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert!(!gateway.clouds.alive(&shop.place).contains(&shop.id));
}

async fn a_session_whose_id_went_to_another_is_gone(engine: Engine) {
    let gateway = impatient(engine).await;
    let at = orders();
    gateway.clouds.misbehave_times(1, at.kill, Behaviour::DropBefore);
    // Right after the second list, the first one after the kill, all ids go to others.
    gateway.clouds.misbehave_times(1, at.list, Behaviour::Slow(Duration::ZERO));
    gateway.clouds.misbehave_times(1, at.list, Behaviour::Lie(Lie::RecycleIds));
    let answer = gateway.kill(&at.pinned(&gateway.clouds)).await;
    assert_eq!(answer.status.as_u16(), 504, "{}", answer.body);
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(fate(&kill), GONE, "the call may never have arrived: {kill}");
    assert!(gateway.clouds.alive(&at.place).contains(&at.id), "the newcomer is left alone");
}

async fn a_list_that_was_cut_off_settles_nothing_that_it_does_not_show(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let shop = shop();
    let body = shop.pinned(&gateway.clouds);
    gateway.clouds.misbehave_times(1, shop.list, Behaviour::Slow(Duration::ZERO));
    gateway.clouds.misbehave(shop.list, Behaviour::Lie(Lie::CutLists(0)));
    let answer = gateway.kill(&body).await;
    gateway.clouds.arrived(shop.list, 4).await;
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&kill["status"], fate(&kill).0), (&json!("accepted"), "accepted"), "{kill}");
    gateway.clouds.behave();
    recorded_as(&gateway, answer.kill_id(), "succeeded").await;
}

async fn a_session_that_is_there_when_the_time_is_up_is_alive(engine: Engine) {
    let clock = Clock::manual(Clock::system().now());
    let clouds = Clouds::demo_at(clock.clone());
    let setup = Setup { clouds: Some(clouds), clock: Some(clock.clone()), ..Setup::default() };
    let gateway = Gateway::start_blind_with(engine, setup).await;
    let shop = shop();
    gateway.clouds.misbehave(shop.kill, Behaviour::Lie(Lie::SaysKilledButAlive));
    let answer = gateway.kill(&shop.pinned(&gateway.clouds)).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    gateway.clouds.arrived(shop.list, 2).await;
    clock.set(clock.now() + Duration::from_mins(15));
    let kill = recorded_as(&gateway, answer.kill_id(), "failed").await;
    assert_eq!(fate(&kill), ("alive", "still there when it was last looked for"), "{kill}");
}

async fn a_dead_gateways_unknown_kill_is_settled_by_another(engine: Engine) {
    let clock = Clock::manual(Clock::system().now());
    let living = Gateway::start_blind_with(engine, Setup { clock: Some(clock.clone()), ..Setup::default() }).await;
    let doomed = Served::start(&record_at(&url_of(&living)), &living.sandbox.url, BLIND).await;
    let places = [ledger(), orders(), shard()];
    for at in &places {
        living.clouds.misbehave_times(1, at.kill, Behaviour::Hang);
        doomed.kill_and_forget(&at.plain());
        living.clouds.arrived(at.kill, 1).await;
    }
    doomed.die().await;
    let rows = records(&living).await;
    assert_eq!(rows.len(), places.len());
    // The time of their calls is over, and then the time of a call that may still be under way.
    clock.set(Clock::system().now() + Duration::from_mins(4));
    for row in &rows {
        recorded_as(&living, row["id"].as_str().unwrap(), "unknown").await;
    }
    for row in &rows {
        let seen_gone = async || {
            clock.set(clock.now() + Duration::from_millis(500));
            Some(living.record(row["id"].as_str().unwrap()).await).filter(|kill| kill["status"] == "succeeded")
        };
        let kill = eventually("it is seen gone", seen_gone).await;
        assert_eq!(fate(&kill), GONE, "{kill}");
    }
    for at in &places {
        assert_eq!(living.clouds.calls_for(at.kill).len(), 1, "{} is not sent again", at.alias);
    }
}

async fn where_no_task_tells_the_list_does(engine: Engine) {
    for (gateway, told) in
        [(Gateway::start(engine).await, ("killed", "seen gone")), (Gateway::start_blind(engine).await, GONE)]
    {
        gateway.clouds.misbehave(Action::DcdbFlow, Behaviour::Lie(Lie::FlowForgotten));
        let answer = gateway.kill(&kill_of("orders-shard-1", &[1113])).await;
        let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
        assert_eq!(fate(&kill), told, "whoever was not seen before was not surely ended: {kill}");
    }
}

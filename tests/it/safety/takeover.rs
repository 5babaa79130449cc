//! Rule 6: a gateway that dies leaves nothing open; whoever lives settles it.

use std::time::Duration;

use killgate::{
    app::audit_settings,
    audit::{Attempt, Audit},
    clock::{Clock, id_at},
    domain::{Kill, Outcome, Session, SessionId, Status, Upstream},
    sandbox::{Action, Behaviour, Clouds, Lie},
};
use serde_json::{Value, json};
use sqlx::Connection as _;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{let_nobody_look, on_both_engines, process::Served, recorded_as, records, url_of};
use crate::support::{
    configuration::{BLIND, record_at},
    gateway::{Engine, Gateway, Setup, kill_of},
    patience::eventually,
    postgres::gate,
};

/// The longest time that one call of a kill may take here, its turn included.
const LONGEST: Duration = Duration::from_millis(120_500);

on_both_engines! {
    a_kill_whose_gateway_died_is_settled_as_unknown,
    a_kill_whose_gateway_died_before_it_sent_anything_has_failed,
    a_crowd_of_kills_whose_gateway_died_is_settled_in_time,
    an_accepted_kill_of_a_dead_gateway_is_settled_by_another,
    looks_that_hang_keep_nobody_from_settling_the_rest,
    a_kill_of_a_dead_gateway_is_watched_on_by_another,
}

fn time_of(kill: &Value, field: &str) -> OffsetDateTime {
    OffsetDateTime::parse(kill[field].as_str().unwrap_or_else(|| panic!("{kill}")), &Rfc3339).unwrap()
}

/// A gateway that lives, and a process on the same record and the same clouds that will not.
async fn the_living_and_the_doomed(engine: Engine, setup: Setup) -> (Gateway, Served) {
    let more = format!("{BLIND}{}", setup.more);
    let living = Gateway::start_blind_with(engine, setup).await;
    let doomed = Served::start(&record_at(&url_of(&living)), &living.sandbox.url, &more).await;
    (living, doomed)
}

async fn a_kill_whose_gateway_died_is_settled_as_unknown(engine: Engine) {
    let clock = Clock::manual(Clock::system().now());
    let setup = Setup { clock: Some(clock.clone()), ..Setup::default() };
    let (living, doomed) = the_living_and_the_doomed(engine, setup).await;
    let_nobody_look(&living.clouds);
    let kills = super::operations();
    for operation in &kills {
        living.clouds.misbehave_times(1, operation.action, Behaviour::Hang);
        doomed.kill_and_forget(&operation.body);
    }
    for operation in &kills {
        living.clouds.arrived(operation.action, 1).await;
    }
    let rows = records(&living).await;
    assert_eq!(rows.len(), kills.len());
    assert!(rows.iter().all(|row| row["status"] == "pending"), "{rows:?}");
    doomed.die().await;

    let latest = rows.iter().map(|row| time_of(row, "requested_at")).max().unwrap();
    // What was looked at may be looked at again before it is sent.
    clock.set(latest + LONGEST * 2);
    for row in rows {
        let kill = recorded_as(&living, row["id"].as_str().unwrap(), "unknown").await;
        assert!(kill["sessions"].as_array().unwrap().iter().all(|session| session["outcome"] == "unknown"), "{kill}");
        assert_eq!(kill["problem"]["code"], "outcome_unknown", "{kill}");
        let took = time_of(&kill, "completed_at") - time_of(&kill, "requested_at");
        assert!(took >= LONGEST, "settled after {took}");
    }
    for operation in &kills {
        assert_eq!(living.clouds.calls_for(operation.action).len(), 1, "{:?} is not sent again", operation.action);
    }
}

/// A row as a gateway leaves it that dies right after the commit.
fn abandoned(now: OffsetDateTime, deadline: OffsetDateTime) -> Attempt {
    let kill = Kill {
        id: id_at(now),
        status: Status::Pending,
        target: Some(json!({
            "alias": "ledger", "vendor": "gaussdb", "account": "huawei-test",
            "instance_id": killgate::sandbox::demo::GAUSSDB_INSTANCE,
            "node_id": killgate::sandbox::demo::GAUSSDB_NODE,
            "component_id": killgate::sandbox::demo::GAUSSDB_COMPONENT,
        })),
        select: Some(json!({ "ids": ["10180"] })),
        sessions: vec![Session::new(&SessionId("10180".into()), Outcome::Unknown)],
        caller: "chatops-bot".into(),
        on_behalf_of: None,
        actor: None,
        reason: Some("INC-4711".into()),
        upstream: Upstream::default(),
        problem: None,
        unlisted: vec![],
        found: [].into(),
        matched: None,
        sessions_known: None,
        note: None,
        end: None,
        blind: None,
        look: None,
        confirms: None,
        requested_at: now,
        completed_at: None,
        verified_at: None,
        returned: None,
    };
    Attempt {
        kill,
        request: None,
        client_address: None,
        client_id: None,
        token_id: None,
        request_id: None,
        dry_run: false,
        key: None,
        gateway: "a gateway that died".into(),
        deadline,
        webhooks: vec![],
        is_marked: false,
    }
}

/// A gateway and its clock, which stands.
async fn on_a_clock(engine: Engine) -> (Gateway, Clock) {
    let clock = Clock::manual(Clock::system().now());
    (Gateway::start_blind_with(engine, Setup { clock: Some(clock.clone()), ..Setup::default() }).await, clock)
}

/// Leaves so many such rows, all due at the same time; answers when that is, and their ids.
async fn abandon(gateway: &Gateway, clock: &Clock, count: usize) -> (OffsetDateTime, Vec<String>) {
    let deadline = clock.now() + LONGEST;
    let audit = Audit::open(&audit_settings(&gateway.config)).await.unwrap();
    let mut ids = vec![];
    for _ in 0..count {
        let attempt = abandoned(clock.now(), deadline);
        audit.begin(&attempt, Duration::from_hours(1)).await.unwrap();
        ids.push(attempt.kill.id.to_string());
    }
    audit.close().await;
    (deadline, ids)
}

/// Asserts that these kills fail at the deadline and not before it.
async fn all_fail_in_time(gateway: &Gateway, clock: &Clock, deadline: OffsetDateTime, ids: &[String]) {
    clock.set(deadline - Duration::from_millis(1));
    let audit = gateway.app.kills().audit();
    assert!(audit.claim("nobody", clock.now(), Duration::ZERO, 1000).await.unwrap().is_empty(), "none is due yet");
    clock.set(deadline);
    for id in ids {
        let kill = recorded_as(gateway, id, "failed").await;
        assert_eq!(kill["sessions"], json!([{ "id": "10180", "outcome": "failed" }]), "{kill}");
        // The record keeps whole milliseconds.
        assert!(time_of(&kill, "completed_at") > deadline - Duration::from_millis(1), "{kill}");
    }
}

async fn a_kill_whose_gateway_died_before_it_sent_anything_has_failed(engine: Engine) {
    let (gateway, clock) = on_a_clock(engine).await;
    let (deadline, ids) = abandon(&gateway, &clock, 1).await;
    all_fail_in_time(&gateway, &clock, deadline, &ids).await;
    assert_eq!(gateway.clouds.calls().len(), 0, "whoever settles it sends nothing");
}

async fn a_crowd_of_kills_whose_gateway_died_is_settled_in_time(engine: Engine) {
    let (gateway, clock) = on_a_clock(engine).await;
    let (deadline, ids) = abandon(&gateway, &clock, 250).await;
    all_fail_in_time(&gateway, &clock, deadline, &ids).await;
}

async fn an_accepted_kill_of_a_dead_gateway_is_settled_by_another(engine: Engine) {
    let clouds = Clouds::demo();
    clouds.set_flow_time(Duration::from_secs(2));
    let setup = Setup { clouds: Some(clouds), ..Setup::default() };
    let (living, doomed) = the_living_and_the_doomed(engine, setup).await;
    let answer = doomed.kill(&kill_of("orders-shard-1", &[1111, 1112])).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    doomed.die().await;

    let kill = recorded_as(&living, answer.kill_id(), "succeeded").await;
    assert!(super::all_sessions_are(&kill, "killed", 2), "{kill}");
    assert_eq!(living.clouds.calls_for(Action::DcdbKill).len(), 1);
}

async fn looks_that_hang_keep_nobody_from_settling_the_rest(engine: Engine) {
    let (gateway, clock) = on_a_clock(engine).await;
    gateway.clouds.misbehave(Action::DcdbFlow, Behaviour::Hang);
    let accepted = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(accepted.status.as_u16(), 202, "{}", accepted.body);
    clock.set(clock.now() + Duration::from_secs(10));
    gateway.clouds.arrived(Action::DcdbFlow, 1).await;

    let (deadline, ids) = abandon(&gateway, &clock, 1).await;
    clock.set(deadline);
    for id in &ids {
        recorded_as(&gateway, id, "failed").await;
    }
}

async fn a_kill_of_a_dead_gateway_is_watched_on_by_another(engine: Engine) {
    let setup = Setup { more: "[returned]\nwatch_s = 4\n".to_owned(), ..Setup::default() };
    let (living, doomed) = the_living_and_the_doomed(engine, setup).await;
    living.clouds.misbehave(Action::TaurusdbKill, Behaviour::Lie(Lie::Reconnects));
    let select = json!({ "ids": [{ "id": 2_075_426, "user": "app" }] });
    let answer = doomed.kill(&json!({ "target": "orders-ro", "select": select, "reason": "INC-4711" })).await;
    assert_eq!((&answer.body["status"], answer.body.get("returned")), (&json!("succeeded"), None), "{}", answer.body);
    doomed.die().await;
    let came = async || living.record(answer.kill_id()).await["returned"].as_u64();
    assert_eq!(eventually("it is told who came back", came).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_overtaken_sends_nothing_and_answers_what_is_recorded() {
    let more = "[vendors.taurusdb]\nmax_wait_ms = 100\ntimeout_ms = 100\n".to_owned();
    let gateway = Gateway::start_blind_with(Engine::Postgres, Setup { more, ..Setup::default() }).await;
    let gate = gate(&gateway.database_url()).await;
    let body = kill_of("orders-ro", &[2_075_425]);
    let overtaking = async {
        let settled = async || records(&gateway).await.pop().filter(|kill| kill["status"] == "failed");
        let settled = eventually("the kill is settled by another", settled).await;
        gate.close().await.unwrap();
        settled
    };
    // One with a key is marked by an entry of its own.
    let kill = gateway.kill_with(&[("Idempotency-Key", "overtaken")], &body);
    let (answer, settled) = tokio::join!(kill, overtaking);
    assert_eq!(settled["problem"]["code"], "audit_unavailable", "{settled}");
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (503, &settled["problem"]["code"]), "{}", answer.body);
    assert_eq!(answer.body["detail"], settled["problem"]["detail"]);
    assert!(gateway.clouds.calls().is_empty());
}

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
use sqlx::{Connection as _, PgConnection};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{IMPATIENT, let_nobody_look, on_both_engines, process::Served, recorded_as, records, url_of};
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of},
    patience::eventually,
};

/// How much later than the longest time it could have taken a kill is settled.
const LATE: Duration = Duration::from_secs(5);

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
async fn the_living_and_the_doomed(engine: Engine, more: &str) -> (Gateway, Served) {
    let living = Gateway::start_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    let doomed = Served::start(&format!("database_url = \"{}\"", url_of(&living)), &living.sandbox.url, more).await;
    (living, doomed)
}

async fn a_kill_whose_gateway_died_is_settled_as_unknown(engine: Engine) {
    let more = ["gaussdb", "das", "taurusdb", "dcdb"]
        .map(|vendor| format!("[vendors.{vendor}]\nmax_wait_ms = 2000\ntimeout_ms = 2000\n"))
        .concat();
    let longest = Duration::from_secs(4);
    let (living, doomed) = the_living_and_the_doomed(engine, &more).await;
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

    for row in rows {
        let kill = recorded_as(&living, row["id"].as_str().unwrap(), "unknown").await;
        assert!(kill["sessions"].as_array().unwrap().iter().all(|session| session["outcome"] == "unknown"), "{kill}");
        assert_eq!(kill["problem"]["code"], "outcome_unknown", "{kill}");
        let took = time_of(&kill, "completed_at") - time_of(&kill, "requested_at");
        assert!(took >= longest && took <= longest + LATE, "settled after {took}");
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
        reason: Some("INC-4711".into()),
        upstream: Upstream::default(),
        problem: None,
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
    }
}

/// Leaves so many such rows, all due after `longest`; answers when that is, and their ids.
async fn abandon(gateway: &Gateway, count: usize, longest: Duration) -> (OffsetDateTime, Vec<String>) {
    let deadline = Clock::system().now() + longest;
    let audit = Audit::open(&audit_settings(&gateway.config)).await.unwrap();
    let mut ids = vec![];
    for _ in 0..count {
        let attempt = abandoned(Clock::system().now(), deadline);
        audit.begin(&attempt, Duration::from_hours(1)).await.unwrap();
        ids.push(attempt.kill.id.to_string());
    }
    audit.close().await;
    (deadline, ids)
}

/// Asserts that these kills fail, soon after the deadline and not before it.
async fn all_fail_in_time(gateway: &Gateway, deadline: OffsetDateTime, ids: &[String]) {
    for id in ids {
        let kill = recorded_as(gateway, id, "failed").await;
        assert_eq!(kill["sessions"], json!([{ "id": "10180", "outcome": "failed" }]), "{kill}");
        // The record keeps whole milliseconds.
        let late = time_of(&kill, "completed_at") - deadline + Duration::from_millis(1);
        assert!(late.is_positive() && late <= LATE, "settled {late} after the deadline");
    }
}

async fn a_kill_whose_gateway_died_before_it_sent_anything_has_failed(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let (deadline, ids) = abandon(&gateway, 1, Duration::from_millis(800)).await;
    all_fail_in_time(&gateway, deadline, &ids).await;
    assert_eq!(gateway.clouds.calls().len(), 0, "whoever settles it sends nothing");
}

async fn a_crowd_of_kills_whose_gateway_died_is_settled_in_time(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let (deadline, ids) = abandon(&gateway, 250, Duration::from_secs(4)).await;
    all_fail_in_time(&gateway, deadline, &ids).await;
}

async fn an_accepted_kill_of_a_dead_gateway_is_settled_by_another(engine: Engine) {
    let clouds = Clouds::demo();
    clouds.set_flow_time(Duration::from_secs(2));
    let setup = Setup { clouds: Some(clouds), more: IMPATIENT.into(), ..Setup::default() };
    let living = Gateway::start_with(engine, setup).await;
    let doomed =
        Served::start(&format!("database_url = \"{}\"", url_of(&living)), &living.sandbox.url, IMPATIENT).await;
    let answer = doomed.kill(&kill_of("orders-shard-1", &[1111, 1112])).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    doomed.die().await;

    let kill = recorded_as(&living, answer.kill_id(), "succeeded").await;
    assert!(super::all_sessions_are(&kill, "killed", 2), "{kill}");
    assert_eq!(living.clouds.calls_for(Action::DcdbKill).len(), 1);
}

async fn looks_that_hang_keep_nobody_from_settling_the_rest(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave(Action::DcdbFlow, Behaviour::Hang);
    let accepted = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(accepted.status.as_u16(), 202, "{}", accepted.body);
    gateway.clouds.arrived(Action::DcdbFlow, 1).await;

    let (deadline, ids) = abandon(&gateway, 1, Duration::from_millis(500)).await;
    all_fail_in_time(&gateway, deadline, &ids).await;
}

async fn a_kill_of_a_dead_gateway_is_watched_on_by_another(engine: Engine) {
    let (living, doomed) = the_living_and_the_doomed(engine, "[returned]\nwatch_s = 4").await;
    living.clouds.misbehave(Action::TaurusdbKill, Behaviour::Lie(Lie::Reconnects));
    let select = json!({ "ids": [{ "id": 2_075_426, "user": "app" }] });
    let answer = doomed.kill(&json!({ "target": "orders-ro", "select": select, "reason": "INC-4711" })).await;
    assert_eq!((&answer.body["status"], answer.body.get("returned")), (&json!("succeeded"), None), "{}", answer.body);
    doomed.die().await;
    let came = async || living.record(answer.kill_id()).await["returned"].as_u64();
    assert_eq!(eventually("it is told who came back", came).await, 1);
}

/// Lets no gateway mark a kill as sent while somebody holds the lock.
const GATE: &str = "
    ALTER FUNCTION mark_kills_sent RENAME TO mark_behind_the_gate;
    CREATE FUNCTION mark_kills_sent(ids uuid[], gateways text[], times timestamptz[]) RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(1);
        RETURN QUERY SELECT mark_behind_the_gate(ids, gateways, times);
    END $$;
    SELECT pg_advisory_lock(1)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_overtaken_sends_nothing_and_answers_what_is_recorded() {
    let more = "[vendors.taurusdb]\nmax_wait_ms = 100\ntimeout_ms = 100\n".to_owned();
    let gateway = Gateway::start_with(Engine::Postgres, Setup { more, ..Setup::default() }).await;
    let mut gate = PgConnection::connect(&gateway.database_url()).await.unwrap();
    sqlx::raw_sql(GATE).execute(&mut gate).await.unwrap();
    let body = kill_of("orders-ro", &[2_075_425]);
    let overtaking = async {
        let settled = async || records(&gateway).await.pop().filter(|kill| kill["status"] == "failed");
        let settled = eventually("the kill is settled by another", settled).await;
        gate.close().await.unwrap();
        settled
    };
    let (answer, settled) = tokio::join!(gateway.kill(&body), overtaking);
    assert_eq!(settled["problem"]["code"], "audit_unavailable", "{settled}");
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (503, &settled["problem"]["code"]), "{}", answer.body);
    assert_eq!(answer.body["detail"], settled["problem"]["detail"]);
    assert!(gateway.clouds.calls().is_empty());
}

//! Kills that need several calls: what is said of the whole follows from its parts, and no part goes on an old look.

use std::time::Duration;

use actix_web::http::StatusCode;
use killgate::{
    clock::Clock,
    sandbox::{Action, Behaviour, Canned, Lie},
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use super::{recorded_as, url_of};
use crate::{
    support::{
        gateway::{Engine, Gateway, Setup, kill_of},
        patience::{eventually, in_time},
    },
    victims::place,
};

/// One id goes in a call, and a call that is refused for its rate is soon given up.
const ONE_BY_ONE: &str = "
    [vendors.gaussdb]
    max_ids_per_call = 1
    max_wait_ms = 100
    [vendors.dcdb]
    max_ids_per_call = 1
    [vendors.taurusdb]
    max_ids_per_call = 1
";
const SLOW: Duration = Duration::from_millis(300);

async fn one_by_one(more: &str) -> Gateway {
    Gateway::start_blind_with(Engine::Sqlite, Setup { more: format!("{ONE_BY_ONE}{more}"), ..Setup::default() }).await
}

/// The first two sessions of a user at TaurusDB, pinned to whose they are.
fn pinned(gateway: &Gateway) -> (Vec<u64>, Value) {
    let sessions = gateway.clouds.sessions(&place("orders-ro"));
    let two: Vec<_> = sessions.iter().filter(|session| session.user == "app").take(2).collect();
    let ids: Vec<_> = two.iter().map(|s| json!({ "id": s.id, "user": s.user, "host": s.host })).collect();
    let body = json!({ "target": "orders-ro", "select": { "ids": ids }, "reason": "INC-4711" });
    (two.iter().map(|session| session.id).collect(), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_of_which_a_part_was_sent_is_no_rate_limit_and_keeps_its_key() {
    let gateway = one_by_one("").await;
    gateway.clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Lie(Lie::LeavesOut));
    gateway.clouds.misbehave_times(99, Action::GaussdbKill, Behaviour::Throttle);
    let (body, key) = (kill_of("ledger", &[10_180, 10_185, 10_190]), [("Idempotency-Key", "k")]);
    let answer = gateway.kill_with(&key, &body).await;
    // The first may be dead, so this is not "nothing was killed, come again".
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("failed")), "{}", answer.body);
    assert_eq!((answer.header("retry-after"), answer.body.get("problem")), (None, None));
    let details: Vec<_> = answer.body["sessions"].as_array().unwrap().iter().map(|s| s["detail"].clone()).collect();
    assert_eq!(details, ["not reported as killed", "refused: upstream_throttled", "not sent"]);
    let sent = gateway.clouds.calls_for(Action::GaussdbKill).len();
    let again = gateway.kill_with(&key, &body).await;
    assert_eq!((again.kill_id(), again.header("idempotency-replayed")), (answer.kill_id(), Some("true")));
    assert_eq!(gateway.clouds.calls_for(Action::GaussdbKill).len(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_of_which_no_part_was_taken_may_come_again_with_its_key() {
    let gateway = one_by_one("").await;
    gateway.clouds.misbehave(Action::GaussdbKill, Behaviour::Throttle);
    let (body, key) = (kill_of("ledger", &[10_180, 10_185]), [("Idempotency-Key", "k")]);
    let answer = gateway.kill_with(&key, &body).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (429, "upstream_throttled"), "{}", answer.body);
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!(kill["status"], "rate_limited", "{kill}");
    gateway.clouds.behave();
    let again = eventually("the vendor is asked again", async || {
        Some(gateway.kill_with(&key, &body).await).filter(|again| again.status == StatusCode::OK)
    });
    assert_ne!(again.await.kill_id(), answer.kill_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_part_makes_the_problem_one_of_that_part() {
    let gateway = one_by_one("").await;
    super::let_nobody_look(&gateway.clouds);
    gateway.clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Slow(Duration::ZERO));
    gateway.clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Drop);
    let answer = gateway.kill(&kill_of("ledger", &[10_180, 10_185, 10_190])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("some of the sessions"), "{}", answer.body);
    let kill = gateway.record(answer.kill_id()).await;
    let outcomes: Vec<_> = kill["sessions"].as_array().unwrap().iter().map(|s| s["outcome"].clone()).collect();
    assert_eq!(outcomes, ["killed", "unknown", "failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_whose_look_is_too_old_is_looked_at_again() {
    let gateway = one_by_one("look_max_age_ms = 200").await;
    let (ids, body) = pinned(&gateway);
    gateway.clouds.misbehave_times(1, Action::TaurusdbProcesses, Behaviour::Lie(Lie::RecycleIds));
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Slow(SLOW));
    let answer = gateway.kill(&body).await;
    let last = &answer.body["sessions"][1];
    assert_eq!((&last["id"], &last["outcome"]), (&json!(ids[1].to_string()), &json!("changed")), "{}", answer.body);
    let calls = gateway.clouds.calls_for(Action::TaurusdbKill);
    let is_sent =
        |call: &killgate::sandbox::Received| String::from_utf8_lossy(&call.body).contains(&ids[1].to_string());
    assert!(!calls.iter().any(is_sent), "its id is another session's by now");
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&kill["sessions"], &kill["look"]), (&answer.body["sessions"], &answer.body["look"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_from_look_to_kill_is_that_of_the_last_call() {
    let gateway = one_by_one("look_max_age_ms = 60000").await;
    let (_, body) = pinned(&gateway);
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Slow(SLOW));
    let answer = gateway.kill(&body).await;
    assert_eq!(answer.body["status"], "succeeded", "{}", answer.body);
    let took = answer.body["look"]["to_kill_ms"].as_u64().unwrap();
    assert!(u128::from(took) >= SLOW.as_millis(), "{took} ms");
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!(kill["look"], answer.body["look"]);
    let token = Gateway::token("auditor", "kills:read");
    let stream = gateway.client().get(&format!("/kills/{}/events", answer.kill_id()), &token).await.body;
    let stream = stream.as_str().unwrap();
    assert!(stream.contains("\"calls\":[{\"at\":"), "{stream}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_task_of_a_kill_of_several_calls_is_asked_for() {
    let gateway = one_by_one("").await;
    super::let_nobody_look(&gateway.clouds);
    let answer = gateway.kill(&kill_of("orders-shard-1", &[1111, 1112])).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert!(super::all_sessions_are(&kill, "killed", 2), "{kill}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_that_another_gateway_has_settled_meanwhile_is_not_sent_again() {
    let clock = Clock::manual(Clock::system().now());
    let more = "[vendors.dcdb]\nmax_wait_ms = 60000\n".to_owned();
    let setup = Setup { more, clock: Some(clock.clone()), ..Setup::default() };
    let gateway = Gateway::start_blind_with(Engine::Sqlite, setup).await;
    super::let_nobody_look(&gateway.clouds);
    let throttled = r#"{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":""},"RequestId":"r"}}"#;
    let mut wait = Canned::json(200, throttled);
    wait.headers.insert("Retry-After".to_owned(), "4".to_owned());
    gateway.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::Status(wait));
    let body = kill_of("orders-shard-1", &[1111]);
    let suspended = async {
        gateway.clouds.arrived(Action::DcdbKill, 1).await;
        // As if this gateway had slept for ten minutes, and somebody else had not.
        clock.set(clock.now() + Duration::from_mins(10));
    };
    let (answer, ()) = tokio::join!(gateway.kill(&body), suspended);
    // Its one call was throttled, so it knows better than whoever called the kill unknown.
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "overloaded"), "{}", answer.body);
    assert_eq!(gateway.record(answer.kill_id()).await["status"], "failed");
    assert_eq!(gateway.clouds.calls_for(Action::DcdbKill).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_the_database_refuses_for_good_is_given_up() {
    let gateway = one_by_one("").await;
    let path = url_of(&gateway).trim_start_matches("sqlite:").to_owned();
    let mut raw = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let refuse = "CREATE TRIGGER no_outcome BEFORE INSERT ON kill_log WHEN NEW.kind = 'answered' \
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::raw_sql(refuse).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "killed", "the caller is told all the same: {}", answer.body);
    in_time(gateway.app.kills().idle()).await;
    let Value::String(metrics) = gateway.client().get("/metrics", "").await.body else { panic!("metrics are text") };
    assert!(metrics.contains("killgate_outcomes_lost_total 1"), "{metrics}");
}

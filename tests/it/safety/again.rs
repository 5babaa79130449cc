//! What waited longer than its look is good for is looked at again: what that finds is what is sent, counted and said.

use std::time::Duration;

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Canned, Clouds, Session};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    support::gateway::{Answer, Engine, Gateway, Setup},
    victims::place,
};

/// A look is soon too old.
const IMPATIENT: &str = "look_max_age_ms = 100\n";

async fn gateway(more: &str) -> Gateway {
    Gateway::start_blind_with(Engine::Sqlite, Setup { more: more.to_owned(), ..Setup::default() }).await
}

/// The first kill that comes is to wait for a second, which is more than its look is good for.
fn let_the_kill_wait(clouds: &Clouds, kill: Action) {
    let mut wait = Canned::json(400, r#"{"error_code":"DAS.200002","error_msg":"throttled"}"#);
    wait.headers.insert("Retry-After".to_owned(), "1".to_owned());
    clouds.misbehave_times(1, kill, Behaviour::Status(wait));
}

/// Asks for a kill of what is in a database at DAS, and lets something happen once the kill has to wait.
async fn kill_in(gateway: &Gateway, database: &str, happens: impl FnOnce()) -> Answer {
    let_the_kill_wait(&gateway.clouds, Action::DasKill);
    let body = json!({ "target": "shop", "select": { "match": { "database": database } }, "reason": "INC-4711" });
    let meanwhile = async {
        gateway.clouds.arrived(Action::DasKill, 1).await;
        happens();
    };
    tokio::join!(gateway.kill(&body), meanwhile).0
}

fn put(gateway: &Gateway, id: u64, user: &str, database: &str) {
    gateway.clouds.put(&place("shop"), &Session { database: database.into(), ..Session::new(id, user) });
}

/// What DAS was asked to end, but for the call that it refused.
fn sent(gateway: &Gateway) -> Vec<Value> {
    let calls = gateway.clouds.calls_for(Action::DasKill);
    calls.iter().skip(1).map(|call| serde_json::from_slice(&call.body).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vendor_cannot_be_asked_for_in_its_own_way_any_more_goes_in_as_many_calls_as_it_needs() {
    let gateway = gateway(&format!("[vendors.das]\nmax_ids_per_call = 2\n{IMPATIENT}")).await;
    (1..=5).for_each(|id| put(&gateway, id, "app", "scratch"));
    let answer = kill_in(&gateway, "scratch", || put(&gateway, 6, "rdsAdmin", "scratch")).await;
    let ids: Vec<_> = sent(&gateway).iter().map(|body| body["process_ids"].clone()).collect();
    assert_eq!(ids, [json!(["1", "2"]), json!(["3", "4"]), json!(["5"])], "{}", answer.body);
    let outcomes: Vec<_> = answer.body["sessions"].as_array().unwrap().iter().map(|s| s["outcome"].clone()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "accepted").count(), 5, "{}", answer.body);
    assert!(outcomes.contains(&json!("protected")), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_were_counted_at_first_are_counted_too() {
    let gateway = gateway(&format!("[callers]\nsessions_per_target_minute = 4\n[vendors.das]\n{IMPATIENT}")).await;
    (1..=2).for_each(|id| put(&gateway, id, "app", "scratch"));
    let more = || (3..=5).for_each(|id| put(&gateway, id, "app", "scratch"));
    let answer = kill_in(&gateway, "scratch", more).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"), "{}", answer.body);
    assert_eq!(sent(&gateway), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_as_were_counted_at_first_are_counted_once() {
    let gateway = gateway(&format!("[callers]\nsessions_per_target_minute = 4\n[vendors.das]\n{IMPATIENT}")).await;
    (1..=2).for_each(|id| put(&gateway, id, "app", "scratch"));
    let more = || (3..=4).for_each(|id| put(&gateway, id, "app", "scratch"));
    let answer = kill_in(&gateway, "scratch", more).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(sent(&gateway)[0]["database"], "scratch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_second_list_was_cut_off_and_shows_nothing_nothing_is_called_done() {
    let gateway = gateway(&format!("[vendors.das]\n{IMPATIENT}")).await;
    put(&gateway, 1, "app", "scratch");
    let cut = r#"{"processes":[],"count":7}"#;
    let cut_off = || {
        let cut = Canned::json(200, cut);
        gateway.clouds.misbehave(Action::DasProcesses, Behaviour::Status(cut));
    };
    let answer = kill_in(&gateway, "scratch", cut_off).await;
    assert_eq!((&answer.body["status"], sent(&gateway).len()), (&json!("failed"), 0), "{}", answer.body);
    assert_eq!(answer.body["look"]["complete"], false, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_second_list_the_problem_names_the_look() {
    let gateway = gateway(&format!("[vendors.das]\n{IMPATIENT}[confirm]\nabove = 1000\n")).await;
    put(&gateway, 1, "app", "scratch");
    let pinned = json!({ "ids": [{ "id": "1", "user": "app" }] });
    let_the_kill_wait(&gateway.clouds, Action::DasKill);
    let body = json!({ "target": "shop", "select": pinned, "reason": "INC-4711" });
    let meanwhile = async {
        gateway.clouds.arrived(Action::DasKill, 1).await;
        gateway.clouds.misbehave(Action::DasProcesses, Behaviour::Deny);
    };
    let (answer, ()) = tokio::join!(gateway.kill(&body), meanwhile);
    assert_eq!((answer.code(), &answer.body["field"]), ("upstream_denied", &json!("look")), "{}", answer.body);
    assert_eq!(sent(&gateway), [] as [Value; 0]);
}

/// A kill by match of two sessions at TaurusDB, one in a call. Once the first has gone, something happens to the second.
async fn kill_two(happens: impl FnOnce(&Clouds, u64)) -> Answer {
    let more = format!("[vendors.taurusdb]\nmax_ids_per_call = 1\n{IMPATIENT}");
    let gateway = gateway(&more).await;
    let orders = place("orders-ro");
    for id in [70, 71] {
        gateway.clouds.put(&orders, &Session::new(id, "batch"));
    }
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hold);
    let select = json!({ "match": { "user": "batch", "command": "Query" } });
    let body = json!({ "target": "orders-ro", "select": select, "reason": "INC-4711" });
    let meanwhile = async {
        gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
        let second = if gateway.clouds.alive(&orders).contains(&70) { 70 } else { 71 };
        happens(&gateway.clouds, second);
        // The look is too old by then.
        sleep(Duration::from_millis(200)).await;
        gateway.clouds.behave();
    };
    let (answer, ()) = tokio::join!(gateway.kill(&body), meanwhile);
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 1, "{}", answer.body);
    answer
}

fn second(answer: &Answer) -> &Value {
    let sessions = answer.body["sessions"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    sessions.iter().find(|session| session["outcome"] != "killed").unwrap_or_else(|| panic!("{}", answer.body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_by_itself_before_its_turn_is_not_found() {
    let answer = kill_two(|clouds, id| clouds.remove(&place("orders-ro"), id)).await;
    assert_eq!((&second(&answer)["outcome"], &answer.body["status"]), (&json!("not_found"), &json!("succeeded")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_there_and_meets_the_criteria_no_more_is_told_so() {
    let answer = kill_two(|clouds, id| {
        let orders = place("orders-ro");
        let session = clouds.sessions(&orders).into_iter().find(|session| session.id == id).unwrap();
        clouds.put(&orders, &Session { command: "Sleep".into(), ..session });
    })
    .await;
    let second = second(&answer);
    assert_eq!((&second["outcome"], &answer.body["status"]), (&json!("changed"), &json!("partial")), "{}", answer.body);
    assert!(second["detail"].as_str().unwrap().contains("does not meet"), "{second}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_that_a_second_look_takes_is_not_taken_from_the_wait_for_a_turn() {
    let more = "[vendors.taurusdb]\nmax_ids_per_call = 1\nmax_wait_ms = 2000\nlook_max_age_ms = 100\n";
    let gateway = gateway(more).await;
    for id in [70, 71] {
        gateway.clouds.put(&place("orders-ro"), &Session::new(id, "batch"));
    }
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Slow(Duration::from_millis(300)));
    let body = json!({ "target": "orders-ro", "select": { "match": { "user": "batch" } }, "reason": "INC-4711" });
    let meanwhile = async {
        gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
        let slow = Behaviour::Slow(Duration::from_secs(3));
        gateway.clouds.misbehave_times(1, Action::TaurusdbProcesses, slow);
    };
    let (answer, ()) = tokio::join!(gateway.kill(&body), meanwhile);
    assert_eq!(answer.body["status"], "succeeded", "{}", answer.body);
}

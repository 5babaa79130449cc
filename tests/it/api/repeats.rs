//! A repeated `Idempotency-Key` comes before its caller's limit, within a bound of its own; and what was refused and not
//! sent takes up no key.

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::{
    app::App,
    clock::Clock,
    sandbox::{Action, Behaviour},
};
use serde_json::{Value, json};

use super::{
    kit::{KILL, assert_problem, assert_recorded},
    on_both_engines, on_one_engine,
};
use crate::support::{
    configuration::{BLIND, configuration, record_at},
    gateway::{Answer, Client, Engine, Gateway, Setup, kill_of},
    patience::eventually,
};

on_both_engines! {
    beyond_the_limit_a_repetition_has_its_own_kill,
    beyond_the_limit_a_key_of_another_request_is_reused,
    beyond_the_limit_a_key_in_use_is_in_progress,
    a_match_that_needs_a_confirm_may_bring_it_under_its_key,
}

on_one_engine! {
    a_repetition_takes_nothing_of_what_its_caller_may_ask_for,
    a_repeated_preview_takes_nothing_either,
    many_repetitions_are_limited_themselves,
    beyond_the_limit_a_new_key_is_taken_up_by_nothing,
    what_a_look_refused_takes_up_no_key,
    a_preview_of_too_many_keeps_its_key,
}

const FEW: &str = "[callers]\nkills_per_second = 1\nburst = 2\n";

async fn started(engine: Engine, more: &str) -> Gateway {
    Gateway::start_blind_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await
}

fn body() -> Value {
    kill_of("orders-ro", &[2_075_425])
}

async fn keyed(gateway: &Gateway, key: &str, body: &Value) -> Answer {
    gateway.kill_with(&[("Idempotency-Key", key)], body).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// Asks until the caller may ask for no more kills at the moment.
async fn use_up(gateway: &Gateway) {
    let none = kill_of("nowhere", &[1]);
    let limited = async || {
        let answers = join_all((0..4).map(|_| gateway.kill(&none))).await;
        answers.iter().any(|answer| answer.code() == "rate_limited").then_some(())
    };
    eventually("the caller is limited", limited).await;
}

async fn beyond_the_limit_a_repetition_has_its_own_kill(engine: Engine) {
    let gateway = started(engine, FEW).await;
    let first = keyed(&gateway, "key", &body()).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    for _ in 0..2 {
        use_up(&gateway).await;
        let again = keyed(&gateway, "key", &body()).await;
        assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
        assert!(is_replayed(&again));
        assert!(again.header("ratelimit").is_some_and(|left| left.starts_with("\"caller\";r=")), "{again:?}");
    }
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 1);
}

async fn beyond_the_limit_a_key_of_another_request_is_reused(engine: Engine) {
    let gateway = started(engine, FEW).await;
    let first = keyed(&gateway, "key", &body()).await;
    use_up(&gateway).await;
    let other = keyed(&gateway, "key", &kill_of("orders-ro", &[2_075_426])).await;
    assert_recorded(&gateway, &other, 422, "key_reused", "failed").await;
    assert!(other.body["detail"].as_str().unwrap().contains(first.kill_id()), "{}", other.body);
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 1);
}

async fn beyond_the_limit_a_key_in_use_is_in_progress(engine: Engine) {
    let gateway = started(engine, FEW).await;
    gateway.clouds.misbehave(Action::TaurusdbKill, Behaviour::Hold);
    let (client, token) = (gateway.client().clone(), Gateway::token("chatops-bot", "sessions:kill"));
    let first = tokio::spawn(async move {
        client.post("/sessions/kill", &token, &[("Idempotency-Key", "key")], body().to_string()).await
    });
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    use_up(&gateway).await;
    let again = keyed(&gateway, "key", &body()).await;
    gateway.clouds.behave();
    let first = first.await.unwrap();
    assert_problem(&again, KILL, 409, "in_progress");
    assert_eq!((again.header("retry-after"), again.kill_id()), (Some("1"), first.kill_id()));
}

/// What is left of the caller's allowance by its last answer.
fn left(answer: &Answer) -> u32 {
    let left = answer.header("ratelimit").and_then(|left| left.split(";r=").nth(1)?.split(';').next());
    left.unwrap_or_else(|| panic!("{:?}", answer.headers)).parse().unwrap()
}

async fn a_repetition_takes_nothing_of_what_its_caller_may_ask_for(engine: Engine) {
    let gateway = started(engine, "[callers]\nkills_per_second = 1\nburst = 8\n").await;
    assert_eq!(left(&keyed(&gateway, "key", &body()).await), 7);
    for _ in 0..5 {
        let again = keyed(&gateway, "key", &body()).await;
        assert!(is_replayed(&again) && left(&again) >= 7, "{again:?}");
    }
    let another = gateway.kill(&body()).await;
    assert!(left(&another) >= 6, "{another:?}");
}

async fn a_repeated_preview_takes_nothing_either(engine: Engine) {
    let gateway = started(engine, "[callers]\nlists_per_second = 1\nlists_burst = 2\n").await;
    let mut asked = body();
    asked["dry_run"] = true.into();
    let first = keyed(&gateway, "key", &asked).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let limited = async || {
        let answers = join_all((0..4).map(|_| gateway.kill(&asked))).await;
        answers.iter().any(|answer| answer.code() == "rate_limited").then_some(())
    };
    eventually("the caller is limited", limited).await;
    let again = keyed(&gateway, "key", &asked).await;
    assert_eq!((again.status, again.kill_id()), (StatusCode::OK, first.kill_id()), "{}", again.body);
}

async fn many_repetitions_are_limited_themselves(engine: Engine) {
    let gateway = started(engine, FEW).await;
    let first = keyed(&gateway, "key", &body()).await;
    let asked = body();
    let limited = async || {
        let answers = join_all((0..50).map(|_| keyed(&gateway, "key", &asked))).await;
        let (limited, repeated): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.code() == "rate_limited");
        assert!(repeated.iter().all(|answer| is_replayed(answer) && answer.kill_id() == first.kill_id()));
        limited.into_iter().next()
    };
    let limited = eventually("so many are too many", limited).await;
    assert_problem(&limited, KILL, 429, "rate_limited");
    let detail = limited.body["detail"].as_str().unwrap();
    assert!(detail.contains("Idempotency-Key was not looked up") && !detail.contains("killed"), "{detail}");
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 1);
}

async fn beyond_the_limit_a_new_key_is_taken_up_by_nothing(engine: Engine) {
    let gateway = started(engine, FEW).await;
    use_up(&gateway).await;
    let mut was_limited = false;
    let done = async || {
        let answer = keyed(&gateway, "key", &body()).await;
        was_limited |= answer.code() == "rate_limited";
        (answer.status != StatusCode::TOO_MANY_REQUESTS).then_some(answer)
    };
    let done = eventually("it may ask again", done).await;
    assert_eq!((done.status, is_replayed(&done)), (StatusCode::OK, false), "{}", done.body);
}

fn match_of(user: &str) -> Value {
    json!({ "target": "orders-ro", "select": { "match": { "user": user } }, "reason": "INC-4711" })
}

async fn a_match_that_needs_a_confirm_may_bring_it_under_its_key(engine: Engine) {
    let gateway = started(engine, "[confirm]\nabove = 0\n").await;
    let mut asked = match_of("report");
    let refused = keyed(&gateway, "key", &asked).await;
    assert_recorded(&gateway, &refused, 422, "invalid", "failed").await;
    assert_eq!(refused.body["field"], "confirm", "{}", refused.body);
    let mut preview = asked.clone();
    preview["dry_run"] = true.into();
    let preview = gateway.kill(&preview).await;
    asked["confirm"] = preview.body["confirm"].clone();
    let done = keyed(&gateway, "key", &asked).await;
    assert_eq!((done.status, is_replayed(&done)), (StatusCode::OK, false), "{}", done.body);
    assert_eq!(done.body["confirms"], preview.body["id"]);
    let again = keyed(&gateway, "key", &asked).await;
    assert_eq!((again.kill_id(), is_replayed(&again)), (done.kill_id(), true), "what was done keeps it");
    assert_eq!(gateway.record(refused.kill_id()).await["status"], "failed", "each attempt has its record");
}

async fn what_a_look_refused_takes_up_no_key(engine: Engine) {
    for (more, code, field) in [
        ("[[protect]]\ntarget = \"orders-ro\"\nusers = [\"*\"]\n", "forbidden", "select"),
        ("[confirm]\nabove = 1000\n[callers]\nsessions_per_kill = 1\n", "invalid", "select"),
        ("[confirm]\nabove = 1000\n[callers]\nsessions_per_target_minute = 1\n", "invalid", "select"),
    ] {
        let gateway = started(engine, more).await;
        for id in [70, 71] {
            gateway.clouds.put(&crate::victims::place("orders-ro"), &killgate::sandbox::Session::new(id, "batch"));
        }
        let first = keyed(&gateway, "key", &match_of("batch")).await;
        let again = keyed(&gateway, "key", &match_of("batch")).await;
        for answer in [&first, &again] {
            assert_eq!((answer.code(), &answer.body["field"]), (code, &json!(field)), "{more}: {}", answer.body);
            assert!(!is_replayed(answer), "{more}");
        }
        assert_ne!(first.kill_id(), again.kill_id(), "{more}");
        assert!(gateway.clouds.calls_for(Action::TaurusdbKill).is_empty(), "{more}");
    }
}

async fn a_preview_of_too_many_keeps_its_key(engine: Engine) {
    let gateway = started(engine, "[callers]\nsessions_per_kill = 1\n").await;
    for id in [70, 71] {
        gateway.clouds.put(&crate::victims::place("orders-ro"), &killgate::sandbox::Session::new(id, "batch"));
    }
    let mut asked = match_of("batch");
    asked["dry_run"] = true.into();
    let first = keyed(&gateway, "key", &asked).await;
    assert_eq!(first.body["problem"]["code"], "invalid", "{}", first.body);
    let again = keyed(&gateway, "key", &asked).await;
    assert_eq!((again.kill_id(), is_replayed(&again)), (first.kill_id(), true), "{}", again.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_came_since_keeps_no_key_from_its_kill() {
    let gateway = Gateway::start_blind(Engine::Postgres).await;
    let asked = kill_of("shop", &[11_212]);
    let first = keyed(&gateway, "key", &asked).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let rule = "[[protect]]\ntarget = \"shop\"\nusers = [\"repl\"]\n";
    let config = configuration(&record_at(&gateway.database_url()), &gateway.sandbox.url, &format!("{BLIND}{rule}"));
    let later = App::start(&config, Clock::system()).await.unwrap();
    let (client, token) = (Client::new(later.address()), Gateway::token("chatops-bot", "sessions:kill sessions:read"));
    let ask = async |key| client.post("/sessions/kill", &token, &[("Idempotency-Key", key)], asked.to_string()).await;
    let refused = ask("another").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "forbidden"), "{}", refused.body);
    let again = ask("key").await;
    assert_eq!((again.status, again.kill_id()), (StatusCode::ACCEPTED, first.kill_id()), "{}", again.body);
    assert!(is_replayed(&again));
    assert_eq!(gateway.clouds.calls_for(Action::DasKill).len(), 1);
}

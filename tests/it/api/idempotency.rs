//! `Idempotency-Key`: the same caller and key give the same kill, never a second one.

use std::{mem, net::SocketAddr};

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::sandbox::{Action, Behaviour, Clouds, Sandbox};
use serde_json::Value;

use super::{
    kit::{IMPATIENT, KILL, assert_problem, assert_recorded, document, recorded},
    on_both_engines, on_one_engine,
};
use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup, kill_of},
    patience::eventually,
};

on_both_engines! {
    the_same_key_gives_the_same_kill,
    a_key_belongs_to_its_caller,
    a_key_of_another_request_is_reused,
    a_key_in_use_is_in_progress_and_a_lost_answer_stays_lost,
    of_many_at_once_exactly_one_is_sent,
    what_was_not_understood_takes_no_key,
    after_a_rate_limit_the_key_is_free_again,
    a_repetition_can_wait_for_the_outcome,
}

on_one_engine! {
    the_order_of_members_makes_no_other_request,
    the_same_wish_in_other_words_is_no_other_request,
    a_key_is_1_to_255_visible_ascii_characters,
}

fn body() -> Value {
    kill_of("orders-ro", &[2_075_425])
}

async fn keyed(gateway: &Gateway, key: &str, body: &Value) -> Answer {
    gateway.kill_with(&[("Idempotency-Key", key)], body).await
}

/// Whether the answer says that it is to an earlier request; where it does, the document knows that it may.
fn is_replayed(answer: &Answer) -> bool {
    let says = answer.header("idempotency-replayed");
    if let Some(says) = says {
        assert_eq!(says, "true");
        let responses = &document()["paths"][KILL.1][KILL.0]["responses"];
        let known = &responses[answer.status.as_str()]["headers"]["Idempotency-Replayed"];
        assert!(known.is_object(), "{} with this header is not documented", answer.status);
    }
    says.is_some()
}

async fn the_same_key_gives_the_same_kill(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let first = keyed(&gateway, "key-1", &body()).await;
    let again = keyed(&gateway, "key-1", &body()).await;
    assert_eq!((first.status, again.status), (StatusCode::OK, StatusCode::OK), "{}", again.body);
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("location"), again.header("location"));
    assert!(!is_replayed(&first) && is_replayed(&again));
    assert_eq!(gateway.clouds.calls().len(), 1);
    assert_eq!(recorded(&gateway).await, 1);
    let other = keyed(&gateway, "KEY-1", &body()).await;
    assert_ne!(other.kill_id(), first.kill_id(), "case matters");
}

async fn the_order_of_members_makes_no_other_request(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let key = [("Idempotency-Key", "k")];
    let one = r#"{"target":"orders-ro","select":{"ids":["2075425"]},"reason":"why"}"#;
    let other = r#" { "reason": "why", "select": { "ids": ["2075425"] }, "target": "orders-ro" } "#;
    let first = gateway.client().post("/sessions/kill", &token, &key, one.to_owned()).await;
    let again = gateway.client().post("/sessions/kill", &token, &key, other.to_owned()).await;
    assert_eq!(first.kill_id(), again.kill_id());
    assert!(is_replayed(&again));
}

async fn the_same_wish_in_other_words_is_no_other_request(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let first = keyed(&gateway, "k", &kill_of("orders-ro", &[2_075_425])).await;
    let mut same = kill_of("orders-ro", &[2_075_425]);
    (same["dry_run"], same["on_behalf_of"]) = (false.into(), Value::Null);
    (same["look"], same["select"]["ids"][0]) = (true.into(), 2_075_425.into());
    let again = keyed(&gateway, "k", &same).await;
    assert_eq!((first.kill_id(), is_replayed(&again)), (again.kill_id(), true), "{}", again.body);
    same["dry_run"] = true.into();
    assert_eq!(keyed(&gateway, "k", &same).await.code(), "key_reused");
    assert_eq!(gateway.clouds.calls().len(), 1);
}

async fn a_key_belongs_to_its_caller(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let first = keyed(&gateway, "k", &body()).await;
    let token = Gateway::token("another-bot", "sessions:kill");
    let other = gateway.client().post("/sessions/kill", &token, &[("Idempotency-Key", "k")], body().to_string()).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.body);
    assert_ne!(first.kill_id(), other.kill_id());
    assert!(!is_replayed(&other));
    assert_eq!(gateway.clouds.calls().len(), 2);
}

async fn a_key_of_another_request_is_reused(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let first = keyed(&gateway, "k", &body()).await;
    let other = keyed(&gateway, "k", &kill_of("orders-ro", &[2_075_426])).await;
    assert_recorded(&gateway, &other, 422, "key_reused", "failed").await;
    assert_eq!(other.body["field"], "Idempotency-Key");
    assert!(other.body["detail"].as_str().unwrap().contains(first.kill_id()), "{}", other.body);
    assert_ne!(other.kill_id(), first.kill_id());
    assert_eq!(gateway.clouds.calls().len(), 1);
}

async fn a_key_is_1_to_255_visible_ascii_characters(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for bad in ["", "a b", "ä", "tab\tkey", &"k".repeat(256)] {
        let answer = keyed(&gateway, bad, &body()).await;
        assert_recorded(&gateway, &answer, 422, "invalid", "failed").await;
        assert_eq!(answer.body["field"], "Idempotency-Key", "{bad}");
    }
    assert!(gateway.clouds.calls().is_empty());
    for good in ["!", "~", "\"quoted\"", &"k".repeat(255)] {
        assert_eq!(keyed(&gateway, good, &body()).await.status, StatusCode::OK, "{good}");
    }
}

async fn a_key_in_use_is_in_progress_and_a_lost_answer_stays_lost(engine: Engine) {
    let mut gateway = Gateway::start_blind(engine).await;
    gateway.clouds.misbehave(Action::TaurusdbKill, Behaviour::Hang);
    let (client, token) = (gateway.client().clone(), Gateway::token("chatops-bot", "sessions:kill"));
    let first = tokio::spawn(async move {
        client.post("/sessions/kill", &token, &[("Idempotency-Key", "k")], body().to_string()).await
    });
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    let asked = body();
    let second = keyed(&gateway, "k", &asked).await;
    assert_problem(&second, KILL, 409, "in_progress");
    assert_eq!(second.header("retry-after"), Some("1"));
    let id = second.kill_id();
    assert_eq!(gateway.record(id).await["status"], "pending");
    // The vendor goes away, and the connection with it.
    let elsewhere = Sandbox::start(SocketAddr::from(([127, 0, 0, 1], 0)), Clouds::new()).unwrap();
    mem::replace(&mut gateway.sandbox, elsewhere).stop();
    let first = first.await.unwrap();
    assert_recorded(&gateway, &first, 504, "outcome_unknown", "unknown").await;
    assert_eq!(first.kill_id(), id);
    let again = keyed(&gateway, "k", &asked).await;
    assert_recorded(&gateway, &again, 504, "outcome_unknown", "unknown").await;
    assert_eq!(again.kill_id(), id);
    assert!(is_replayed(&again));
    assert_eq!(gateway.clouds.calls().len(), 1);
}

async fn of_many_at_once_exactly_one_is_sent(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let asked = body();
    let answers = join_all((0..16).map(|_| keyed(&gateway, "k", &asked))).await;
    let id = answers[0].kill_id();
    for answer in &answers {
        assert_eq!(answer.kill_id(), id);
        assert!(answer.status == StatusCode::OK || answer.code() == "in_progress", "{}", answer.body);
    }
    let first = |answer: &&Answer| answer.status == StatusCode::OK && !is_replayed(answer);
    assert_eq!(answers.iter().filter(first).count(), 1);
    assert_eq!(gateway.clouds.calls().len(), 1);
    assert_eq!(recorded(&gateway).await, 1);
}

async fn what_was_not_understood_takes_no_key(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let mut bad = body();
    bad["reason"] = "".into();
    let refused = keyed(&gateway, "k", &bad).await;
    assert_recorded(&gateway, &refused, 422, "invalid", "failed").await;
    let unknown = keyed(&gateway, "k", &kill_of("nowhere", &[1])).await;
    assert_recorded(&gateway, &unknown, 404, "unknown_target", "failed").await;
    let corrected = keyed(&gateway, "k", &body()).await;
    assert_eq!(corrected.status, StatusCode::OK, "{}", corrected.body);
    assert!(!is_replayed(&corrected));
    assert_eq!(recorded(&gateway).await, 3);
}

async fn after_a_rate_limit_the_key_is_free_again(engine: Engine) {
    let gateway = Gateway::start_blind_with(engine, Setup { more: IMPATIENT.to_owned(), ..Setup::default() }).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Throttle);
    // Where its turn comes too late for so little patience, that is a rate limit too.
    let throttled = async || Some(keyed(&gateway, "k", &body()).await).filter(|answer| answer.code() != "rate_limited");
    let limited = eventually("the vendor is asked", throttled).await;
    assert_recorded(&gateway, &limited, 429, "upstream_throttled", "rate_limited").await;
    // The gateway leaves the vendor alone for a moment, and says so as long as it does.
    let again = async || {
        let again = keyed(&gateway, "k", &body()).await;
        (again.status != StatusCode::TOO_MANY_REQUESTS).then_some(again)
    };
    let again = eventually("the vendor is asked again", again).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    assert_ne!(again.kill_id(), limited.kill_id());
    assert!(is_replayed(&keyed(&gateway, "k", &body()).await));
    assert_eq!(gateway.record(limited.kill_id()).await["status"], "rate_limited");
}

async fn a_repetition_can_wait_for_the_outcome(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let asked = kill_of("orders-shard-1", &[1111]);
    let accepted = keyed(&gateway, "k", &asked).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    let settled = gateway.kill_with(&[("Idempotency-Key", "k"), ("Prefer", "wait=60")], &asked).await;
    assert_eq!((settled.status, settled.kill_id()), (StatusCode::OK, accepted.kill_id()), "{}", settled.body);
    assert_eq!(settled.body["status"], "succeeded");
    assert!(is_replayed(&settled));
    assert_eq!(gateway.clouds.calls_for(Action::DcdbKill).len(), 1);
}

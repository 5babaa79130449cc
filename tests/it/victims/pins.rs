//! A session that is no longer the one that was meant is not sent.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Lie};
use serde_json::{Value, json};

use super::{kill_by, on_one_engine, outcomes, place};
use crate::support::gateway::{Engine, Gateway};

on_one_engine! {
    a_pinned_session_is_sent_only_if_it_is_the_same,
    a_pin_that_cannot_be_checked_is_refused,
    a_pin_that_is_not_one_is_named,
}

/// A session of the simulated clouds as somebody who has just looked would pin it.
fn pinned(gateway: &Gateway, alias: &str, id: u64) -> Value {
    let session = gateway.clouds.sessions(&place(alias)).into_iter().find(|session| session.id == id).unwrap();
    json!({ "id": id, "user": session.user, "host": session.host })
}

async fn a_pinned_session_is_sent_only_if_it_is_the_same(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, list, kill, [same, other, gone]) in [
        ("ledger", Action::GaussdbSessions, Action::GaussdbKill, [10180, 10181, 99]),
        ("orders-ro", Action::TaurusdbProcesses, Action::TaurusdbKill, [2_075_425, 2_075_426, 99]),
        ("orders-shard-1", Action::DcdbProcesses, Action::DcdbKill, [1111, 1112, 99]),
    ] {
        let mut ids = vec![pinned(&gateway, alias, same), pinned(&gateway, alias, other)];
        ids[1]["user"] = json!("somebody_else");
        ids.push(json!({ "id": gone, "user": "app" }));
        let select = json!({ "ids": ids });
        let answer = gateway.kill_with(&[("Prefer", "wait=20")], &kill_by(alias, select)).await;
        assert_eq!(answer.status, StatusCode::OK, "{alias}: {}", answer.body);
        assert_eq!(outcomes(&answer), [(same, "killed"), (other, "changed"), (gone, "not_found")], "{alias}");
        assert_eq!(answer.body["status"], "partial", "{alias}");
        let sent = String::from_utf8(gateway.clouds.calls_for(kill).pop().unwrap().body).unwrap();
        assert!(sent.contains(&same.to_string()) && !sent.contains(&other.to_string()), "{alias}: {sent}");
        assert!(!gateway.clouds.calls_for(list).is_empty());
        assert!(gateway.clouds.alive(&place(alias)).contains(&other));
    }
}

async fn a_pin_that_cannot_be_checked_is_refused(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let one = pinned(&gateway, "shop", 11212);
    let mixed = json!({ "ids": [one, { "id": 11213, "host": "10.0.0.7" }] });
    let answer = gateway.kill(&kill_by("shop", mixed)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", answer.body);
    assert_eq!(answer.body["field"], "select.ids");
    let same_user = json!({ "ids": [pinned(&gateway, "shop", 11212)] });
    let answer = gateway.kill(&kill_by("shop", same_user)).await;
    assert_eq!(outcomes(&answer), [(11212, "accepted")], "{}", answer.body);
}

async fn a_pin_that_is_not_one_is_named(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (id, field) in [
        (json!({ "user": "app" }), "select.ids[0].id"),
        (json!({ "id": "1", "pid": 7 }), "select.ids[0].pid"),
        (json!({ "id": { "id": "1" } }), "select.ids[0].id"),
        (json!({ "id": "1", "user": "a\u{0}b" }), "select.ids[0].user"),
        (json!({ "id": "1", "started_before": "yesterday" }), "select.ids[0].started_before"),
    ] {
        let answer = gateway.kill(&kill_by("orders-ro", json!({ "ids": [id] }))).await;
        assert!(matches!(answer.code(), "malformed" | "invalid"), "{}", answer.body);
        assert!(
            answer.body["field"].as_str().is_some_and(|named| named.starts_with("select.ids[0]")),
            "{}",
            answer.body
        );
        if answer.code() == "invalid" {
            assert_eq!(answer.body["field"], field);
        }
    }
    assert!(gateway.clouds.calls().is_empty());
}

/// Between the caller's own look and the kill every id goes to somebody else: a thousand times, and none of the new
/// sessions is ever sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_was_recycled_before_the_kill_is_never_sent() {
    const RUNS: usize = 1000;
    let gateway = Gateway::start(Engine::Sqlite).await;
    for run in 0..RUNS {
        gateway.clouds.reset();
        let pin = pinned(&gateway, "orders-ro", 2_075_425);
        // The list that the caller saw; right after it the ids go to others.
        gateway.clouds.misbehave_times(1, Action::TaurusdbProcesses, Behaviour::Lie(Lie::RecycleIds));
        let token = Gateway::token("dba", "sessions:read");
        let listed = gateway.client().get("/sessions?target=orders-ro", &token).await;
        assert_eq!(listed.status, StatusCode::OK, "{}", listed.body);
        let answer = gateway.kill(&kill_by("orders-ro", json!({ "ids": [pin] }))).await;
        assert_eq!(outcomes(&answer), [(2_075_425, "changed")], "run {run}: {}", answer.body);
        assert!(gateway.clouds.calls_for(Action::TaurusdbKill).is_empty(), "run {run}");
    }
}

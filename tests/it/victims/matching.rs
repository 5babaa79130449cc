//! Every vendor takes a `match`: the gateway lists, chooses and kills by id.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Lie};
use serde_json::json;

use super::{ids_of, kill_by, on_one_engine, outcomes, place};
use crate::support::gateway::{Engine, Gateway};

on_one_engine! {
    a_match_ends_what_meets_all_of_it_at_every_vendor,
    a_match_that_nothing_meets_sends_nothing,
    a_match_on_a_cut_off_list_says_that_it_was_cut_off,
    a_match_that_the_vendor_cannot_list_is_refused_with_what_it_can,
    a_literal_cannot_be_asked_for_by_who_may_not_see_it,
    a_preview_shows_what_would_be_ended_and_ends_nothing,
}

async fn a_match_ends_what_meets_all_of_it_at_every_vendor(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for alias in ["ledger", "shop", "orders-ro", "orders-shard-1"] {
        let mut of_user = ids_of(&gateway, alias, "report");
        let before = gateway.clouds.alive(&place(alias)).len();
        assert!(of_user.len() > 1, "{alias}: {of_user:?}");
        let select = json!({ "match": { "user": "report", "min_seconds": 100, "order": "longest", "limit": 1 } });
        let answer = gateway.kill_with(&[("Prefer", "wait=20")], &kill_by(alias, select.clone())).await;
        assert!(answer.status.is_success(), "{alias}: {}", answer.body);
        let (id, outcome) = outcomes(&answer)[0];
        assert_eq!((outcomes(&answer).len(), &answer.body["select"]), (1, &select), "{alias}");
        assert!(of_user.contains(&id), "{alias}: {id} is not one of {of_user:?}");
        assert_eq!(outcome, "killed", "{alias}: {}", answer.body);
        // DAS says of its empty 200 nothing but that it was taken; the list tells the rest.
        let detail = if alias == "shop" { json!("seen gone") } else { json!(null) };
        assert_eq!(answer.body["sessions"][0]["detail"], detail, "{alias}");
        assert_eq!(answer.body["sessions"][0]["identity"]["user"], "report");
        assert_eq!(answer.body["look"]["complete"], true);
        of_user.retain(|other| *other != id);
        assert_eq!(ids_of(&gateway, alias, "report"), of_user, "{alias}");
        assert_eq!(gateway.clouds.alive(&place(alias)).len(), before - 1, "{alias}");
        let record = gateway.record(answer.kill_id()).await;
        assert_eq!(record["sessions"][0]["id"], id.to_string());
        assert_eq!(record["look"], answer.body["look"]);
        assert!(record["look"]["to_kill_ms"].as_i64().is_some_and(|millis| millis >= 0), "{record}");
    }
}

async fn a_match_that_nothing_meets_sends_nothing(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let answer = gateway.kill(&kill_by("orders-ro", json!({ "match": { "user": "nobody" } }))).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("succeeded")), "{}", answer.body);
    assert_eq!(answer.body["sessions"], json!([]));
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 0);
}

async fn a_match_on_a_cut_off_list_says_that_it_was_cut_off(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Lie(Lie::CutLists(0)));
    let answer = gateway.kill(&kill_by("orders-ro", json!({ "match": { "user": "report" } }))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((&answer.body["sessions"], &answer.body["look"]["complete"]), (&json!([]), &json!(false)));
    assert_eq!(answer.body["status"], "failed", "nobody can say that none is left: {}", answer.body);
}

async fn a_match_that_the_vendor_cannot_list_is_refused_with_what_it_can(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let answer = gateway.kill(&kill_by("shop", json!({ "match": { "host": "10.0.0.7" } }))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "unsupported_selector"));
    let supported = answer.body["supported"].to_string();
    assert!(supported.contains("match with user or database"), "{supported}");
    assert!(gateway.clouds.calls().is_empty());
}

async fn a_literal_cannot_be_asked_for_by_who_may_not_see_it(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let body = kill_by("orders-ro", json!({ "match": { "statement": "2026-01-01" } }));
    let blind = gateway.kill(&body).await;
    assert_eq!(blind.body["sessions"], json!([]), "{}", blind.body);
    let token = Gateway::token("dba", "sessions:kill sessions:statements");
    let seeing = gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await;
    assert!(!outcomes(&seeing).is_empty(), "{}", seeing.body);
}

async fn a_preview_shows_what_would_be_ended_and_ends_nothing(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for alias in ["ledger", "orders-ro", "orders-shard-1"] {
        let before = gateway.clouds.alive(&place(alias));
        let mut body = kill_by(alias, json!({ "match": { "user": "report" } }));
        body["dry_run"] = true.into();
        let mut answer = gateway.kill(&body).await;
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("preview")), "{}", answer.body);
        for only_here in ["confirm", "confirm_until"] {
            assert!(answer.body.as_object_mut().unwrap().remove(only_here).is_some_and(|it| it.is_string()), "{alias}");
        }
        let shown: Vec<_> = ids_of(&gateway, alias, "report").into_iter().map(|id| (id, "alive")).collect();
        assert_eq!(outcomes(&answer), shown, "{alias}");
        assert_eq!(gateway.clouds.alive(&place(alias)), before);
        assert_eq!(gateway.record(answer.kill_id()).await, answer.body);
    }
}

//! What the database would pick, shown before it is left to it.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour};
use serde_json::json;

use super::{kill_by, on_one_engine, outcomes, place};
use crate::support::gateway::{Answer, Engine, Gateway};

on_one_engine! {
    a_preview_of_an_intelligent_kill_names_what_the_database_names_now,
    where_the_list_cannot_be_read_what_was_named_is_shown_all_the_same,
    where_the_database_refuses_to_name_any_nothing_is_shown,
}

async fn previewed(gateway: &Gateway) -> Answer {
    let mut body = kill_by("orders-ro", json!({ "intelligent": true }));
    body["dry_run"] = true.into();
    let answer = gateway.kill(&body).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("preview")), "{}", answer.body);
    assert!(gateway.clouds.calls_for(Action::IntelligentKill).is_empty());
    answer
}

async fn a_preview_of_an_intelligent_kill_names_what_the_database_names_now(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let before = gateway.clouds.alive(&place("orders-ro"));
    let answer = previewed(&gateway).await;
    let named = outcomes(&answer);
    assert!(!named.is_empty() && named.iter().all(|(id, _)| before.contains(id)), "{}", answer.body);
    for session in answer.body["sessions"].as_array().unwrap() {
        assert!(matches!(session["outcome"].as_str(), Some("alive" | "protected")), "{session}");
        assert!(session["detail"].as_str().unwrap().contains("picks anew when the kill comes"), "{session}");
        assert!(session["identity"].is_object(), "{session}");
    }
    let mut ids: Vec<_> = named.iter().map(|(id, _)| id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "each once, though groups rank under several strategies");
    assert_eq!(answer.body["look"]["complete"], true);
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["sessions"], &record["look"]), (&answer.body["sessions"], &answer.body["look"]));
    assert_eq!(gateway.clouds.alive(&place("orders-ro")), before);
    assert_eq!(gateway.clouds.calls_for(Action::IntelligentPreview).len(), 1);
}

async fn where_the_list_cannot_be_read_what_was_named_is_shown_all_the_same(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    let answer = previewed(&gateway).await;
    let named = outcomes(&answer);
    assert!(!named.is_empty() && named.iter().all(|(_, outcome)| *outcome == "alive"), "{}", answer.body);
    assert_eq!(answer.body["look"]["complete"], false);
    assert!(answer.body["sessions"][0].get("identity").is_none());
}

async fn where_the_database_refuses_to_name_any_nothing_is_shown(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave(Action::IntelligentPreview, Behaviour::Deny);
    let answer = previewed(&gateway).await;
    assert!(outcomes(&answer).is_empty() && answer.body.get("look").is_none(), "{}", answer.body);
}

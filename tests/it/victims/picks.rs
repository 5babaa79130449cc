//! What a preview shows where the database itself would pick.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Session};
use serde_json::{Value, json};

use super::{kill_by, on_both_engines, outcomes, place};
use crate::support::gateway::{Answer, Engine, Gateway};

on_both_engines! {
    a_preview_names_what_the_database_would_pick_now_and_ends_nothing,
    a_preview_tells_what_the_database_will_not_spare,
    a_preview_without_a_list_names_ids_alone,
    a_preview_without_a_statistic_shows_nothing,
}

async fn preview(gateway: &Gateway) -> Answer {
    let mut body = kill_by("orders-ro", json!({ "intelligent": true }));
    body["dry_run"] = true.into();
    let answer = gateway.kill(&body).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("preview")), "{}", answer.body);
    assert_eq!(gateway.record(answer.kill_id()).await, answer.body);
    assert!(gateway.clouds.calls_for(Action::IntelligentKill).is_empty());
    answer
}

/// Every session with a statement but the updates: their kind leads under none of the three rankings.
fn running(gateway: &Gateway) -> Vec<(u64, &'static str)> {
    let sessions = gateway.clouds.sessions(&place("orders-ro"));
    sessions
        .iter()
        .filter(|s| s.command == "Query" && !s.internal && !s.statement.starts_with("update"))
        .map(|s| (s.id, "alive"))
        .collect()
}

async fn a_preview_names_what_the_database_would_pick_now_and_ends_nothing(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let before = gateway.clouds.alive(&place("orders-ro"));
    let answer = preview(&gateway).await;
    let mut shown = outcomes(&answer);
    shown.sort_unstable();
    assert_eq!(shown, running(&gateway), "each once: {}", answer.body);
    let sessions = answer.body["sessions"].as_array().unwrap();
    assert!(sessions.iter().all(|session| session["identity"]["user"].is_string()), "{}", answer.body);
    assert_eq!(answer.body["look"]["complete"], true, "{}", answer.body);
    assert_eq!(gateway.clouds.alive(&place("orders-ro")), before);
}

async fn a_preview_tells_what_the_database_will_not_spare(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.put(&place("orders-ro"), &Session::new(41, "rdsAdmin").running("select sleep(9000)", 9000));
    let answer = preview(&gateway).await;
    let session = |of: &Value| of["id"] == "41";
    let own = answer.body["sessions"].as_array().unwrap().iter().find(|of| session(of)).expect("it leads").clone();
    assert_eq!(own["outcome"], "alive", "{own}");
    let detail = "protected (built in, users: rdsAdmin), and the database may end it all the same";
    assert_eq!(own["detail"], detail, "{own}");
}

async fn a_preview_without_a_list_names_ids_alone(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    let answer = preview(&gateway).await;
    let mut shown = outcomes(&answer);
    shown.sort_unstable();
    assert_eq!((shown, answer.body.get("look")), (running(&gateway), None), "{}", answer.body);
    assert!(!answer.body["sessions"].to_string().contains("identity"), "{}", answer.body);
}

async fn a_preview_without_a_statistic_shows_nothing(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for behaviour in [Behaviour::Deny, Behaviour::Garble] {
        gateway.clouds.reset();
        gateway.clouds.misbehave(Action::IntelligentPreview, behaviour);
        let answer = preview(&gateway).await;
        assert_eq!((outcomes(&answer), answer.body.get("look")), (vec![], None), "{}", answer.body);
        assert!(gateway.clouds.calls_for(Action::TaurusdbProcesses).is_empty(), "there is nothing to look for");
    }
}

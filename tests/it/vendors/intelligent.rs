//! TaurusDB: the database picks, and its history tells a minute later that it did.

use std::time::Duration;

use killgate::{
    clock::Clock,
    sandbox::{Action, Clouds},
};
use serde_json::json;

use super::{Engine, Gateway, Setup, on_both_engines, recorded_as};

on_both_engines! {
    a_run_that_the_history_shows_a_minute_later_settles_the_kill_and_leaves_its_evidence,
}

async fn a_run_that_the_history_shows_a_minute_later_settles_the_kill_and_leaves_its_evidence(engine: Engine) {
    let clock = Clock::manual(Clock::system().now());
    let clouds = Clouds::demo_at(clock.clone());
    clouds.set_history_delay(Duration::from_mins(1));
    let setup = Setup { clouds: Some(clouds), clock: Some(clock.clone()), ..Setup::default() };
    let gateway = Gateway::start_with(engine, setup).await;
    let pick = json!({ "target": "orders-ro", "select": { "intelligent": true }, "reason": "load" });
    let answer = gateway.kill(&pick).await;
    assert_eq!((answer.status.as_u16(), &answer.body["upstream"]["evidence_url"]), (202, &json!(null)));
    let looks = || gateway.clouds.calls_for(Action::IntelligentHistory).len();
    let before = looks();
    clock.set(clock.now() + Duration::from_secs(45));
    gateway.clouds.arrived(Action::IntelligentHistory, before + 1).await;
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&kill["status"], kill["completed_at"].as_str()), (&json!("accepted"), None), "{kill}");
    clock.set(clock.now() + Duration::from_secs(45));
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    let link = kill["upstream"]["evidence_url"].as_str().unwrap_or_default().to_owned();
    let task = kill["upstream"]["task_id"].as_str().unwrap();
    assert!(link.starts_with("https://") && link.contains(task), "{kill}");
    let token = Gateway::token("auditor", "kills:export");
    for format in ["csv", "ndjson"] {
        let export = gateway.client().get(&format!("/kills/export?format={format}"), &token).await;
        assert!(export.body.to_string().contains(&link), "{format}: {}", export.body);
    }
}

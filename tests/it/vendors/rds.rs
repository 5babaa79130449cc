//! Huawei RDS for MySQL: the database picks, and says nothing of whom.

use killgate::sandbox::{Action, Behaviour, Place, demo as world};
use serde_json::{Value, json};

use super::{Engine, Gateway, Setup};
use crate::support::gateway::kill_of;

const ALIAS: &str = "here";

async fn gateway(more: &str) -> Gateway {
    let more = format!(
        "[accounts.its]\ncloud = 'huawei'\nregion = '{}'\nproject_id = '{}'\naccess_key = '{}'\nsecret_key = '{}'\n\
         endpoints.rds = '{{clouds}}'\n[targets.{ALIAS}]\nvendor = 'rds'\ninstance_id = '{}'\n{more}",
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_ACCESS_KEY,
        world::HUAWEI_SECRET_KEY,
        world::RDS_INSTANCE,
    );
    Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await
}

fn place() -> Place {
    Place::of("rds", world::RDS_INSTANCE)
}

fn intelligent() -> Value {
    json!({ "target": ALIAS, "select": { "intelligent": true }, "reason": "INC-4711 load" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intelligent_kill_is_taken_and_no_more_is_said() {
    let gateway = gateway("").await;
    let before = gateway.clouds.alive(&place()).len();
    let answer = gateway.kill(&intelligent()).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (202, &json!("accepted")), "{}", answer.body);
    assert_eq!((&answer.body["sessions_known"], &answer.body["blind"]), (&json!(false), &json!("picked")));
    assert!(gateway.clouds.alive(&place()).len() < before);
    let sent = gateway.clouds.calls_for(Action::RdsKill).pop().unwrap();
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!((sent.method.as_str(), body), ("PUT", json!({ "auto_add_sql_limit_rule": false })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_shows_whom_it_would_pick_and_ends_nobody() {
    let gateway = gateway("").await;
    let mut body = intelligent();
    body["dry_run"] = json!(true);
    let answer = gateway.kill(&body).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("preview")), "{}", answer.body);
    let sessions = answer.body["sessions"].as_array().unwrap();
    assert!(!sessions.is_empty() && sessions.iter().all(|session| session["outcome"] == "alive"), "{}", answer.body);
    assert_eq!(answer.body["look"], json!(null), "there is no list that could have been cut off");
    assert!(gateway.clouds.calls_for(Action::RdsKill).is_empty());
    let mut body = intelligent();
    body["confirm"] = answer.body["confirm"].clone();
    assert_eq!(gateway.kill(&body).await.status.as_u16(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_unknown_and_not_repeated() {
    for behaviour in [Behaviour::Drop, Behaviour::Garble] {
        let gateway = gateway("").await;
        gateway.clouds.misbehave_times(1, Action::RdsKill, behaviour);
        let answer = gateway.kill(&intelligent()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
        assert_eq!(gateway.clouds.calls_for(Action::RdsKill).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_throttled_and_denied_like_its_sisters() {
    let gateway = gateway("[vendors.rds]\nmax_wait_ms = 500\n").await;
    gateway.clouds.misbehave_times(1, Action::RdsKill, Behaviour::Deny);
    let answer = gateway.kill(&intelligent()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_denied"), "{}", answer.body);
    gateway.clouds.misbehave(Action::RdsKill, Behaviour::Throttle);
    let answer = gateway.kill(&intelligent()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (429, "upstream_throttled"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_by_id_are_another_products_and_a_rule_forbids_it_whoever_made_it() {
    let gateway = gateway("[[protect]]\nvendor = 'dasrds'\nusers = ['dba_*']\n").await;
    let answer = gateway.kill(&kill_of(ALIAS, &[1])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "unsupported_selector"), "{}", answer.body);
    assert_eq!(answer.body["supported"], json!(["intelligent"]), "{}", answer.body);
    let answer = gateway.kill(&intelligent()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (403, "forbidden"), "{}", answer.body);
    assert!(gateway.clouds.calls().is_empty());
}

//! Answers in other writing: what is no text is read as such, and ids, codes and counts stand.

use killgate::sandbox::{Action, Behaviour, Writing};
use serde_json::json;

use super::{all_sessions_are, operations};
use crate::support::gateway::{Engine, Gateway, Setup, kill_of};

const ALL: [Writing; 4] = [Writing::Gzip, Writing::Deflate, Writing::Marked, Writing::Foreign];

const LISTS: [(Action, &str); 4] = [
    (Action::GaussdbSessions, "target=ledger"),
    (Action::DasProcesses, "target=shop&user=app"),
    (Action::TaurusdbProcesses, "target=orders-ro"),
    (Action::DcdbProcesses, "target=orders-shard-1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_is_what_its_answer_says_in_any_writing() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    for operation in operations() {
        gateway.clouds.reset();
        let usual = gateway.kill(&operation.body).await;
        for writing in ALL {
            // What DAS says with an empty body has no writing; an object with a member that nobody knows is no consent.
            if operation.action == Action::DasKill {
                continue;
            }
            gateway.clouds.reset();
            gateway.clouds.misbehave(operation.action, Behaviour::Writing(writing));
            let answer = gateway.kill(&operation.body).await;
            for member in ["status", "sessions"] {
                assert_eq!(
                    answer.body[member], usual.body[member],
                    "{:?} {writing:?}: {}",
                    operation.action, answer.body
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_read_in_any_writing() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    let token = Gateway::token("dba", "sessions:read sessions:read:literals");
    for (action, query) in LISTS {
        let path = format!("/sessions?{query}");
        let usual = gateway.client().get(&path, &token).await;
        let ids = |body: &serde_json::Value| -> Vec<serde_json::Value> {
            body["items"].as_array().unwrap_or_else(|| panic!("{body}")).iter().map(|row| row["id"].clone()).collect()
        };
        for writing in ALL {
            gateway.clouds.behave();
            gateway.clouds.misbehave(action, Behaviour::Writing(writing));
            let answer = gateway.client().get(&path, &token).await;
            assert_eq!((ids(&answer.body), &answer.body["complete"]), (ids(&usual.body), &json!(true)), "{writing:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_statement_in_another_encoding_disarms_no_protected_target() {
    let more = "[[protect]]\nusers = ['repl']\n".to_owned();
    let gateway = Gateway::start_blind_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    for (action, _) in LISTS {
        gateway.clouds.misbehave(action, Behaviour::Writing(Writing::Foreign));
    }
    for (alias, id) in [("ledger", 10_180), ("orders-ro", 2_075_425), ("orders-shard-1", 1111)] {
        let answer = gateway.kill(&kill_of(alias, &[id])).await;
        assert!(answer.status.is_success(), "{alias}: {}", answer.body);
        assert!(!all_sessions_are(&answer.body, "failed", 1), "{alias}: {}", answer.body);
    }
    let select = json!({ "match": { "user": "app", "limit": 1 } });
    let body = json!({ "target": "orders-ro", "select": select, "reason": "INC-4711" });
    let answer = gateway.kill(&body).await;
    assert!(answer.status.is_success() && all_sessions_are(&answer.body, "killed", 1), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_another_encoding_is_the_same_refusal() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    for operation in operations() {
        gateway.clouds.misbehave_times(1, operation.action, Behaviour::DenyInForeignWriting);
        let answer = gateway.kill(&operation.body).await;
        let told = (answer.status.as_u16(), answer.code());
        assert_eq!(told, (502, "upstream_denied"), "{:?}: {}", operation.action, answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_read_in_any_writing() {
    for writing in ALL {
        let gateway = super::iam::start(Engine::Sqlite).await;
        gateway.clouds.misbehave(Action::IamToken, Behaviour::Writing(writing));
        let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
        assert_eq!(answer.status.as_u16(), 200, "{writing:?}: {}", answer.body);
    }
}

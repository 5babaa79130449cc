//! What a preview does to the record and the vendor, and what it shows to whom.

use actix_web::http::StatusCode;
use killgate::sandbox::Action;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use super::{kill_by, place};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, url_of};

async fn started(more: &str) -> Gateway {
    Gateway::start_with(Engine::Sqlite, Setup { more: more.to_owned(), ..Setup::default() }).await
}

fn preview_of(target: &str, select: Value) -> Value {
    let mut body = kill_by(target, select);
    body["dry_run"] = true.into();
    body
}

async fn ask(gateway: &Gateway, scope: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    gateway.client().post("/sessions/kill", &Gateway::token("bot", scope), headers, body.to_string()).await
}

#[tokio::test]
async fn without_a_record_a_preview_asks_no_vendor() {
    let gateway = started("").await;
    let mut database = SqliteConnection::connect(&url_of(&gateway)).await.unwrap();
    let lock = database.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for (alias, select) in [
        ("orders-ro", json!({ "match": { "user": "report" } })),
        ("orders-ro", json!({ "intelligent": true })),
        ("shop", json!({ "match": { "user": "report" } })),
        ("ledger", json!({ "ids": ["10180"] })),
    ] {
        let answer = ask(&gateway, "sessions:kill", &[], &preview_of(alias, select.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "audit_unavailable"), "{alias}: {}", answer.body);
        assert!(gateway.clouds.calls().is_empty(), "{alias} {select}: a vendor was asked");
    }
    lock.rollback().await.unwrap();
    let body = preview_of("orders-ro", json!({ "match": { "user": "report" } }));
    let answer = ask(&gateway, "sessions:kill", &[], &body).await;
    assert_eq!(answer.body["status"], "preview", "{}", answer.body);
}

#[tokio::test]
async fn a_preview_that_is_asked_for_again_under_its_key_is_not_made_again() {
    let gateway = started("").await;
    let body = preview_of("orders-ro", json!({ "match": { "user": "report" } }));
    let key = [("Idempotency-Key", "k")];
    let first = ask(&gateway, "sessions:kill sessions:read", &key, &body).await;
    let again = ask(&gateway, "sessions:kill sessions:read", &key, &body).await;
    assert_eq!((first.status, &first.body), (StatusCode::OK, &again.body));
    assert!(first.body["confirm"].is_string());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbProcesses).len(), 1);
}

#[tokio::test]
async fn whoever_may_not_list_sessions_is_shown_ids_and_outcomes_alone() {
    let gateway = started("[[protect]]\nusers = ['etl']\n").await;
    let body = preview_of("orders-ro", json!({ "match": { "min_seconds": 0 } }));
    let answer = ask(&gateway, "sessions:kill", &[], &body).await;
    let path = format!("/kills/{}", answer.kill_id());
    let read = async |path: &str, scope: &str| gateway.client().get(path, &Gateway::token("bot", scope)).await.body;
    let events = format!("{path}/events");
    let shown = [
        answer.body.to_string(),
        read(&path, "sessions:kill").await.to_string(),
        read("/kills", "sessions:kill").await.to_string(),
        read(&events, "sessions:kill").await.to_string(),
    ];
    for text in &shown {
        assert!(text.contains("protected") && text.contains("alive"), "{text}");
        for hidden in ["identity", "statement_digest", "etl", "10.0."] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    // Its neighbours: the record has it all, for whoever may see it.
    for scope in ["kills:read", "sessions:kill sessions:read"] {
        for path in [&path, &events] {
            let text = read(path, scope).await.to_string();
            assert!(text.contains("identity") && text.contains("users: etl"), "{scope}: {text}");
        }
    }
}

#[tokio::test]
async fn the_literals_of_a_criterion_are_shown_to_whoever_may_see_them() {
    let gateway = started("").await;
    let statement = "Alice Example";
    let body = kill_by("orders-ro", json!({ "match": { "statement": statement } }));
    let answer = ask(&gateway, "sessions:kill", &[], &body).await;
    let path = format!("/kills/{}", answer.kill_id());
    let seen = async |subject: &str, scope: &str| {
        let read = gateway.client().get(&path, &Gateway::token(subject, scope)).await;
        read.body["select"]["match"]["statement"].as_str().unwrap().to_owned()
    };
    assert_eq!(seen("auditor", "kills:read").await, "?", "a piece may begin or end within a literal");
    assert_eq!(seen("auditor", "kills:read sessions:statements").await, statement);
    assert_eq!(seen("bot", "sessions:kill").await, statement, "who wrote it knows it");
}

#[tokio::test]
async fn a_preview_of_too_many_says_so_and_records_no_more_than_a_kill_takes() {
    let gateway = started("[callers]\nsessions_per_kill = 3\n").await;
    let body = preview_of("orders-ro", json!({ "match": { "min_seconds": 0 } }));
    let few = ask(&gateway, "sessions:kill", &[], &body).await;
    assert_eq!((few.status, &few.body["status"]), (StatusCode::OK, &json!("preview")), "{}", few.body);
    assert_eq!(few.body["problem"]["code"], "invalid", "{}", few.body);
    assert!(few.body["problem"]["detail"].as_str().unwrap().contains("at most 3"), "{}", few.body);
    assert_eq!(few.body.get("confirm"), None, "there is nothing to confirm");
    gateway.clouds.put_ids(&place("orders-ro"), 5_000_000..5_001_500);
    let many = ask(&gateway, "sessions:kill", &[], &body).await;
    assert_eq!(many.body["status"], "preview");
    assert!(many.body["problem"]["detail"].as_str().unwrap().contains("at most 1000: give a limit"), "{}", many.body);
    assert_eq!(many.body["sessions"].as_array().unwrap().len(), 1000);
    let uncapped = started("").await;
    uncapped.clouds.put_ids(&place("orders-ro"), 5_000_000..5_001_500);
    let many = ask(&uncapped, "sessions:kill", &[], &body).await;
    assert!(many.body["problem"].is_object() && many.body.get("confirm").is_none(), "{}", many.body["problem"]);
    let one = preview_of("orders-ro", json!({ "match": { "user": "report", "limit": 1 } }));
    let one = ask(&gateway, "sessions:kill", &[], &one).await;
    assert!(one.body.get("problem").is_none() && one.body["confirm"].is_string(), "{}", one.body);
}

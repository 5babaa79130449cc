//! Protected sessions are ended by no selector.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::{ids_of, kill_by, on_one_engine, outcomes, place};
use crate::support::gateway::{Engine, Gateway, Setup, kill_of};

on_one_engine! {
    a_protected_session_is_spared_and_the_others_are_ended,
    a_kill_of_protected_sessions_alone_is_refused,
    what_is_built_in_protects_from_a_match,
    where_sessions_cannot_be_told_apart_none_is_ended,
    without_a_look_nothing_is_sent,
}

async fn guarded(engine: Engine) -> Gateway {
    let more = "[[protect]]\nusers = ['etl', 'rep*']\n".to_owned();
    Gateway::start_with(engine, Setup { more, ..Setup::default() }).await
}

async fn a_protected_session_is_spared_and_the_others_are_ended(engine: Engine) {
    let gateway = guarded(engine).await;
    for (alias, [report, app]) in
        [("ledger", [10180, 10181]), ("orders-ro", [2_075_425, 2_075_426]), ("orders-shard-1", [1111, 1112])]
    {
        let answer = gateway.kill_with(&[("Prefer", "wait=20")], &kill_of(alias, &[report, app])).await;
        assert_eq!(outcomes(&answer), [(report, "protected"), (app, "killed")], "{alias}: {}", answer.body);
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("partial")), "{alias}");
        assert_eq!(answer.body["sessions"][0]["detail"], "users: rep*");
        let alive = gateway.clouds.alive(&place(alias));
        assert!(alive.contains(&report) && !alive.contains(&app), "{alias}");
    }
}

async fn a_kill_of_protected_sessions_alone_is_refused(engine: Engine) {
    let gateway = guarded(engine).await;
    let answer = gateway.kill(&kill_by("orders-ro", json!({ "match": { "user": "report" } }))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!(record["status"], "refused");
    assert!(record["sessions"].as_array().unwrap().iter().all(|session| session["outcome"] == "protected"), "{record}");
    assert!(gateway.clouds.calls_for(Action::TaurusdbKill).is_empty());
}

async fn what_is_built_in_protects_from_a_match(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let replication = ids_of(&gateway, "orders-ro", "repl");
    assert!(!replication.is_empty());
    let answer = gateway.kill(&kill_by("orders-ro", json!({ "match": { "host": "10.*", "min_seconds": 400 } }))).await;
    for id in replication {
        assert!(outcomes(&answer).contains(&(id, "protected")), "{}", answer.body);
        assert!(gateway.clouds.alive(&place("orders-ro")).contains(&id));
    }
    assert_eq!(answer.body["status"], "partial");
}

async fn where_sessions_cannot_be_told_apart_none_is_ended(engine: Engine) {
    let gateway = guarded(engine).await;
    for body in [kill_of("shop", &[11212]), kill_by("orders-ro", json!({ "intelligent": true }))] {
        let answer = gateway.kill(&body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
        assert_eq!(gateway.record(answer.kill_id()).await["status"], "refused");
    }
    assert!(gateway.clouds.calls().is_empty());
    // A user's own sessions can be listed, so they are, and the vendor's own way is not taken.
    let answer = gateway.kill(&kill_by("shop", json!({ "match": { "user": "app" } }))).await;
    assert!(outcomes(&answer).iter().all(|(_, outcome)| *outcome == "accepted"), "{}", answer.body);
    let sent = gateway.clouds.calls_for(Action::DasKill).pop().unwrap();
    assert!(String::from_utf8(sent.body).unwrap().contains("process_ids"));
}

async fn without_a_look_nothing_is_sent(engine: Engine) {
    let gateway = guarded(engine).await;
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_426])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_denied"), "{}", answer.body);
    assert_eq!(gateway.record(answer.kill_id()).await["status"], "failed");
    assert!(gateway.clouds.calls_for(Action::TaurusdbKill).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_look_decided_stands_though_it_could_not_be_recorded() {
    let gateway = guarded(Engine::Postgres).await;
    let mut database = PgConnection::connect(&gateway.database_url()).await.unwrap();
    let no_looks = "
        CREATE FUNCTION no_looks() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.kind = 'looked' THEN RAISE EXCEPTION 'no room'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER no_looks BEFORE INSERT ON kill_log FOR EACH ROW EXECUTE FUNCTION no_looks()";
    sqlx::raw_sql(no_looks).execute(&mut database).await.unwrap();
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425, 2_075_426])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "audit_unavailable"), "{}", answer.body);
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!(record["status"], "failed", "{record}");
    let sessions = record["sessions"].as_array().unwrap();
    let told: Vec<_> = sessions.iter().map(|session| (&session["outcome"], &session["detail"])).collect();
    assert_eq!(told, [(&json!("protected"), &json!("users: rep*")), (&json!("failed"), &json!("not sent"))]);
    assert!(gateway.clouds.calls_for(Action::TaurusdbKill).is_empty());
}

//! What the serving role must be able to do: everything that serving is.

use std::time::Duration;

use actix_web::http::StatusCode;
use killgate::{
    audit::Sealing,
    chain::SealKey,
    clock::{Clock, id_at},
};
use serde_json::{Value, json};

use super::{TwoRoles, run};
use crate::support::{
    gateway::{Gateway, kill_of},
    patience::eventually,
};

async fn settled(gateway: &Gateway, id: &str) -> Value {
    let over = async || Some(gateway.record(id).await).filter(|kill| kill["completed_at"].is_string());
    eventually("the kill is settled", over).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_serving_role_serves() {
    let two = TwoRoles::made().await;
    let gateway = two.serve().await;
    assert_eq!(gateway.client().get("/readyz", "").await.status, StatusCode::OK);

    // Recorded, marked, concluded, and its key kept.
    let key = [("Idempotency-Key", "once")];
    let killed = gateway.kill_with(&key, &kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(killed.body["status"], "succeeded", "{}", killed.body);
    let again = gateway.kill_with(&key, &kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&killed.body, Some("true")));
    // Refused, tried out, and of a vendor that counts turns in the record.
    assert_eq!(gateway.kill(&kill_of("nowhere", &[1])).await.code(), "unknown_target");
    let mut preview = kill_of("ledger", &[10_180]);
    preview["dry_run"] = true.into();
    assert_eq!(gateway.kill(&preview).await.body["status"], "preview");
    // Taken by the vendor, settled by looking: a lease that is claimed and ends.
    let open = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(settled(&gateway, open.kill_id()).await["status"], "succeeded", "{}", open.body);

    let listed = gateway.read("/kills?limit=2&session_id=1111").await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1, "{}", listed.body);
    assert_eq!(gateway.read("/kills?reason=INC-4711&limit=3").await.body["items"].as_array().unwrap().len(), 3);
    let counted = gateway.read("/kills/stats?by=status&until=2100-01-01T00:00:00Z&since=2020-01-01T00:00:00Z").await;
    assert_eq!(counted.body["items"].as_array().unwrap().len(), 3, "{}", counted.body);
    let export = gateway.client().get("/kills/export", &Gateway::token("auditor", "kills:export")).await;
    let file = export.body.as_str().unwrap();
    assert!(file.lines().last().unwrap().starts_with("{\"manifest\":"), "{file}");

    let audit = gateway.app.kills().audit();
    let next_year = Clock::system().now() + Duration::from_hours(24 * 400);
    audit.make_months(next_year).await.unwrap();
    assert_eq!(audit.forget_keys(next_year).await, Ok(1));
    let key = SealKey::generate().unwrap();
    assert_eq!(audit.begin_sealing().await, Ok(true));
    while audit.index().await.unwrap() > 0 {}
    let sealing = audit.seal(&key, Clock::system().now(), 100).await;
    assert_eq!(sealing, Ok(Sealing::Sealed { block: 1, entries: 4 }));
    assert_eq!(audit.blocks(0, 10).await.unwrap().len(), 1);
    assert_eq!(audit.removals().await, Ok(vec![]));
    let month = next_year.month() as u8;
    let kills = format!("SELECT FROM kill_log_{}_{month:02}", next_year.year());
    assert_eq!(run(&two.database.url(), &kills).await, Ok(0), "the month was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_serving_role_adds_blocks_and_keeps_its_bookkeeping() {
    let two = TwoRoles::made().await;
    let id = id_at(Clock::system().now());
    run(&two.database.url(), &format!("INSERT INTO unsealed (entry_id) VALUES ('{id}')")).await.unwrap();
    for sql in [
        "SELECT begin_sealing()",
        "UPDATE serving SET tried_at = now()",
        "UPDATE unsealed SET since = now()",
        "DELETE FROM unsealed",
        &format!("INSERT INTO webhook_deliveries (webhook, kill_id, due_at) VALUES ('portal', '{id}', now())"),
        "UPDATE webhook_deliveries SET tries = tries + 1",
        "DELETE FROM webhook_deliveries",
        "SELECT FROM blocks",
        "SELECT FROM removals",
        &format!("INSERT INTO kill_returns VALUES ('{id}', 2, now(), 1, true)"),
        "INSERT INTO verifications VALUES (gen_random_uuid(), now(), 0, 1, 1)",
        "SELECT FROM verifications",
        &format!("INSERT INTO kill_watches VALUES ('{id}', 'here', now(), 0, '{{}}') ON CONFLICT DO NOTHING"),
        "UPDATE kill_watches SET looks = 1",
        "DELETE FROM kill_watches",
    ] {
        assert!(run(&two.url(), sql).await.is_ok(), "{sql}: {:?}", run(&two.url(), sql).await);
    }
    let may = "SELECT 1 / has_table_privilege('blocks', 'INSERT')::integer";
    assert_eq!(run(&two.url(), may).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_not_there_is_told() {
    let two = TwoRoles::made().await;
    let (done, told) = two.migrate("nobody_of_that_name");
    assert!(!done);
    assert!(told.contains("--serving-role") && told.contains("nobody_of_that_name"), "{told}");
    // And what looks like SQL is a name.
    let (done, told) = two.migrate("x; DROP TABLE kills");
    assert!(!done && told.contains("role \"x; DROP TABLE kills\" does not exist"), "{told}");
    assert_eq!(two.serve().await.kill(&json!({})).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

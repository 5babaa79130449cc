//! Who sees what: a caller that may only kill sees its own kills, and aliases that are not for it stay hidden.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::{
    kit::{KILL, READ, assert_problem},
    on_both_engines, on_one_engine,
};
use crate::support::gateway::{Engine, Gateway, Setup, kill_of};

on_both_engines! {
    a_caller_that_may_only_kill_sees_its_own_kills,
    whoever_may_read_sees_everybodys_kills,
    what_a_caller_may_not_use_it_neither_finds_nor_counts_by,
    whatever_else_is_wrong_a_target_that_is_not_for_its_caller_stays_hidden,
}

on_one_engine! {
    only_permitted_aliases_are_listed,
}

async fn kill_as(gateway: &Gateway, caller: &str) -> Value {
    let token = Gateway::token(caller, "sessions:kill");
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    gateway.client().post("/sessions/kill", &token, &[], body).await.body
}

async fn a_caller_that_may_only_kill_sees_its_own_kills(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let (anna, bert) = (kill_as(&gateway, "anna").await, kill_as(&gateway, "bert").await);
    let token = Gateway::token("anna", "sessions:kill");
    for path in ["/kills", "/kills?caller=anna", "/kills?vendor=taurusdb&limit=1"] {
        let listed = gateway.client().get(path, &token).await;
        assert_eq!(listed.body, json!({ "items": [anna], "next_cursor": null }), "{path}");
    }
    let others = gateway.client().get("/kills?caller=bert", &token).await;
    assert_eq!((others.status, &others.body["items"]), (StatusCode::OK, &json!([])));
    let path = |kill: &Value| format!("/kills/{}", kill["id"].as_str().unwrap());
    assert_eq!(gateway.client().get(&path(&anna), &token).await.body, anna);
    let hidden = gateway.client().get(&path(&bert), &token).await;
    assert_problem(&hidden, READ, 404, "not_found");
    let absent = gateway.client().get("/kills/0190a5f0-0000-7000-8000-000000000000", &token).await;
    assert_eq!(hidden.body, absent.body, "nobody can tell that it exists");
}

async fn whoever_may_read_sees_everybodys_kills(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let (anna, bert) = (kill_as(&gateway, "anna").await, kill_as(&gateway, "bert").await);
    for scope in ["kills:read", "kills:read sessions:kill"] {
        let token = Gateway::token("anna", scope);
        let listed = gateway.client().get("/kills", &token).await;
        assert_eq!(listed.body["items"], json!([bert, anna]));
    }
}

async fn only_permitted_aliases_are_listed(engine: Engine) {
    let more = "[targets.kept]\nvendor = 'dcdb'\ninstance_id = 'tdsqlshard-kept'\nshard_id = 's'\n\
                callers = ['dba-*']\n";
    let gateway = Gateway::start_blind_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    let listed = async |caller: &str| {
        let answer = gateway.client().get("/targets", &Gateway::token(caller, "")).await;
        assert_eq!(answer.status, StatusCode::OK);
        let items = answer.body["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["alias"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("dba-ann").await, ["kept", "ledger", "orders-ro", "orders-shard-1", "shop"]);
    assert_eq!(listed("anna").await, ["ledger", "orders-ro", "orders-shard-1", "shop"]);
}

async fn what_a_caller_may_not_use_it_neither_finds_nor_counts_by(engine: Engine) {
    let more = "[targets.kept]\nvendor = 'dcdb'\ninstance_id = 'tdsqlshard-kept'\nshard_id = 's'\n\
                callers = ['dba-*']\n";
    let gateway = Gateway::start_blind_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    let (own, auditor) = (Gateway::token("anna", "sessions:kill"), Gateway::token("auditor", "kills:read"));
    let kept = gateway.client().post("/sessions/kill", &own, &[], kill_of("kept", &[1]).to_string()).await;
    assert_problem(&kept, KILL, 403, "forbidden");
    let shown = kill_as(&gateway, "anna").await;
    for round in ["as they come", "indexed"] {
        for (filter, finds) in [
            ("target=kept", false),
            ("target=k*", false),
            ("vendor=dcdb", false),
            ("account=tencent-test", false),
            ("instance_id=tdsqlshard-kept", false),
            ("vendor=taurusdb", true),
            ("target=orders-*", true),
        ] {
            let listed = gateway.client().get(&format!("/kills?{filter}"), &own).await;
            let expected = if finds { json!([shown]) } else { json!([]) };
            assert_eq!(listed.body["items"], expected, "{round}: {filter}");
            let counted = gateway.client().get(&format!("/kills/stats?{filter}"), &own).await;
            assert_eq!(counted.body["items"].as_array().unwrap().len(), usize::from(finds), "{round}: {filter}");
            let read = gateway.client().get(&format!("/kills?{filter}"), &auditor).await;
            assert_eq!(read.body["items"].as_array().unwrap().len(), 1, "{round}: {filter}");
        }
        for (by, value) in [("vendor", "taurusdb"), ("account", "huawei-test"), ("target", "orders-ro")] {
            let counted = gateway.client().get(&format!("/kills/stats?by={by}"), &own).await;
            let values: Vec<&Value> = counted.body["items"].as_array().unwrap().iter().map(|item| &item[by]).collect();
            assert_eq!(values, [&json!(value), &Value::Null], "{round}: {by}");
        }
        let all = gateway.client().get("/kills?status=refused", &own).await;
        assert_eq!((all.body["items"].as_array().unwrap().len(), &all.body["items"][0]["target"]), (1, &Value::Null));
        gateway.app.kills().audit().index_all(10).await.unwrap();
    }
}

async fn whatever_else_is_wrong_a_target_that_is_not_for_its_caller_stays_hidden(engine: Engine) {
    let more = "[targets.kept]\nvendor = 'dcdb'\ninstance_id = 'tdsqlshard-kept'\nshard_id = 's'\n\
                callers = ['dba-*']\n";
    let gateway = Gateway::start_blind_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    let (own, unscoped) = (Gateway::token("anna", "sessions:kill"), Gateway::token("anna", ""));
    let without_reason = json!({ "target": "kept", "select": { "ids": ["1"] } });
    let with_wrong_ids = json!({ "target": "kept", "select": { "ids": ["x y"] }, "reason": "load" });
    for (token, headers, body) in [
        (&own, vec![], &without_reason),
        (&own, vec![], &with_wrong_ids),
        (&own, vec![("Content-Type", "text/plain")], &without_reason),
        (&own, vec![("Idempotency-Key", "")], &kill_of("kept", &[1])),
        (&unscoped, vec![], &kill_of("kept", &[1])),
    ] {
        let answer = gateway.client().post("/sessions/kill", token, &headers, body.to_string()).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.body);
        assert!(!answer.body.to_string().contains("whole number"), "its vendor is told: {}", answer.body);
        let read = gateway.client().get(&format!("/kills/{}", answer.kill_id()), &own).await;
        assert_eq!((read.status, &read.body["target"]), (StatusCode::OK, &Value::Null), "{headers:?} {}", read.body);
        let found = gateway.client().get("/kills?vendor=dcdb", &own).await;
        assert_eq!(found.body["items"], json!([]), "{headers:?}");
    }
}

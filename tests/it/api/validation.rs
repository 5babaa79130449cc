//! Requests that are understood and cannot be done: the field is named, the attempt is on record, no vendor is asked.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, demo as world};
use serde_json::{Value, json};

use super::{
    kit::{assert_recorded, recorded},
    on_one_engine,
};
use crate::support::gateway::{Engine, Gateway, kill_of, targets};

on_one_engine! {
    an_id_must_be_one_of_its_vendor,
    ids_at_the_edge_of_what_a_vendor_has_are_taken,
    a_selector_never_means_everything,
    a_reason_is_text_of_1_to_1000_characters,
    coordinates_are_held_against_what_the_vendor_needs,
    a_selector_that_a_vendor_lacks_is_refused_with_what_it_has,
    every_attempt_is_on_record_once,
}

/// Asks with one value of a good request changed, and checks that the field is named.
async fn refused(gateway: &Gateway, target: &Value, at: &str, value: Value, field: &str) {
    let mut body = kill_of(target.clone(), &[1]);
    let name = at.trim_start_matches('/');
    let (parent, name) = name.rsplit_once('/').unwrap_or(("", name));
    let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
    let parent = body.pointer_mut(&parent).expect("a member");
    if value.is_null() {
        parent.as_object_mut().unwrap().remove(name);
    } else {
        parent[name] = value;
    }
    let answer = gateway.kill(&body).await;
    assert_eq!(answer.body["field"], field, "{body}: {}", answer.body);
    assert_recorded(gateway, &answer, 422, "invalid", "failed").await;
}

fn full(vendor: &str) -> Value {
    targets().into_iter().find(|(_, target)| target["vendor"] == vendor).expect("a target").1
}

async fn an_id_must_be_one_of_its_vendor(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let long = "x".repeat(65);
    for (alias, bad) in [
        ("ledger", vec![json!(""), json!("a b"), json!("a/b"), json!("ä"), json!(long), json!("1\u{0}")]),
        ("shop", vec![json!(""), json!("x"), json!("-1"), json!(-1), json!("2147483648"), json!("1e3"), json!(" 1")]),
        ("orders-ro", vec![json!("9223372036854775808"), json!(9_223_372_036_854_775_808_u64), json!("+1")]),
        ("orders-shard-1", vec![json!("9223372036854775808"), json!(-1), json!("0x1"), json!("a-b")]),
    ] {
        for id in bad {
            refused(&gateway, &json!(alias), "/select/ids", json!(["1", id]), "select.ids[1]").await;
        }
    }
    assert!(gateway.clouds.calls().is_empty());
}

async fn ids_at_the_edge_of_what_a_vendor_has_are_taken(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for (alias, id) in [
        ("ledger", "0-9_A.z:".repeat(8)),
        ("shop", "0".to_owned()),
        ("shop", "2147483647".to_owned()),
        ("orders-ro", "9223372036854775807".to_owned()),
        ("orders-shard-1", "9223372036854775807".to_owned()),
    ] {
        let body = json!({ "target": alias, "select": { "ids": [id] }, "reason": "edge" });
        let answer = gateway.kill(&body).await;
        assert!(answer.status.is_success(), "{body}: {}", answer.body);
        assert_eq!(answer.body["sessions"][0]["id"], id);
    }
    // What became of one may have been asked already.
    let kills = gateway.clouds.calls().into_iter().filter(|call| call.method != "GET" && call.status == 200);
    assert_eq!(kills.filter(|call| call.action != Some(Action::DcdbFlow)).count(), 5);
}

async fn a_selector_never_means_everything(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let shop = json!("shop");
    let many: Vec<_> = (0..1001).collect();
    for (select, field) in [
        (json!(null), "select"),
        (json!({}), "select"),
        (json!({ "ids": null }), "select"),
        (json!({ "ids": ["1"], "intelligent": true }), "select"),
        (json!({ "ids": ["1"], "match": { "user": "report" } }), "select"),
        (json!({ "ids": [] }), "select.ids"),
        (json!({ "ids": many }), "select.ids"),
        (json!({ "ids": ["7", 7] }), "select.ids[1]"),
        (json!({ "ids": ["7", "8", "007"] }), "select.ids[2]"),
        (json!({ "match": {} }), "select.match"),
        (json!({ "match": { "user": null } }), "select.match"),
        (json!({ "match": { "user": "" } }), "select.match.user"),
        (json!({ "match": { "database": "a\u{0}" } }), "select.match.database"),
        (json!({ "match": { "user": "x".repeat(256) } }), "select.match.user"),
        (json!({ "intelligent": false }), "select.intelligent"),
    ] {
        refused(&gateway, &shop, "/select", select, field).await;
    }
    assert!(gateway.clouds.calls().is_empty());
}

async fn a_reason_is_text_of_1_to_1000_characters(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let target = json!("orders-ro");
    for bad in [json!(null), json!(""), json!("  "), json!("ä".repeat(1001)), json!("a\u{0}b"), json!("a\u{1b}[2Jb")] {
        refused(&gateway, &target, "/reason", bad, "reason").await;
    }
    for bad in
        ["a\u{2028}b", "a\u{2029}b", "a\u{202e}b", "a\u{200b}b", "a\u{2066}b", "\u{feff}a"].map(|text| json!(text))
    {
        refused(&gateway, &target, "/on_behalf_of", bad.clone(), "on_behalf_of").await;
        refused(&gateway, &target, "/target", bad.clone(), "target").await;
        refused(&gateway, &target, "/select", json!({ "match": { "user": bad } }), "select.match.user").await;
        refused(&gateway, &target, "/reason", bad, "reason").await;
    }
    for bad in ["", "a\nb", "a\u{7f}b", "\u{85}", &"x".repeat(256)] {
        refused(&gateway, &target, "/on_behalf_of", json!(bad), "on_behalf_of").await;
    }
    assert!(gateway.clouds.calls().is_empty());
    let mut body = kill_of(target, &[2_075_425]);
    body["reason"] = "ä".repeat(1000).into();
    let answer = gateway.kill(&body).await;
    assert_eq!((answer.status, &answer.body["reason"]), (StatusCode::OK, &body["reason"]), "{}", answer.body);
}

async fn coordinates_are_held_against_what_the_vendor_needs(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let wrong_instance = world::GAUSSDB_INSTANCE;
    for (vendor, at, value, field) in [
        ("dcdb", "shard_serial_id", json!(world::DCDB_SHARD_SERIAL), "shard_id"),
        ("dcdb", "shard_id", json!(null), "shard_id"),
        ("dcdb", "shard_id", json!("a b"), "shard_id"),
        ("dcdb", "instance_id", json!(""), "instance_id"),
        ("dcdb", "component_id", json!("cn_5001"), "component_id"),
        ("dcdb", "account", json!("huawei-test"), "account"),
        ("dcdb", "vendor", json!(null), "vendor"),
        ("dcdb", "vendor", json!("oracle"), "vendor"),
        ("taurusdb", "node_id", json!(null), "node_id"),
        ("taurusdb", "instance_id", json!(wrong_instance), "instance_id"),
        ("gaussdb", "component_id", json!("xn_5001"), "component_id"),
        ("gaussdb", "node_id", json!("../../../../v3/x"), "node_id"),
        ("das", "db_user_id", json!("report"), "db_user_id"),
        ("das", "node_id", json!(world::TAURUSDB_NODE), "node_id"),
    ] {
        refused(&gateway, &full(vendor), &format!("/target/{at}"), value, &format!("target.{field}")).await;
    }
    refused(&gateway, &json!("shop"), "/target", json!(null), "target").await;
    refused(&gateway, &json!("shop"), "/target", json!("sh\u{1b}op"), "target").await;
    refused(&gateway, &full("dcdb"), "/target/account", json!("a\nb"), "target.account").await;
    assert!(gateway.clouds.calls().is_empty());
}

async fn a_selector_that_a_vendor_lacks_is_refused_with_what_it_has(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let by_host = json!({ "match": { "host": "10.0.0.7" } });
    let intelligent = json!({ "intelligent": true });
    let das = json!(["ids", "match with user or database"]);
    for (alias, select, field, supported) in [
        ("ledger", &intelligent, "select.intelligent", json!(["ids", "match"])),
        ("shop", &by_host, "select.match", das.clone()),
        ("shop", &intelligent, "select.intelligent", das),
        ("orders-shard-1", &intelligent, "select.intelligent", json!(["ids", "match"])),
    ] {
        let answer = gateway.kill(&json!({ "target": alias, "select": select, "reason": "load" })).await;
        let record = assert_recorded(&gateway, &answer, 422, "unsupported_selector", "failed").await;
        assert_eq!((&answer.body["field"], &answer.body["supported"]), (&json!(field), &supported));
        assert_eq!((&record["target"]["alias"], &record["select"]), (&json!(alias), &json!(null)));
    }
    assert!(gateway.clouds.calls().is_empty());
}

async fn every_attempt_is_on_record_once(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let bodies = [
        "{".to_owned(),
        " ".repeat(70_000),
        json!({ "target": "shop", "select": { "intelligent": true }, "reason": "a\u{0}b" }).to_string(),
        json!({ "target": "shop", "select": { "intelligent": true }, "reason": "load" }).to_string(),
        json!({ "target": { "vendor": "a\u{0}", "\u{0}": [{ "x": "\u{0}" }] }, "on_behalf_of": "\u{0}" }).to_string(),
        kill_of("orders-ro", &[2_075_425]).to_string(),
    ];
    for (body, before) in bodies.iter().zip(0..) {
        assert_eq!(recorded(&gateway).await, before);
        gateway.client().post("/sessions/kill", &token, &[], body.clone()).await;
    }
    let read_only = Gateway::token("chatops-bot", "kills:read");
    gateway.client().post("/sessions/kill", &read_only, &[], bodies[5].clone()).await;
    assert_eq!(recorded(&gateway).await, bodies.len() + 1);
    let unknown = Gateway::token("chatops-bot", "sessions:kill").replace('.', "!");
    gateway.client().post("/sessions/kill", &unknown, &[], bodies[5].clone()).await;
    gateway.client().post("/sessions/kill", "", &[], bodies[5].clone()).await;
    assert_eq!(recorded(&gateway).await, bodies.len() + 1, "whoever is not known is not on record");
}

//! What was not understood of a request is null in answers, whatever was sent; what was sent is in the record.

use killgate::sandbox::demo as world;
use serde_json::{Value, json};

use super::{kit::recorded, on_both_engines};
use crate::support::gateway::{Engine, Gateway, Setup, kill_of};

on_both_engines! {
    what_was_not_understood_is_null_on_every_page,
    a_target_that_there_is_stays_whatever_else_is_wrong,
    whoever_may_not_use_a_target_learns_nothing_of_it,
}

/// Whether that is a target, or nothing.
fn is_typed(target: &Value) -> bool {
    let has = |name: &str| target[name].is_string();
    target.is_null() || has("vendor") && has("account") && target.as_object().unwrap().values().all(Value::is_string)
}

async fn what_was_not_understood_is_null_on_every_page(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let odd = [
        json!({ "target": [1, { "x": 2 }], "select": "all", "reason": "load" }),
        json!({ "target": { "vendor": 7, "alias": { "x": [] } }, "select": { "ids": [{}] }, "reason": "load" }),
        json!({ "target": "nowhere", "select": { "ids": ["1"] }, "reason": "load" }),
        json!({ "target": true, "select": [["1"]], "reason": "load" }),
        json!({ "target": { "vendor": "dcdb" }, "select": { "match": { "user": 7 } }, "reason": "load" }),
    ];
    for body in &odd {
        let answer = gateway.kill(body).await;
        let record = gateway.record(answer.kill_id()).await;
        assert_eq!((&record["target"], &record["select"]), (&Value::Null, &Value::Null), "{body}");
        assert_eq!(record["reason"], "load");
    }
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let page = gateway.read("/kills").await;
    let items = page.body["items"].as_array().unwrap();
    assert_eq!(items.len(), odd.len() + 1);
    assert!(items.iter().all(|kill| is_typed(&kill["target"])), "{}", page.body);
    assert!(items.iter().all(|kill| kill["select"].is_null() || kill["select"]["ids"].is_array()), "{}", page.body);
    // What was sent is on record, to the last member.
    let lines = gateway.client().get("/kills/export", &Gateway::token("auditor", "kills:export")).await.body;
    for (body, line) in odd.iter().rev().zip(lines.as_str().unwrap().lines().skip(1)) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["target"], &line["select"]), (&Value::Null, &Value::Null));
        assert_eq!(serde_json::from_str::<Value>(line["request"].as_str().unwrap()).unwrap(), *body);
    }
}

async fn a_target_that_there_is_stays_whatever_else_is_wrong(engine: Engine) {
    let more = "[callers]\nkills_per_second = 1\nburst = 3\n".to_owned();
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let mut spoilt = kill_of("orders-ro", &[1]);
    spoilt["reason"] = "".into();
    let mut unknown = kill_of("orders-ro", &[1]);
    unknown["reson"] = "load".into();
    let in_full = json!({
        "vendor": "taurusdb", "instance_id": world::TAURUSDB_INSTANCE, "node_id": world::TAURUSDB_NODE,
    });
    let mut by_coordinates = kill_of(in_full, &[1]);
    by_coordinates["select"] = json!({});
    for body in [spoilt, unknown, by_coordinates] {
        let answer = gateway.kill(&body).await;
        let record = gateway.record(answer.kill_id()).await;
        assert_eq!(record["target"]["instance_id"], world::TAURUSDB_INSTANCE, "{record}");
        assert_eq!((&record["target"]["vendor"], &record["select"]), (&json!("taurusdb"), &Value::Null), "{record}");
    }
    // An order that is turned away was understood as a whole.
    let (mut limited, mut asked) = (gateway.kill(&kill_of("orders-ro", &[1])).await, 4);
    while limited.code() != "rate_limited" {
        (limited, asked) = (gateway.kill(&kill_of("orders-ro", &[1])).await, asked + 1);
    }
    let record = gateway.record(limited.kill_id()).await;
    assert_eq!((&record["target"]["alias"], &record["select"]), (&json!("orders-ro"), &json!({ "ids": ["1"] })));
    assert_eq!(recorded(&gateway).await, asked);
}

async fn whoever_may_not_use_a_target_learns_nothing_of_it(engine: Engine) {
    let more = "[targets.kept]\nvendor = 'dcdb'\ninstance_id = 'tdsqlshard-kept'\nshard_id = 's'\n\
                callers = ['dba-*']\n";
    let gateway = Gateway::start_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    let token = Gateway::token("anna", "sessions:kill");
    let answer = gateway.client().post("/sessions/kill", &token, &[], kill_of("kept", &[1]).to_string()).await;
    assert_eq!((answer.code(), &answer.body["field"]), ("forbidden", &json!("target")));
    let path = format!("/kills/{}", answer.kill_id());
    for path in [path.as_str(), "/kills"] {
        let own = gateway.client().get(path, &token).await.body.to_string();
        assert!(own.contains(answer.kill_id()) && !own.contains("tdsqlshard-kept"), "{own}");
    }
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!(record["target"]["instance_id"], "tdsqlshard-kept", "whoever reads the record sees it");
    let found = gateway.read("/kills?target=kept&status=refused").await;
    assert_eq!(found.body["items"].as_array().map(Vec::len), Some(1));
}

use serde_json::{Value, json};

use super::*;

fn path(what: &str) -> String {
    format!("{}/{what}", demo::GAUSSDB_INSTANCE)
}

fn body(ids: &Value) -> Value {
    json!({"node_id": demo::GAUSSDB_NODE, "component_id": demo::GAUSSDB_COMPONENT, "session_ids": ids})
}

fn place() -> Place {
    Place::gaussdb(demo::GAUSSDB_INSTANCE, demo::GAUSSDB_NODE, demo::GAUSSDB_COMPONENT)
}

#[tokio::test]
async fn a_kill_reports_the_ids_that_were_there() {
    let sandbox = demo_world();
    let got = Ask::huawei("POST", &path("kill-session"), &body(&json!(["10180", "99", "10182"]))).send(&sandbox).await;
    assert_eq!((got.status, got.json()), (200, json!({"session_ids": ["10180", "10182"], "success": true})));
    assert!(got.headers.value("x-request-id").is_some());
    let alive = sandbox.clouds.alive(&place());
    assert!(!alive.contains(&10180) && alive.contains(&10181) && !alive.contains(&10182));
    let call = sandbox.clouds.calls_for(Action::GaussdbKill).remove(0);
    assert_eq!((call.verdict, call.killed.as_slice()), (Verdict::Served, &[10180, 10182][..]));
    assert!(!format!("{call:?}").contains("Signature="));
}

#[tokio::test]
async fn a_list_has_text_members_and_filters() {
    let sandbox = demo_world();
    let mut wanted = json!({"node_id": demo::GAUSSDB_NODE, "component_id": demo::GAUSSDB_COMPONENT});
    let got = Ask::huawei("POST", &path("real-time-session"), &wanted).send(&sandbox).await.json();
    assert_eq!(got["sessions"].as_array().unwrap().len(), 10);
    assert_eq!(got["sessions"][0]["session_id"], "10180");
    assert!(got["sessions"][0]["query_runtime"].is_string() && got["sessions"][0]["query_start"].is_i64());
    wanted["query_info"] = json!({"user_name": "repl"});
    let got = Ask::huawei("POST", &path("real-time-session"), &wanted).send(&sandbox).await.json();
    assert_eq!(got["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn wrong_parameters_have_their_documented_codes() {
    let sandbox = demo_world();
    let with = |name: &str, value: Value| {
        let mut body = body(&json!(["10180"]));
        body[name] = value;
        Ask::huawei("POST", &path("kill-session"), &body)
    };
    let cases = [
        (with("session_ids", json!([10180])), 400, "DBS.280001"),
        (with("session_ids", json!([])), 400, "DBS.280001"),
        (with("session_ids", Value::Null), 400, "DBS.280001"),
        (with("surprise", json!(1)), 400, "DBS.280001"),
        (with("node_id", json!("short")), 400, "DBS.280404"),
        (with("node_id", json!("0".repeat(32) + "no14")), 400, "DBS.212005"),
        (with("component_id", json!("xx")), 400, "DBS.280667"),
        (with("component_id", json!("cn_9999")), 400, "DBS.280676"),
        (with("instance_id", json!("other")), 400, "DBS.280404"),
        (Ask::huawei("POST", "tooshort/kill-session", &body(&json!(["1"]))), 400, "DBS.280404"),
        (Ask::huawei("POST", &format!("{}in14/kill-session", "0".repeat(32)), &body(&json!(["1"]))), 404, "DBS.200002"),
        (Ask::huawei("POST", &path("kill-session"), &Value::Null), 400, "DBS.200006"),
        (Ask::huawei("DELETE", &path("kill-session"), &body(&json!(["1"]))), 404, "APIGW.0101"),
        (Ask::huawei("POST", &path("kill-sessions"), &body(&json!(["1"]))), 404, "APIGW.0101"),
    ];
    for (ask, status, code) in cases {
        ask.refused(&sandbox, status, code).await;
    }
    let text = Ask::huawei_unsigned("POST", &path("kill-session"), &body(&json!(["10180"])));
    let text = text.header("content-type", "text/plain").sign_huawei(crate::clock::Clock::system().now());
    text.refused(&sandbox, 400, "APIGW.0106").await;
    assert_eq!(sandbox.clouds.alive(&place()).len(), 10);
}

#[tokio::test]
async fn lies_are_told() {
    let sandbox = demo_world();
    let clouds = &sandbox.clouds;
    let kill = |id: &str| Ask::huawei("POST", &path("kill-session"), &body(&json!([id, "10189"])));

    clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Lie(Lie::SaysKilledButAlive));
    assert_eq!(kill("10180").send(&sandbox).await.json(), json!({"session_ids": ["10180", "10189"], "success": true}));
    assert!(clouds.alive(&place()).contains(&10180));

    clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Lie(Lie::LeavesOut));
    assert_eq!(kill("10180").send(&sandbox).await.json(), json!({"session_ids": ["10189"], "success": true}));
    assert!(!clouds.alive(&place()).contains(&10180));

    clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Lie(Lie::KillsButSaysFailed));
    assert_eq!(kill("10181").send(&sandbox).await.json(), json!({"session_ids": [], "success": false}));
    assert!(!clouds.alive(&place()).contains(&10181));
}

use serde_json::json;

use super::*;

fn put(body: &serde_json::Value) -> Ask {
    Ask::new("PUT", "/_sandbox/behaviour", &body.to_string())
}

#[tokio::test]
async fn a_sandbox_is_steered_over_http() {
    let sandbox = demo_world();
    let flow = || Ask::tencent("DescribeFlow", &json!({"FlowId": 1}));
    let wanted = json!({"action": "dcdb_flow", "behaviour": "deny", "times": 1});
    assert_eq!(put(&wanted).send(&sandbox).await.status, 204);
    flow().refused(&sandbox, 200, "UnauthorizedOperation.PermissionDenied").await;
    flow().refused(&sandbox, 200, "InvalidParameter.FlowNotFound").await;

    let calls = Ask::new("GET", "/_sandbox/calls", "").send(&sandbox).await.json();
    let verdicts: Vec<_> = calls["items"].as_array().unwrap().iter().map(|call| &call["verdict"]).collect();
    assert_eq!(verdicts, ["denied", "refused"]);
    assert!(!calls.to_string().contains("Signature"));

    let sessions = Ask::new("GET", "/_sandbox/sessions", "").send(&sandbox).await.json();
    assert_eq!(sessions["items"][0]["place"]["instance_id"], demo::GAUSSDB_INSTANCE);
    assert_eq!(sessions["items"][0]["sessions"][0]["id"], 10180);

    assert_eq!(Ask::new("POST", "/_sandbox/reset", "").send(&sandbox).await.status, 204);
    assert!(sandbox.clouds.calls().is_empty());
    assert_eq!(put(&json!({"action": "dcdb_flow", "behaviour": "explode"})).send(&sandbox).await.status, 400);
}

#[test]
fn every_behaviour_reads_as_json() {
    for text in [
        r#""hang""#,
        r#""drop_before""#,
        r#"{"slow_ms":250}"#,
        r#"{"status":{"status":503,"body":"x","content_type":"text/plain","headers":{"retry-after":"1"}}}"#,
        r#"{"lie":"says_killed_but_alive"}"#,
        r#"{"lie":{"slow_death_ms":500}}"#,
        r#"{"lie":{"das_body":"empty_string"}}"#,
        r#"{"lie":{"cut_lists":2}}"#,
    ] {
        let behaviour: Behaviour = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&behaviour).unwrap(), text);
    }
}

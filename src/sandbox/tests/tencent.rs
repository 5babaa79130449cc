use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;

fn kill(ids: &[u64]) -> Value {
    json!({"InstanceId": demo::DCDB_INSTANCE, "ShardId": demo::DCDB_SHARD, "SessionId": ids})
}

fn place() -> Place {
    Place::dcdb(demo::DCDB_INSTANCE, demo::DCDB_SHARD, demo::DCDB_NODE)
}

async fn flow(sandbox: &Sandbox, task: &Value) -> Value {
    Ask::tencent("DescribeFlow", &json!({"FlowId": task})).send(sandbox).await.json()["Response"].clone()
}

async fn killed(sandbox: &Sandbox, ids: &[u64]) -> Value {
    Ask::tencent("KillSession", &kill(ids)).send(sandbox).await.json()["Response"]["TaskId"].clone()
}

#[tokio::test]
async fn a_flow_runs_and_then_succeeds() {
    let sandbox = demo_world();
    sandbox.clouds.set_flow_time(Duration::from_hours(1));
    let running = killed(&sandbox, &[1111]).await;
    assert!(running.as_i64().unwrap() > 1 << 53);
    assert_eq!(flow(&sandbox, &running).await["Status"], 2);
    assert!(sandbox.clouds.alive(&place()).contains(&1111));

    sandbox.clouds.set_flow_time(Duration::ZERO);
    let done = killed(&sandbox, &[1112, 77]).await;
    assert_eq!(flow(&sandbox, &done).await["Status"], 0);
    assert!(!sandbox.clouds.alive(&place()).contains(&1112));
    assert_eq!(sandbox.clouds.calls_for(Action::DcdbKill)[1].killed, [1112]);
}

#[tokio::test]
async fn flows_fail_run_on_and_are_forgotten() {
    let sandbox = demo_world();
    sandbox.clouds.set_flow_time(Duration::ZERO);
    let lie = |lie| sandbox.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::Lie(lie));
    lie(Lie::FlowFails);
    let task = killed(&sandbox, &[1111]).await;
    assert_eq!(flow(&sandbox, &task).await["Status"], 1);
    lie(Lie::FlowRuns(Duration::from_hours(1)));
    let task = killed(&sandbox, &[1111]).await;
    assert_eq!(flow(&sandbox, &task).await["Status"], 2);
    lie(Lie::FlowForgotten);
    let task = killed(&sandbox, &[1112]).await;
    assert_eq!(flow(&sandbox, &task).await["Error"]["Code"], "InvalidParameter.FlowNotFound");
    let alive = sandbox.clouds.alive(&place());
    assert!(alive.contains(&1111) && !alive.contains(&1112));
}

#[tokio::test]
async fn the_node_named_is_the_one_meant() {
    let sandbox = demo_world();
    sandbox.clouds.set_flow_time(Duration::ZERO);
    let standby = Place::dcdb(demo::DCDB_INSTANCE, demo::DCDB_SHARD, demo::DCDB_STANDBY_NODE);
    let mut body =
        json!({"InstanceId": demo::DCDB_INSTANCE, "ShardSerialId": demo::DCDB_SHARD_SERIAL, "SessionId": [1311]});
    Ask::tencent("KillSession", &body).send(&sandbox).await;
    assert!(sandbox.clouds.alive(&standby).contains(&1311));
    body["NodeId"] = json!(demo::DCDB_STANDBY_NODE);
    Ask::tencent("KillSession", &body).send(&sandbox).await;
    assert!(!sandbox.clouds.alive(&standby).contains(&1311));
}

#[tokio::test]
async fn a_list_filters_and_pages() {
    let sandbox = demo_world();
    let mut wanted = json!({"InstanceId": demo::DCDB_INSTANCE, "ShardId": demo::DCDB_SHARD, "NodeId": demo::DCDB_NODE});
    let list = async |wanted: &Value| {
        let got = Ask::tencent("DescribeProcessList", wanted).send(&sandbox).await.json();
        got["Response"]["ProcessList"].as_array().unwrap().clone()
    };
    assert_eq!(list(&wanted).await.len(), 12);
    wanted["Limit"] = json!(5);
    wanted["Offset"] = json!(10);
    assert_eq!(list(&wanted).await.len(), 2);
    wanted["Offset"] = json!(0);
    wanted["Filters"] = json!([{"Name": "user", "Values": ["repl", "etl"]}, {"Name": "time", "Values": ["500"]}]);
    let rows = list(&wanted).await;
    assert!(rows.iter().all(|row| row["User"] == "repl" && row["Id"].is_u64() && row["Time"].is_u64()));
    wanted["Filters"] = json!([{"Name": "colour", "Values": ["red"]}]);
    Ask::tencent("DescribeProcessList", &wanted).refused(&sandbox, 200, "InvalidParameter").await;
}

#[tokio::test]
async fn wrong_parameters_have_their_documented_codes_inside_200() {
    let sandbox = demo_world();
    let with = |name: &str, value: Value| {
        let mut body = kill(&[1111]);
        body[name] = value;
        Ask::tencent("KillSession", &body)
    };
    let now = Clock::system().now();
    let cases = [
        (with("SessionId", json!(["1111"])), "InvalidParameter"),
        (with("SessionId", json!([])), "InvalidParameter"),
        (with("ShardSerialId", json!(demo::DCDB_SHARD_SERIAL)), "InvalidParameter"),
        (with("NodeId", json!("node-other")), "InvalidParameter"),
        (with("Surprise", json!(1)), "UnknownParameter"),
        (with("InstanceId", json!("tdsqlshard-other")), "InvalidParameter.InstanceNotFound"),
        (with("ShardId", json!("shard-other")), "InvalidParameterValue.ShardNotExist"),
        (Ask::tencent("KillSession", &json!({"SessionId": [1]})), "MissingParameter"),
        (Ask::tencent("DescribeFlow", &json!({"FlowId": "1"})), "InvalidParameter"),
        (Ask::tencent("DescribeFlow", &json!({"FlowId": 1})), "InvalidParameter.FlowNotFound"),
        (Ask::tencent("Reboot", &json!({})), "InvalidAction"),
        (Ask::tencent("KillSession", &json!({})).header("x-tc-version", "2017-01-01"), "NoSuchVersion"),
        (Ask::tencent("KillSession", &json!({})).without("x-tc-action"), "MissingParameter"),
        (Ask::new("GET", "/", "").header("x-tc-action", "KillSession"), "UnsupportedProtocol"),
        (
            Ask::tencent_unsigned("KillSession", &kill(&[1])).header("content-type", "text/plain").sign_tencent(now),
            "InvalidParameter",
        ),
    ];
    for (ask, code) in cases {
        let got = ask.refused(&sandbox, 200, code).await;
        assert!(got.json()["Response"]["RequestId"].is_string());
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_good_signature() {
    let sandbox = demo_world();
    let now = Clock::system().now();
    let minute = time::Duration::minutes(1);
    let ask = || Ask::tencent_unsigned("KillSession", &kill(&[1111]));
    let (id, key) = (demo::TENCENT_SECRET_ID, demo::TENCENT_SECRET_KEY);
    let cases = [
        (ask(), "AuthFailure.InvalidAuthorization"),
        (ask().sign_tencent_with(now, id, key, "cvm"), "AuthFailure.InvalidAuthorization"),
        (ask().sign_tencent_with(now, "AKIDother", key, "dcdb"), "AuthFailure.SecretIdNotFound"),
        (ask().sign_tencent_with(now, id, "wrong", "dcdb"), "AuthFailure.SignatureFailure"),
        (ask().sign_tencent(now).body("{}"), "AuthFailure.SignatureFailure"),
        (ask().sign_tencent(now - minute * 6), "AuthFailure.SignatureExpire"),
        (ask().sign_tencent(now).header("x-tc-token", "unknown"), "AuthFailure.TokenFailure"),
    ];
    for (ask, code) in cases {
        ask.refused(&sandbox, 200, code).await;
    }
    assert!(sandbox.clouds.calls().iter().all(|call| call.verdict == Verdict::Denied));
}

#[tokio::test]
async fn the_call_after_the_limit_is_throttled_and_counted() {
    let clouds = Clouds::demo();
    clouds.limit_dcdb(3);
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), clouds).unwrap();
    let asks = [(); 4].map(|()| Ask::tencent("DescribeFlow", &json!({"FlowId": 1})));
    let calls = asks.iter().map(|ask| ask.send(&sandbox));
    let codes: Vec<_> = futures_util::future::join_all(calls).await.iter().map(Got::code).collect();
    assert_eq!(codes.iter().filter(|code| *code == "RequestLimitExceeded").count(), 1);
    assert_eq!(sandbox.clouds.violations(), 1);
    // Another action has a budget of its own.
    assert!(killed(&sandbox, &[1111]).await.is_i64());

    sandbox.clouds.limit_huawei(Some(0));
    let path = format!("{}/nodes/{}/processes", demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE);
    Ask::huawei("GET", &path, &Value::Null).refused(&sandbox, 429, "APIGW.0308").await;
}

#[tokio::test]
async fn the_twenty_first_call_in_a_second_is_one_too_many() {
    let sandbox = demo_world();
    let asks = [(); 21].map(|()| Ask::tencent("DescribeFlow", &json!({"FlowId": 1})));
    let calls = asks.iter().map(|ask| ask.send(&sandbox));
    let got = futures_util::future::join_all(calls).await;
    let calls = sandbox.clouds.calls();
    let took = calls[20].arrived - calls[0].arrived;
    assert!(took < Duration::from_secs(1), "this machine is too slow for the test: {took:?}");
    assert_eq!(got.iter().filter(|got| got.code() == "RequestLimitExceeded").count(), 1);
    assert_eq!(calls[20].verdict, Verdict::Throttled);
}

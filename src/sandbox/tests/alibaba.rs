use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::clock::Clock;

const LIST: &str = "GetMySQLAllSessionAsync";
const KILL: &str = "CreateKillInstanceSessionTaskWithMaintainUser";
const TASK: &str = "GetKillInstanceSessionTaskResult";

fn of(more: &str) -> String {
    format!("InstanceId={}{more}", demo::ALIDAS_INSTANCE)
}

#[tokio::test]
async fn a_task_tells_a_reason_for_each_session_once_it_has_ended() {
    let sandbox = demo_world();
    sandbox.clouds.set_flow_time(Duration::ZERO);
    let query = of("&KillAllSessions=false&SessionIds=%5B71212%2C7%5D");
    let made = Ask::alibaba(KILL, &query, "a").send(&sandbox).await.json();
    let task = made["Data"].as_str().unwrap();
    let told = Ask::alibaba(TASK, &of(&format!("&TaskId={task}")), "b").send(&sandbox).await.json();
    let reasons: Vec<_> = told["Data"]["Result"].as_array().unwrap().iter().map(|row| &row["Reason"]).collect();
    assert_eq!(reasons, ["SESSION_KILLED", "SESSION_EXPIRED"], "{told}");
    assert!(!sandbox.clouds.alive(&Place::of("alidas", demo::ALIDAS_INSTANCE)).contains(&71212));
}

#[tokio::test]
async fn a_list_is_there_at_the_second_call() {
    let sandbox = demo_world();
    let begun = Ask::alibaba(LIST, &of(""), "a").send(&sandbox).await.json();
    assert_eq!(begun["Data"]["IsFinish"], false);
    let result = begun["Data"]["ResultId"].as_str().unwrap();
    let there = Ask::alibaba(LIST, &of(&format!("&ResultId={result}")), "b").send(&sandbox).await.json();
    let data = &there["Data"]["SessionData"];
    assert_eq!(
        (&data["TotalSessionCount"], data["SessionList"].as_array().map(Vec::len)),
        (&Value::from(12), Some(12))
    );
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let sandbox = demo_world();
    let node = format!("&NodeId={}", demo::ALIDAS_NODE);
    for (nonce, (action, query, status, code)) in [
        (LIST, String::new(), 400, "MissingParameter"),
        (LIST, of(&node), 400, "InvalidParams"),
        (LIST, format!("InstanceId={}", demo::ALIDAS_CLUSTER), 400, "InvalidParams"),
        (LIST, "InstanceId=rm-other".to_owned(), 200, "-1001001"),
        (LIST, of("&Surprise=1"), 400, "InvalidParams"),
        (LIST, of("&ResultId=other"), 200, "-1006002"),
        (KILL, of("&SessionIds=%5B1%5D"), 400, "MissingParameter"),
        (KILL, of("&KillAllSessions=true&SessionIds=%5B1%5D"), 400, "InvalidParams"),
        (KILL, of("&KillAllSessions=false&SessionIds=1"), 400, "InvalidParams"),
        (KILL, of("&KillAllSessions=false&SessionIds=%5B%5D"), 400, "InvalidParams"),
        (TASK, of("&TaskId=other"), 200, "-1006002"),
        ("Reboot", of(""), 404, "InvalidAction.NotFound"),
    ]
    .into_iter()
    .enumerate()
    {
        Ask::alibaba(action, &query, &nonce.to_string()).refused(&sandbox, status, code).await;
    }
    Ask::alibaba(LIST, &of(""), "v")
        .header("x-acs-version", "2019-01-01")
        .refused(&sandbox, 400, "InvalidVersion")
        .await;
}

#[tokio::test]
async fn nobody_comes_in_without_a_good_signature_and_a_new_nonce() {
    let sandbox = demo_world();
    let ask = |nonce: &str| Ask::alibaba(LIST, &of(""), nonce);
    let (id, key) = (demo::ALIBABA_ACCESS_KEY_ID, demo::ALIBABA_ACCESS_KEY_SECRET);
    let now = Clock::system().now();
    assert_eq!(ask("once").send(&sandbox).await.status, 200);
    for (ask, status, code) in [
        (ask("once"), 400, "SignatureNonceUsed"),
        (ask("a").without("authorization"), 400, "IncompleteSignature"),
        (ask("b").header("x-acs-signature-nonce", "c"), 400, "SignatureDoesNotMatch"),
        (ask("d").sign_alibaba_with(now, "d", "LTAIother", key), 404, "InvalidAccessKeyId.NotFound"),
        (ask("e").sign_alibaba_with(now, "e", id, "wrong"), 400, "SignatureDoesNotMatch"),
        (ask("f").sign_alibaba_with(now - Duration::from_mins(16), "f", id, key), 400, "InvalidTimeStamp.Expired"),
        (ask("g").body("{}"), 400, "SignatureDoesNotMatch"),
        (ask("h").header("x-acs-security-token", "unknown"), 400, "InvalidSecurityToken.Expired"),
    ] {
        ask.refused(&sandbox, status, code).await;
    }
}

//! What a vendor's answer means: the problem, the record, the outcome of each session, and how often it was asked.

use std::time::Duration;

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::sandbox::{Action, Behaviour, Canned, demo as world};
use serde_json::{Value, json};

use super::{
    kit::{IMPATIENT, assert_recorded},
    on_one_engine,
};
use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of, targets},
    patience::eventually,
};

on_one_engine! {
    huaweis_answers_are_told_as_what_they_mean,
    tencents_answers_are_told_as_what_they_mean,
    throttling_in_any_clothing_is_rate_limited_and_says_when_to_come_again,
    a_lost_answer_is_unknown_and_nothing_is_sent_again,
    a_throttled_call_is_sent_again_within_the_callers_time,
    after_a_call_that_fails_no_further_one_is_sent,
    a_vendor_that_cannot_be_reached_has_killed_nothing,
    a_target_that_the_vendor_does_not_know_is_not_found,
    too_many_calls_wait_for_no_turn_and_are_told_when_to_come_again,
}

/// Kills one session while the vendor answers in that way; checks problem, record and outcome, and that the
/// vendor was asked once.
async fn told(gateway: &Gateway, action: Action, behaviour: Behaviour, expected: (u16, &str, &str)) -> Value {
    let (status, code, kill) = expected;
    let alias = match action {
        Action::GaussdbKill => "ledger",
        Action::DasKill => "shop",
        Action::DcdbKill => "orders-shard-1",
        _ => "orders-ro",
    };
    let asked = gateway.clouds.calls_for(action).len();
    gateway.clouds.misbehave_times(1, action, behaviour);
    let answer = eventually("the vendor is asked", async || {
        let answer = gateway.kill(&kill_of(alias, &[11_212])).await;
        // Whoever has little patience may be told on a slow machine that its turn came too late.
        let asked_nobody = answer.code() == "rate_limited" && gateway.clouds.calls_for(action).len() == asked;
        (!asked_nobody).then_some(answer)
    })
    .await;
    let record = assert_recorded(gateway, &answer, status, code, kill).await;
    let outcome = if kill == "unknown" { "unknown" } else { "failed" };
    assert_eq!((&record["sessions"][0]["id"], &record["sessions"][0]["outcome"]), (&json!("11212"), &json!(outcome)));
    assert_eq!(gateway.clouds.calls_for(action).len(), asked + 1, "{record}");
    assert_eq!(answer.header("retry-after").is_some(), status == 429, "{record}");
    record
}

fn error(status: u16, code: &str) -> Behaviour {
    let body = json!({ "error_code": code, "error_msg": "the vendor's own words" });
    Behaviour::Status(Canned::json(status, &body.to_string()))
}

async fn huaweis_answers_are_told_as_what_they_mean(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let not_found = (404, "target_not_found", "failed");
    let busy = (409, "target_busy", "failed");
    let rejected = (422, "upstream_rejected", "failed");
    let denied = (502, "upstream_denied", "failed");
    let refused = (502, "upstream_failed", "failed");
    let unknown = (504, "outcome_unknown", "unknown");
    for (action, status, code, expected) in [
        (Action::GaussdbKill, 404, "DBS.200002", not_found),
        (Action::GaussdbKill, 400, "DBS.280676", not_found),
        (Action::TaurusdbKill, 400, "DBS.212005", not_found),
        (Action::GaussdbKill, 409, "DBS.200086", busy),
        (Action::TaurusdbKill, 400, "DBS.06020003", busy),
        (Action::TaurusdbKill, 409, "DBS.06020003", busy),
        (Action::GaussdbKill, 400, "DBS.280001", rejected),
        (Action::DasKill, 400, "DAS.200112", rejected),
        (Action::GaussdbKill, 400, "DBS.216003", denied),
        (Action::TaurusdbKill, 403, "DBS.200010", denied),
        (Action::DasKill, 401, "APIGW.0301", denied),
        (Action::DasKill, 404, "APIGW.0101", refused),
        (Action::DasKill, 500, "DAS.200001", unknown),
        (Action::TaurusdbKill, 502, "", unknown),
        (Action::GaussdbKill, 503, "DBS.200005", unknown),
        (Action::GaussdbKill, 504, "APIGW.0201", unknown),
    ] {
        let record = told(&gateway, action, error(status, code), expected).await;
        assert_eq!(record["upstream"]["http_status"], status, "{record}");
        if !code.is_empty() {
            assert_eq!(record["upstream"]["error_code"], code, "{record}");
        }
        let says = if expected == denied { Value::Null } else { json!("the vendor's own words") };
        assert!(code.is_empty() || record["upstream"]["error_message"] == says, "{record}");
    }
    let failed = Behaviour::Status(Canned::json(200, r#"{ "session_ids": [], "success": false }"#));
    told(&gateway, Action::GaussdbKill, failed, refused).await;
}

async fn tencents_answers_are_told_as_what_they_mean(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for (code, expected) in [
        ("InvalidParameter.InstanceNotFound", (404, "target_not_found", "failed")),
        ("ResourceNotFound", (404, "target_not_found", "failed")),
        ("ResourceUnavailable.InstanceStatusAbnormal", (409, "target_busy", "failed")),
        ("InvalidParameter", (422, "upstream_rejected", "failed")),
        ("MissingParameter", (422, "upstream_rejected", "failed")),
        ("AuthFailure.SignatureFailure", (502, "upstream_denied", "failed")),
        ("UnauthorizedOperation.PermissionDenied", (502, "upstream_denied", "failed")),
        ("UnsupportedRegion", (502, "upstream_failed", "failed")),
        ("InternalError", (504, "outcome_unknown", "unknown")),
        ("InternalError.OssOperationFailed", (504, "outcome_unknown", "unknown")),
        ("FailedOperation.OssOperationFailed", (504, "outcome_unknown", "unknown")),
        ("SomethingNew", (504, "outcome_unknown", "unknown")),
    ] {
        let request_id = format!("req-{code}");
        let body = json!({ "Response": { "Error": { "Code": code, "Message": "words" }, "RequestId": request_id } });
        let behaviour = Behaviour::Status(Canned::json(200, &body.to_string()));
        let record = told(&gateway, Action::DcdbKill, behaviour, expected).await;
        let upstream = &record["upstream"];
        assert_eq!((&upstream["error_code"], &upstream["request_id"]), (&json!(code), &json!(request_id)), "{record}");
    }
}

async fn throttling_in_any_clothing_is_rate_limited_and_says_when_to_come_again(engine: Engine) {
    // A gateway each: one that was throttled leaves the vendor alone for a moment.
    let impatient =
        async || Gateway::start_blind_with(engine, Setup { more: IMPATIENT.to_owned(), ..Setup::default() }).await;
    let code = json!({ "Response": { "Error": { "Code": "LimitExceeded.TooFrequentlyCalled", "Message": "" } } });
    for (action, behaviour) in [
        (Action::GaussdbKill, Behaviour::Throttle),
        (Action::DasKill, Behaviour::Throttle),
        (Action::TaurusdbKill, Behaviour::Throttle),
        (Action::DcdbKill, Behaviour::Throttle),
        (Action::GaussdbKill, error(429, "")),
        (Action::DcdbKill, Behaviour::Status(Canned::json(200, &code.to_string()))),
    ] {
        told(&impatient().await, action, behaviour, (429, "upstream_throttled", "rate_limited")).await;
    }

    // Longer than anybody waits.
    let gateway = Gateway::start_blind(engine).await;
    let mut canned = Canned::json(429, "{}");
    canned.headers.insert("Retry-After".to_owned(), "70".to_owned());
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Status(canned));
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(answer.header("retry-after"), Some("70"), "{}", answer.body);
}

async fn a_lost_answer_is_unknown_and_nothing_is_sent_again(engine: Engine) {
    // There is time enough to send again, if anybody did.
    let more = "[vendors.dcdb]\ntimeout_ms = 2000\n".to_owned();
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    let unknown = (504, "outcome_unknown", "unknown");
    for behaviour in [
        Behaviour::Drop,
        Behaviour::DropBefore,
        Behaviour::Truncate,
        Behaviour::Garble,
        Behaviour::Status(Canned::json(200, "{}")),
        Behaviour::Status(Canned::json(200, "")),
    ] {
        told(&gateway, Action::TaurusdbKill, behaviour.clone(), unknown).await;
        told(&gateway, Action::DcdbKill, behaviour, unknown).await;
    }
    told(&gateway, Action::DcdbKill, Behaviour::Hang, unknown).await;
    told(&gateway, Action::GaussdbKill, Behaviour::Garble, unknown).await;
    told(&gateway, Action::DasKill, Behaviour::Garble, unknown).await;
}

async fn after_a_call_that_fails_no_further_one_is_sent(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Slow(Duration::from_millis(1)));
    gateway.clouds.misbehave(Action::TaurusdbKill, Behaviour::Deny);
    let mut ids: Vec<u64> = (1..=45).collect();
    ids[0] = 2_075_425;
    let answer = gateway.kill(&kill_of("orders-ro", &ids)).await;
    let sessions = answer.body["sessions"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 2, "{}", answer.body);
    assert_eq!((sessions.len(), &sessions[0]["outcome"]), (45, &json!("killed")));
    assert_eq!((&sessions[44]["outcome"], &sessions[44]["detail"]), (&json!("failed"), &json!("not sent")));
}

async fn a_throttled_call_is_sent_again_within_the_callers_time(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    gateway.clouds.misbehave_times(2, Action::TaurusdbKill, Behaviour::Throttle);
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["sessions"], json!([{ "id": "2075425", "outcome": "killed" }]));
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 3);
    assert_eq!(gateway.read("/kills").await.body["items"].as_array().unwrap().len(), 1, "one kill, one record");
}

async fn a_vendor_that_cannot_be_reached_has_killed_nothing(engine: Engine) {
    // Nobody listens on port 1.
    let more = String::from(
        "[accounts.tencent-test]\ncloud = 'tencent'\nregion = 'r'\nsecret_id = 'i'\nsecret_key = 'k'\n\
         endpoints.dcdb = 'http://127.0.0.1:1'\n",
    );
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    let answer = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    let record = assert_recorded(&gateway, &answer, 502, "upstream_failed", "failed").await;
    assert_eq!(record["upstream"]["http_status"], Value::Null);
    assert!(gateway.clouds.calls().is_empty());
}

async fn a_target_that_the_vendor_does_not_know_is_not_found(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let elsewhere = "00000000000000000000000000000000";
    for (vendor, coordinate, value) in [
        ("gaussdb", "instance_id", format!("{elsewhere}in14")),
        ("gaussdb", "node_id", format!("{elsewhere}no14")),
        ("gaussdb", "component_id", "cn_5002".to_owned()),
        ("taurusdb", "instance_id", format!("{elsewhere}in07")),
        ("taurusdb", "node_id", format!("{elsewhere}no07")),
        ("dcdb", "instance_id", "tdsqlshard-nowhere".to_owned()),
        ("dcdb", "shard_id", "shard-nowhere".to_owned()),
    ] {
        let (_, mut target) = targets().into_iter().find(|(_, target)| target["vendor"] == vendor).unwrap();
        target[coordinate] = value.into();
        let answer = gateway.kill(&kill_of(target, &[1])).await;
        assert_recorded(&gateway, &answer, 404, "target_not_found", "failed").await;
    }
    assert_eq!(gateway.clouds.calls().len(), 7, "each was asked for once");
    assert!(gateway.clouds.calls().iter().all(|call| call.killed.is_empty()));
}

async fn too_many_calls_wait_for_no_turn_and_are_told_when_to_come_again(engine: Engine) {
    let more = "[vendors.dcdb]\nrequests_per_second = 1\nmax_wait_ms = 0\n".to_owned();
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    // Kills for places that are named in two ways share no call.
    let on_node = json!({ "vendor": "dcdb", "instance_id": world::DCDB_INSTANCE, "shard_id": world::DCDB_SHARD,
        "node_id": world::DCDB_NODE });
    let asked = [kill_of("orders-shard-1", &[1111]), kill_of(on_node, &[1112])];
    let mut done = 0;
    // On a slow machine the second may come when there is a turn again.
    let limited = eventually("one finds no turn", async || {
        let answers = join_all(asked.iter().map(|body| gateway.kill(body))).await;
        let (accepted, mut limited): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == StatusCode::ACCEPTED);
        done += accepted.len();
        limited.pop()
    });
    let limited = limited.await;
    let record = assert_recorded(&gateway, &limited, 429, "rate_limited", "rate_limited").await;
    assert!(limited.header("retry-after").is_some_and(|wait| (1..=2).contains(&wait.parse::<u32>().unwrap())));
    assert_eq!(record["sessions"][0]["outcome"], "failed");
    assert!(gateway.clouds.calls_for(Action::DcdbKill).len() <= done);
}

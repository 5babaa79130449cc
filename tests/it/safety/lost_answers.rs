//! Rule 2: once bytes may have left, a kill is not sent again, whatever became of its answer.

use killgate::sandbox::{Action, Behaviour, Canned};

use super::{IMPATIENT, Operation, assert_unknown, let_nobody_look, on_one_engine, operations};
use crate::support::gateway::{Engine, Gateway, Setup, kill_of};

on_one_engine! {
    a_lost_answer_of_gaussdb_is_unknown_and_not_repeated,
    a_lost_answer_of_das_is_unknown_and_not_repeated,
    a_lost_answer_of_taurusdb_is_unknown_and_not_repeated,
    a_lost_answer_of_an_intelligent_kill_is_unknown_and_not_repeated,
    a_lost_answer_of_dcdb_is_unknown_and_not_repeated,
    after_a_lost_part_no_further_one_is_sent,
}

async fn a_lost_answer_of_gaussdb_is_unknown_and_not_repeated(engine: Engine) {
    every_loss(engine, Action::GaussdbKill).await;
}

async fn a_lost_answer_of_das_is_unknown_and_not_repeated(engine: Engine) {
    every_loss(engine, Action::DasKill).await;
}

async fn a_lost_answer_of_taurusdb_is_unknown_and_not_repeated(engine: Engine) {
    every_loss(engine, Action::TaurusdbKill).await;
}

async fn a_lost_answer_of_an_intelligent_kill_is_unknown_and_not_repeated(engine: Engine) {
    every_loss(engine, Action::IntelligentKill).await;
}

async fn a_lost_answer_of_dcdb_is_unknown_and_not_repeated(engine: Engine) {
    every_loss(engine, Action::DcdbKill).await;
}

async fn every_loss(engine: Engine, action: Action) {
    let operation: Operation = operations().into_iter().find(|operation| operation.action == action).unwrap();
    // Who waits for a call that hangs has little time; the others have enough on any machine.
    let hanging = Gateway::start_blind_with(engine, Setup { more: IMPATIENT.into(), ..Setup::default() }).await;
    let_nobody_look(&hanging.clouds);
    hanging.clouds.misbehave_times(1, action, Behaviour::Hang);
    let answer = hanging.kill(&operation.body).await;
    assert_unknown(&hanging, &answer, &operation, "it hangs").await;

    let gateway = Gateway::start_blind(engine).await;
    let_nobody_look(&gateway.clouds);
    let losses = losses(action);
    for (before, behaviour) in losses.iter().enumerate() {
        gateway.clouds.misbehave_times(1, action, behaviour.clone());
        let answer = gateway.kill(&operation.body).await;
        assert_unknown(&gateway, &answer, &operation, &format!("{behaviour:?}")).await;
        assert_eq!(gateway.clouds.calls_for(action).len(), 2 * before + 1, "{behaviour:?}");
        // An endpoint that only fails would be left alone for a while.
        let answer = gateway.kill(&operation.body).await;
        assert!(answer.status.is_success(), "{behaviour:?}: {}", answer.body);
    }
    // The first of them had a while to be repeated in.
    assert_eq!(gateway.clouds.calls_for(action).len(), 2 * losses.len());
    assert_eq!(hanging.clouds.calls_for(action).len(), 1);
}

/// Whatever may have let bytes through.
fn losses(action: Action) -> Vec<Behaviour> {
    let status = |status, body: &str| Behaviour::Status(Canned::json(status, body));
    let mut losses = vec![
        Behaviour::Drop,
        Behaviour::DropBefore,
        Behaviour::Truncate,
        Behaviour::Garble,
        status(500, r#"{"error_code":"DBS.200005","error_msg":"Server failure."}"#),
        status(502, "<html>Bad Gateway</html>"),
        status(503, ""),
        status(504, "{}"),
    ];
    if action == Action::DcdbKill {
        let error = |code: &str| {
            let body = serde_json::json!({ "Response": { "Error": { "Code": code, "Message": "?" }, "RequestId": "{request_id}" } });
            status(200, &body.to_string())
        };
        losses.extend(
            ["InternalError", "InternalError.DbOperationFailed", "FailedOperation.OssOperationFailed"].map(error),
        );
        losses.extend([status(200, "{}"), status(200, r#"{"Response":{"RequestId":"{request_id}"}}"#)]);
    }
    losses
}

async fn after_a_lost_part_no_further_one_is_sent(engine: Engine) {
    let more = "[vendors.taurusdb]\nmax_ids_per_call = 2".to_owned();
    let gateway = Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await;
    gateway.clouds.misbehave_times(
        1,
        Action::TaurusdbKill,
        Behaviour::Status(Canned::json(200, r#"{"processes_killed":[2075425],"processes_not_found":[2075426]}"#)),
    );
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Drop);
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425, 2_075_426, 2_075_427, 2_075_428, 2_075_429])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
    let kill = gateway.record(answer.kill_id()).await;
    let outcomes: Vec<_> = kill["sessions"].as_array().unwrap().iter().map(|session| &session["outcome"]).collect();
    assert_eq!(outcomes, ["killed", "not_found", "unknown", "unknown", "failed"], "{kill}");
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 2);
}

//! Refusals that are in a vendor's tables, and answers that only look like one.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Canned, Place, demo as world};
use serde_json::json;

use super::{Engine, Gateway, Setup, recorded_as};
use crate::support::gateway::kill_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_400_that_nobody_knows_is_unknown_and_settled_by_the_list() {
    let quick = "[vendors.gaussdb]\ntimeout_ms = 1500\n".to_owned();
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { more: quick, ..Setup::default() }).await;
    let body = json!({ "error_code": "DBS.212015", "error_msg": "Partial success." }).to_string();
    gateway.clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Status(Canned::json(400, &body)));
    let answer = gateway.kill(&kill_of("ledger", &[10_180])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
    let ledger = Place::gaussdb(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT);
    gateway.clouds.remove(&ledger, 10_180);
    assert_eq!(gateway.record(answer.kill_id()).await["upstream"]["error_code"], "DBS.212015");
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(kill["sessions"][0]["detail"], "seen gone", "{kill}");
    assert_eq!(gateway.clouds.calls_for(Action::GaussdbKill).len(), 1, "it is not sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_without_a_right_does_not_stop_the_others() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    for code in ["InternalError.InstanceOperatePermissionError", "FailedOperation.UserNotAuthed"] {
        for id in 1111..1117 {
            // Every answer has an id of its own.
            let error = json!({ "Code": code, "Message": "no" });
            let body = json!({ "Response": { "Error": error, "RequestId": format!("{code}-{id}") } }).to_string();
            gateway.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::Status(Canned::json(200, &body)));
            let answer = gateway.kill(&kill_of("orders-shard-1", &[id])).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_denied"), "{}", answer.body);
        }
    }
    let answer = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
}

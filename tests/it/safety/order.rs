//! Rule 1: the record comes before the call.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use killgate::sandbox::{Behaviour, Received};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{on_both_engines, operations, records};
use crate::support::gateway::{Engine, Gateway, kill_of};

on_both_engines! {
    a_kill_can_be_read_while_its_call_is_at_the_vendor,
    under_load_no_call_arrives_before_its_record,
}

async fn a_kill_can_be_read_while_its_call_is_at_the_vendor(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for operation in operations() {
        gateway.clouds.misbehave_times(1, operation.action, Behaviour::Hold);
        let look = async {
            gateway.clouds.arrived(operation.action, 1).await;
            let seen = records(&gateway).await.remove(0);
            gateway.clouds.behave();
            seen
        };
        let (answer, seen) = tokio::join!(gateway.kill(&operation.body), look);
        assert_eq!(seen["id"], answer.kill_id(), "{:?}", operation.action);
        assert_eq!((&seen["status"], &seen["completed_at"]), (&"pending".into(), &Value::Null), "{seen}");
    }
}

async fn under_load_no_call_arrives_before_its_record(engine: Engine) {
    const KILLS: u64 = 40;
    let gateway = Gateway::start_blind(engine).await;
    let done = AtomicBool::new(false);
    let targets = ["ledger", "shop", "orders-ro"];
    // However fast the gateway is, some calls are under way while rows are read.
    for operation in operations() {
        gateway.clouds.misbehave(operation.action, Behaviour::Hold);
    }
    let kills = async {
        let bodies = (0..KILLS).flat_map(|n| targets.map(|target| kill_of(target, &[500_000 + n])));
        let gateway = &gateway;
        let answers = join_all(bodies.map(|body| async move { gateway.kill(&body).await })).await;
        done.store(true, Ordering::Relaxed);
        answers
    };
    // Calls are read before rows, so a call without a row shows whenever it is looked.
    let watch = async {
        let mut looks = 0;
        while !done.load(Ordering::Relaxed) {
            let calls = gateway.clouds.calls();
            let rows = records(&gateway).await;
            all_have_their_records(&calls, &rows);
            looks += 1;
            if looks == 2 {
                gateway.clouds.behave();
            }
        }
        looks
    };
    let (answers, looks) = tokio::join!(kills, watch);
    assert!(looks > 1);
    assert!(answers.iter().all(|answer| answer.status.as_u16() < 500));
    let (calls, rows) = (gateway.clouds.calls(), records(&gateway).await);
    assert_eq!(rows.len() as u64, KILLS * 3);
    all_have_their_records(&calls, &rows);
    let sent: usize = calls.iter().map(|call| ids_in(&call.body).len()).sum();
    assert_eq!(sent as u64, KILLS * 3);
}

/// Each id of a kill call, which several kills may share, has a record that is older than the call.
fn all_have_their_records(calls: &[Received], rows: &[Value]) {
    for (call, id) in calls.iter().flat_map(|call| ids_in(&call.body).into_iter().map(move |id| (call, id))) {
        let about = |row: &&Value| row["target"]["vendor"] == call.vendor && row["select"]["ids"][0] == id;
        let row = rows.iter().find(about).unwrap_or_else(|| panic!("a call and no record of {id}"));
        let requested = OffsetDateTime::parse(row["requested_at"].as_str().unwrap(), &Rfc3339).unwrap();
        assert!(requested <= call.at, "{row} and a call at {}", call.at);
    }
}

/// The ids in a kill call, whatever the vendor calls them.
pub(super) fn ids_in(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let ids =
        ["session_ids", "process_ids", "processes", "SessionId"].iter().find_map(|name| body.get(name)?.as_array());
    ids.unwrap().iter().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect()
}

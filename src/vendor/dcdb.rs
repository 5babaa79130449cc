//! Tencent DCDB (TDSQL for MySQL): `KillSession`, an asynchronous task on one shard.
//!
//! Success means that the task was taken. What became of it is asked with `DescribeFlow`: that its flow id is
//! the task's id is our inference, so a flow that cannot be found leaves the outcome unknown, not failed.

use std::time::Duration;

use actix_web::http::Method;
use serde_json::{Map, Value, json};

use crate::domain::{Order, Outcome, VendorName};

use super::{
    Answer, Call, Capabilities, Cloud, Coordinate, Effect, Fault, IdRule, Known, Need, Reply, SelectorKind, Stage,
    Step, Vendor, json, tencent,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Dcdb;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Tencent Cloud DCDB (TDSQL for MySQL)",
    cloud: Cloud::Tencent,
    coordinates: &COORDINATES,
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids],
    // No maximum is published.
    max_ids_per_call: 100,
    // "20 requests per second" for each action, on every page of this product.
    requests_per_second: 20,
    counted_per_action: true,
    can_look: true,
};

/// Names of this product are 1 to 64 letters, digits, `-` or `_`; no prefix can be relied on.
const fn coordinate(name: &'static str, need: Need, example: &'static str) -> Coordinate {
    let expected = "1 to 64 letters, digits, `-` or `_`";
    let check = |text: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=64).contains(&text.len()) && text.bytes().all(fine)
    };
    Coordinate { name, need, expected, example, check }
}

static COORDINATES: [Coordinate; 4] = [
    coordinate("instance_id", Need::Required, "tdsqlshard-2gk4nxyz"),
    coordinate("shard_id", Need::OneOf("shard"), "shard-ljilb4st"),
    coordinate("shard_serial_id", Need::OneOf("shard"), "set_1468379419_1"),
    coordinate("node_id", Need::Optional, "681390887981"),
];

/// The coordinates as `KillSession` spells them.
const PARAMETERS: [(&str, &str); 4] = [
    ("instance_id", "InstanceId"),
    ("shard_id", "ShardId"),
    ("shard_serial_id", "ShardSerialId"),
    ("node_id", "NodeId"),
];

const FLOW_PAUSE: Duration = Duration::from_millis(500);

impl Vendor for Dcdb {
    fn name(&self) -> VendorName {
        VendorName("dcdb")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        let ids: Vec<i64> = order.selector.ids().iter().filter_map(|id| id.0.parse().ok()).collect();
        let mut body = Map::new();
        for (coordinate, parameter) in PARAMETERS {
            if let Some(value) = order.target.coordinates.get(coordinate) {
                body.insert(parameter.to_owned(), json!(value));
            }
        }
        body.insert("SessionId".to_owned(), json!(ids));
        action("kill", Effect::Kill, "KillSession", &body.into())
    }

    fn look(&self, _: &Order, known: &Known) -> Option<Call> {
        let flow: i64 = known.task_id.as_ref()?.parse().ok()?;
        Some(action("describe_flow", Effect::Read, "DescribeFlow", &json!({ "FlowId": flow })))
    }

    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault> {
        let response = match (tencent::answer(reply), reply.stage) {
            (Err(fault), "describe_flow") if fault.code.as_deref() == Some("InvalidParameter.FlowNotFound") => {
                return Ok(Step::Done(Answer::all(order, Outcome::Unknown).request(fault.request_id)));
            }
            (response, _) => response?,
        };
        let unreadable = || Fault { request_id: json::text(&response["RequestId"]), ..Fault::unreadable(reply) };
        let answer = if reply.stage == "describe_flow" {
            match response["Status"].as_i64().ok_or_else(unreadable)? {
                0 => Answer::all(order, Outcome::Killed),
                1 => Answer::all(order, Outcome::Failed),
                2 => {
                    let again = self.look(order, known).ok_or_else(unreadable)?;
                    return Ok(Step::Wait { pause: FLOW_PAUSE, then: again });
                }
                _ => Answer::all(order, Outcome::Unknown),
            }
        } else {
            let task = response.get("TaskId").and_then(json::id).ok_or_else(unreadable)?;
            Answer::all(order, Outcome::Accepted).task(task)
        };
        Ok(Step::Done(answer.request(json::text(&response["RequestId"]))))
    }
}

/// One action of API 3.0: POST with JSON, the action named in a header.
fn action(stage: Stage, effect: Effect, name: &'static str, body: &Value) -> Call {
    let mut call = Call::json(stage, effect, name, Method::POST, "/".to_owned(), body);
    call.headers = vec![("x-tc-action", name), ("x-tc-version", "2018-04-11")];
    call
}

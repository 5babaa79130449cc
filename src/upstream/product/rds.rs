//! Huawei RDS for MySQL: `PUT …/instances/{id}/ops/intelligent-kill-session`, where the database picks.
//!
//! The documented success is an empty 200, without a task: what was ended is in the history only, by time, where the runs
//! of others are too. So what was taken stays accepted. Sessions by id are ended by [`dasrds`](super::dasrds) and
//! [`das`](super::das), which list them as well: this product has no list. A cluster edition wants a node for its
//! statistic, which no kill takes; there a preview shows nobody.

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::domain::{Order, Outcome, SessionId, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, IdRule, Known, ListFilter, Own, Page, Reply,
    SelectorKind, Step, Takes, Vendor, cloud::huawei, json,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Rds;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Huawei Cloud RDS for MySQL, intelligent kill",
    by: By::Cloud(&huawei::Huawei),
    coordinates: &[INSTANCE],
    tells_apart: &["instance_id"],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Intelligent],
    max_ids_per_call: 100,
    most_ids_per_call: None,
    requests_per_second: 5,
    // "60 calls a minute for each user" in the guide of RDS (2026).
    requests_per_minute: Some(60),
    counting: Counting::Together,
    can_follow_up: false,
    listing: None,
    // None of its kills is looked at, so none spares anybody.
    own: Own { users: &[], commands: &[], applications: &[] },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

const INSTANCE: Coordinate = huawei::required(
    "instance_id",
    "36 letters or digits ending in `in01`",
    "da304cd5bbb944de828759bc7be3d3fein01",
    |text| huawei::tagged(text, "in01"),
);

const ACTION: &str = "intelligent-kill-session";

impl Vendor for Rds {
    fn name(&self) -> VendorName {
        VendorName("rds")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        // Without it the database may limit statements like those for good.
        let body = json!({ "auto_add_sql_limit_rule": false });
        Call::json("intelligent_kill", Effect::Kill, ACTION, Method::PUT, path(&order.target, ""), &body)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None // No task.
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        huawei::answer(reply, |http| {
            let is_empty = http.body.trim_ascii().is_empty() || is_nothing(&json::read(&http.body)?);
            let answer = || Answer::all(order, Outcome::Accepted).request(http.request_id.clone());
            is_empty.then(|| Ok(Step::Done(answer())))
        })
    }

    fn list(&self, _: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        None
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        Err(Fault::unreadable(reply))
    }

    fn pick(&self, target: &Target) -> Option<Call> {
        Some(Call::get("intelligent_preview", "intelligent-kill-session/statistic", path(target, "/statistic"), vec![]))
    }

    fn picked(&self, reply: &Reply) -> Result<Vec<SessionId>, Fault> {
        huawei::picked(reply)
    }
}

fn path(target: &Target, rest: &str) -> String {
    let instance = target.coordinate("instance_id");
    format!("/v3/{{project_id}}/instances/{instance}/ops/intelligent-kill-session{rest}")
}

/// Whether a success says nothing: the vendor's definition of it has the members of an error, and no value for them.
fn is_nothing(body: &Value) -> bool {
    match body {
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.values().all(|value| value.is_null() || value == ""),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

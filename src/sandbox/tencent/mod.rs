//! The simulated Tencent Cloud: one path, the operation in a header, and errors inside HTTP 200.

mod access;
mod dcdb;
mod places;

use serde_json::json;
use uuid::Uuid;

use super::{
    Action, Lie,
    answer::{Answer, Refusal},
    cloud::Cloud,
    fields::Bad,
    handler::Route,
    limits::Count,
    log::Incoming,
    state::State,
};

const VERSION: &str = "2018-04-11";

/// See the module.
#[derive(Debug)]
pub(super) struct Tencent;

impl Cloud for Tencent {
    fn name(&self) -> &'static str {
        "tencent"
    }

    fn is_for(&self, path: &str) -> bool {
        path == "/"
    }

    fn route<'i>(&self, incoming: &'i Incoming) -> Result<Route<'i>, Refusal> {
        route(incoming)
    }

    fn admit(&self, state: &mut State, incoming: &Incoming, _: &Route) -> Result<(), Refusal> {
        access::admit(state, incoming)
    }

    /// Each action by itself.
    fn counts(&self, state: &State, action: Action) -> Count {
        Count { with: format!("{action:?}"), limit: Some(state.limits.dcdb) }
    }

    fn work(
        &self,
        state: &mut State,
        incoming: &Incoming,
        route: &Route,
        lie: Option<&Lie>,
    ) -> Result<Answer, Refusal> {
        work(state, incoming, route.action, lie)
    }

    fn over_the_limit(&self, seen: usize, limit: usize) -> Refusal {
        let text =
            format!("Your current request times equals to `{seen}` in a second, which exceeds the limit `{limit}`.");
        Refusal::throttled(200, "RequestLimitExceeded", text)
    }

    fn throttled(&self, _: Action) -> Refusal {
        self.over_the_limit(21, 20)
    }

    fn denied(&self, _: Action, text: &str) -> Refusal {
        Refusal::denied(200, "UnauthorizedOperation.PermissionDenied", text)
    }

    fn write(&self, refusal: &Refusal, _: Option<Action>, request_id: Uuid) -> Answer {
        let body = json!({"Response": {
            "Error": {"Code": refusal.code, "Message": refusal.message},
            "RequestId": request_id,
        }});
        Answer::json(refusal.status, &body)
    }
}

/// Recognises an operation by its headers.
fn route(incoming: &Incoming) -> Result<Route<'_>, Refusal> {
    if incoming.method != "POST" {
        return Err(refuse("UnsupportedProtocol", "Only POST with a JSON body is supported."));
    }
    let action = match incoming.headers.value("x-tc-action") {
        Some("KillSession") => Action::DcdbKill,
        Some("DescribeFlow") => Action::DcdbFlow,
        Some("DescribeProcessList") => Action::DcdbProcesses,
        Some("DescribeDCDBInstanceDetail") => Action::DcdbDetail,
        Some(other) => return Err(refuse("InvalidAction", format!("The action {other} is invalid or not found."))),
        None => return Err(refuse("MissingParameter", "The header X-TC-Action is missing.")),
    };
    match incoming.headers.value("x-tc-version") {
        Some(VERSION) => Ok(Route { action, project: "", instance: "", node: "" }),
        Some(other) => Err(refuse("NoSuchVersion", format!("The version {other} does not exist."))),
        None => Err(refuse("MissingParameter", "The header X-TC-Version is missing.")),
    }
}

fn work(state: &mut State, incoming: &Incoming, action: Action, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    let kind = incoming.headers.value("content-type").unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(refuse("InvalidParameter", "The Content-Type must be application/json."));
    }
    if !incoming.query.is_empty() {
        return Err(refuse("UnknownParameter", "Parameters of a POST belong in its body."));
    }
    match action {
        Action::DcdbProcesses if state.international => {
            Err(refuse("InvalidAction", "The action DescribeProcessList is invalid or not found."))
        }
        Action::DcdbKill => dcdb::kill(state, incoming, lie),
        Action::DcdbFlow => dcdb::flow(state, incoming, lie),
        Action::DcdbProcesses => dcdb::processes(state, incoming, lie),
        Action::DcdbDetail => places::detail(state, incoming),
        _ => Err(refuse("InvalidAction", "The action is invalid or not found.")),
    }
}

fn refuse(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(200, code, message)
}

fn bad(bad: Bad) -> Refusal {
    let code = match &bad {
        Bad::Missing(_) => "MissingParameter",
        Bad::Unknown(_) => "UnknownParameter",
        Bad::Empty | Bad::NotAnObject | Bad::Wrong { .. } => "InvalidParameter",
    };
    refuse(code, bad.into_message())
}

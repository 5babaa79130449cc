//! The simulated Tencent Cloud: one path, the operation in a header, and errors inside HTTP 200.

mod access;
mod dcdb;
mod places;

pub(super) use access::admit;

use super::{
    Action, Lie,
    answer::{Answer, Refusal},
    desk::Route,
    fields::Bad,
    log::Incoming,
    state::State,
};

const VERSION: &str = "2018-04-11";

/// Recognises an operation by its headers.
pub(super) fn route(incoming: &Incoming) -> Result<Route<'_>, Refusal> {
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

pub(super) fn work(
    state: &mut State,
    incoming: &Incoming,
    action: Action,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
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

//! The simulated Alibaba Cloud: RPC on one path, the action in a header and its parameters in the query.

mod access;
mod das;

use serde_json::json;
use uuid::Uuid;

use super::{
    Action, Lie,
    answer::{Answer, Refusal},
    cloud::Cloud,
    fields::{Bad, Query},
    handler::Route,
    limits::Count,
    log::Incoming,
    state::State,
};

const VERSION: &str = "2020-01-16";

/// See the module.
#[derive(Debug)]
pub(super) struct Alibaba;

impl Cloud for Alibaba {
    fn name(&self) -> &'static str {
        "alibaba"
    }

    fn is_for(&self, incoming: &Incoming) -> bool {
        incoming.path == "/" && incoming.headers.value("x-acs-action").is_some()
    }

    fn route<'i>(&self, incoming: &'i Incoming) -> Result<Route<'i>, Refusal> {
        if incoming.method != "POST" {
            return Err(Refusal::new(400, "UnsupportedHTTPMethod", "This http method is not supported."));
        }
        let action = match incoming.headers.value("x-acs-action").unwrap_or_default() {
            "CreateKillInstanceSessionTaskWithMaintainUser" => Action::AlidasKill,
            "GetKillInstanceSessionTaskResult" => Action::AlidasTask,
            "GetMySQLAllSessionAsync" => Action::AlidasSessions,
            _ => return Err(Refusal::new(404, "InvalidAction.NotFound", "Specified api is not found.")),
        };
        if incoming.headers.value("x-acs-version") != Some(VERSION) {
            return Err(Refusal::new(400, "InvalidVersion", "Specified parameter Version is not valid."));
        }
        Ok(Route { action, project: "", instance: "", node: "" })
    }

    fn admit(&self, state: &mut State, incoming: &Incoming, _: &Route) -> Result<(), Refusal> {
        access::admit(state, incoming)
    }

    /// Each action by itself.
    fn counts(&self, _: &State, action: Action) -> Count {
        Count { with: format!("{action:?}"), limit: None }
    }

    fn work(
        &self,
        state: &mut State,
        incoming: &Incoming,
        route: &Route,
        lie: Option<&Lie>,
    ) -> Result<Answer, Refusal> {
        if !incoming.body.is_empty() {
            return Err(Refusal::new(400, "InvalidParameter", "The parameters of this action belong in its query."));
        }
        let query = Query::parse(&incoming.query);
        match route.action {
            Action::AlidasKill => das::kill(state, incoming, query, lie),
            Action::AlidasTask => das::task(state, incoming, query, lie),
            _ => das::sessions(state, incoming, query, lie),
        }
    }

    fn over_the_limit(&self, _: usize, _: usize) -> Refusal {
        Refusal::throttled(400, "Throttling.User", "Request was denied due to user flow control.")
    }

    fn throttled(&self, _: Action) -> Refusal {
        self.over_the_limit(0, 0)
    }

    fn denied(&self, _: Action, text: &str) -> Refusal {
        Refusal::denied(403, "Forbidden.RAM", text)
    }

    fn write(&self, refusal: &Refusal, _: Option<Action>, request_id: Uuid) -> Answer {
        let Refusal { status, code, message, .. } = refusal;
        let request_id = request_id.to_string().to_ascii_uppercase();
        // Faults of the service itself come with 200.
        let body = match status {
            200 => {
                json!({"Code": code, "Message": message, "RequestId": request_id, "Data": null, "Success": false})
            }
            _ => json!({"Code": code, "Message": message, "RequestId": request_id, "HostId": "das.aliyuncs.com"}),
        };
        Answer::json(*status, &body)
    }
}

fn bad(bad: Bad) -> Refusal {
    let code = if matches!(bad, Bad::Missing(_)) { "MissingParameter" } else { "InvalidParams" };
    Refusal::new(400, code, bad.into_message())
}

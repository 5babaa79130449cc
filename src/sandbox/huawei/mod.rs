//! The simulated Huawei Cloud: the gateway in front, and what its products have in common.

mod access;
mod das;
mod dasrds;
mod gaussdb;
mod iam;
mod intelligent;
mod machine;
mod rds;
mod taurusdb;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Action, Lie,
    answer::{Answer, Refusal},
    behaviour::{cut, death, reconnect, recycle},
    cloud::Cloud,
    fields::Bad,
    handler::Route,
    limits::Count,
    log::Incoming,
    state::State,
};

const NAME: &str = "huawei";

/// See the module.
#[derive(Debug)]
pub(super) struct Huawei;

impl Cloud for Huawei {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_for(&self, incoming: &Incoming) -> bool {
        incoming.path != "/"
    }

    fn route<'i>(&self, incoming: &'i Incoming) -> Result<Route<'i>, Refusal> {
        route(incoming)
    }

    fn admit(&self, state: &mut State, incoming: &Incoming, route: &Route) -> Result<(), Refusal> {
        access::admit(state, incoming, route)
    }

    /// All calls to one product together.
    fn counts(&self, state: &State, action: Action) -> Count {
        let limit = state.limits.huawei.filter(|_| action.vendor() != "ecs");
        Count { with: action.vendor().to_owned(), limit }
    }

    fn work(
        &self,
        state: &mut State,
        incoming: &Incoming,
        route: &Route,
        lie: Option<&Lie>,
    ) -> Result<Answer, Refusal> {
        work(state, incoming, route, lie)
    }

    fn over_the_limit(&self, _: usize, limit: usize) -> Refusal {
        let text = format!(
            "The throttling threshold has been reached: policy user over ratelimit,limit:{limit},time:1 second"
        );
        Refusal::throttled(429, "APIGW.0308", text)
    }

    fn throttled(&self, action: Action) -> Refusal {
        match action.vendor() {
            "das" | "dasrds" => Refusal::throttled(400, "DAS.200002", "Too many requests. Try again later."),
            "iam" => Refusal::throttled(429, "IAM.0012", "Request throttled: 60 calls per 60 seconds."),
            _ => self.over_the_limit(21, 20),
        }
    }

    fn denied(&self, action: Action, text: &str) -> Refusal {
        match action.vendor() {
            "gaussdb" => Refusal::denied(400, "DBS.216003", text),
            "taurusdb" => Refusal::denied(403, "DBS.200010", text),
            "iam" => Refusal::denied(403, "IAM.0002", text),
            _ => Refusal::denied(403, "APIGW.0302", text),
        }
    }

    fn write(&self, refusal: &Refusal, action: Option<Action>, request_id: Uuid) -> Answer {
        let Refusal { status, code, message, .. } = refusal;
        let request_id = request_id.simple().to_string();
        // The metadata service has neither codes nor ids.
        if action.is_some_and(|action| action.vendor() == "ecs") {
            return Answer::bytes(*status, Some("text/plain"), message.clone().into_bytes());
        }
        // The Keystone paths of IAM have a form of their own; its limiter does not use it.
        let body = if action == Some(Action::IamToken) && *status != 429 {
            json!({"error": {"code": status, "message": message, "title": title(*status)}})
        } else if code.starts_with("APIGW.") {
            json!({"error_msg": message, "error_code": code, "request_id": request_id})
        } else {
            json!({"error_code": code, "error_msg": message})
        };
        Answer::json(*status, &body).header("x-request-id", request_id)
    }
}

const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        _ => "Error",
    }
}

/// Recognises an operation by method and path, as exactly as the gateway does.
fn route(incoming: &Incoming) -> Result<Route<'_>, Refusal> {
    let pieces: Vec<&str> = incoming.path.split('/').skip(1).collect();
    let method = incoming.method.as_str();
    let (action, project, instance, node) = match (method, pieces.as_slice()) {
        ("POST", ["v3", "auth", "tokens"]) => (Action::IamToken, "", "", ""),
        ("POST", ["v3.0", "OS-CREDENTIAL", "securitytokens"]) => (Action::IamKeys, "", "", ""),
        ("PUT", ["meta-data", "latest", "api", "token"]) => (Action::EcsToken, "", "", ""),
        ("GET", ["openstack", "latest", "securitykey"]) => (Action::EcsKeys, "", "", ""),
        (_, ["v3", project, "instances", instance, rest @ ..]) => {
            let (action, node) = match (method, rest) {
                ("POST", ["kill-session"]) => (Action::GaussdbKill, ""),
                ("POST", ["real-time-session"]) => (Action::GaussdbSessions, ""),
                ("DELETE", ["process"]) => (Action::DasKill, ""),
                ("GET", ["processes"]) => (Action::DasProcesses, ""),
                ("POST", ["kill-process"]) => (Action::DasrdsKill, ""),
                ("GET", ["query-process-list"] | ["pg", "query-process-list"]) => (Action::DasrdsProcesses, ""),
                ("GET", []) => (Action::TaurusdbInstance, ""),
                ("DELETE", ["nodes", node, "processes"]) => (Action::TaurusdbKill, *node),
                ("GET", ["nodes", node, "processes"]) => (Action::TaurusdbProcesses, *node),
                ("POST", ["intelligent-kill-session"]) => (Action::IntelligentKill, ""),
                ("GET", ["intelligent-kill-session", "statistic"]) => (Action::IntelligentPreview, ""),
                ("PUT", ["ops", "intelligent-kill-session"]) => (Action::RdsKill, ""),
                ("GET", ["ops", "intelligent-kill-session", "statistic"]) => (Action::RdsPreview, ""),
                ("GET", ["intelligent-kill-session", "history"]) => (Action::IntelligentHistory, ""),
                _ => return Err(no_such_api()),
            };
            (action, *project, *instance, node)
        }
        _ => return Err(no_such_api()),
    };
    Ok(Route { action, project, instance, node })
}

fn no_such_api() -> Refusal {
    Refusal::new(404, "APIGW.0101", "The API does not exist or has not been published in the environment")
}

fn work(state: &mut State, incoming: &Incoming, route: &Route, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    if route.action != Action::EcsToken && matches!(incoming.method.as_str(), "POST" | "PUT" | "DELETE") {
        let kind = incoming.headers.value("content-type").unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Refusal::new(400, "APIGW.0106", "Invalid header parameter: Content-Type"));
        }
    }
    let answer = match route.action {
        Action::IamToken => iam::login(state, incoming),
        Action::IamKeys => iam::keys(state, incoming),
        Action::EcsToken => machine::token(state, incoming),
        Action::EcsKeys => machine::keys(state, incoming),
        Action::GaussdbKill => gaussdb::kill(state, incoming, route, lie),
        Action::GaussdbSessions => gaussdb::sessions(state, incoming, route, lie),
        Action::DasKill => das::kill(state, incoming, route, lie),
        Action::DasProcesses => das::processes(state, incoming, route, lie),
        Action::DasrdsKill => dasrds::kill(state, incoming, route, lie),
        Action::DasrdsProcesses => dasrds::processes(state, incoming, route, lie),
        Action::TaurusdbInstance => taurusdb::instance(state, incoming, route),
        Action::TaurusdbKill => taurusdb::kill(state, incoming, route, lie),
        Action::TaurusdbProcesses => taurusdb::processes(state, incoming, route, lie),
        Action::IntelligentKill => intelligent::kill(state, incoming, route, lie),
        Action::RdsKill => rds::kill(state, incoming, route, lie),
        Action::RdsPreview => rds::preview(state, incoming, route),
        Action::IntelligentPreview => intelligent::preview(state, incoming, route),
        Action::IntelligentHistory => intelligent::history(state, incoming, route),
        _ => Err(no_such_api()),
    }?;
    let request_id = crate::clock::id_at(incoming.at).simple().to_string();
    Ok(answer.header("x-request-id", request_id))
}

/// Wrong parameters, as GaussDB and TaurusDB call them.
fn dbs(bad: Bad) -> Refusal {
    let code = if matches!(bad, Bad::Empty) { "DBS.200006" } else { "DBS.280001" };
    Refusal::new(400, code, bad.into_message())
}

fn failed() -> Refusal {
    Refusal::new(500, "DBS.200005", "Server failure. Try again later.")
}

/// Whether that is 32 letters or digits and then `tag`.
fn has_tag(id: &str, tag: &str) -> bool {
    id.len() == 36 && id.bytes().all(|b| b.is_ascii_alphanumeric()) && id.get(32..).is_some_and(|end| end == tag)
}

fn texts(ids: &[u64]) -> Vec<Value> {
    ids.iter().map(|id| id.to_string().into()).collect()
}

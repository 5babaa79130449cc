//! The simulated Tencent Cloud: one path, the operation in a header, and errors inside HTTP 200.

mod access;
mod dbbrain;
mod dcdb;
mod killsession;
mod machine;
mod sts;
mod tdsql;

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Action, Lie, Place,
    answer::{Answer, Refusal},
    cloud::Cloud,
    fields::Bad,
    handler::Route,
    limits::Count,
    log::Incoming,
    session::Table,
    state::State,
};
use crate::clock;

/// One of the cloud's products: a service of its API.
trait Product: Sync {
    fn service(&self) -> &Service;

    /// The action of that name.
    fn recognise(&self, action: &str, incoming: &Incoming) -> Option<Action>;

    /// Does what is asked.
    fn work(
        &self,
        state: &mut State,
        incoming: &Incoming,
        action: Action,
        lie: Option<&Lie>,
    ) -> Result<Answer, Refusal>;
}

/// How a product is called.
struct Service {
    vendor: &'static str,
    /// By signatures.
    name: &'static str,
    /// No two have the same, so in the absence of hosts it tells them apart.
    version: &'static str,
}

const NAME: &str = "tencent";

static PRODUCTS: [&dyn Product; 4] = [&dcdb::DCDB, &tdsql::TDSQL, &dbbrain::DbBrain, &sts::Sts];

/// The product that has this action; routes have no others.
fn product_of(action: Action) -> Option<&'static dyn Product> {
    PRODUCTS.into_iter().find(|product| product.service().vendor == action.vendor())
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tencent;

impl Cloud for Tencent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_for(&self, incoming: &Incoming) -> bool {
        incoming.path == "/" || incoming.path.starts_with(machine::PATH)
    }

    fn route<'i>(&self, incoming: &'i Incoming) -> Result<Route<'i>, Refusal> {
        route(incoming)
    }

    fn admit(&self, state: &mut State, incoming: &Incoming, route: &Route) -> Result<(), Refusal> {
        match route.action {
            Action::CvmRoles | Action::CvmKeys => Ok(()),
            Action::StsWebIdentity => sts::admit_unsigned(incoming),
            action => access::admit(state, incoming, product_of(action).map_or("", |product| product.service().name)),
        }
    }

    /// Each action by itself.
    fn counts(&self, state: &State, action: Action) -> Count {
        let limit = Some(state.limits.dcdb).filter(|_| !matches!(action.vendor(), "cvm" | "sts"));
        Count { with: format!("{:?}", action.counted_as()), limit }
    }

    fn work(
        &self,
        state: &mut State,
        incoming: &Incoming,
        route: &Route,
        lie: Option<&Lie>,
    ) -> Result<Answer, Refusal> {
        match route.action {
            Action::CvmRoles => machine::roles(state),
            Action::CvmKeys => machine::keys(state, incoming, route.instance),
            action => work(state, incoming, action, lie),
        }
    }

    fn over_the_limit(&self, seen: usize, limit: usize) -> Refusal {
        let text =
            format!("Your current request times equals to `{seen}` in a second, which exceeds the limit `{limit}`.");
        Refusal::throttled(200, "RequestLimitExceeded", text)
    }

    fn throttled(&self, _: Action) -> Refusal {
        self.over_the_limit(21, 20)
    }

    fn denied(&self, action: Action, text: &str) -> Refusal {
        if action.vendor() == "cvm" {
            return Refusal::denied(403, "Forbidden", text);
        }
        Refusal::denied(200, "UnauthorizedOperation.PermissionDenied", text)
    }

    fn write(&self, refusal: &Refusal, action: Option<Action>, request_id: Uuid) -> Answer {
        // The metadata service has neither codes nor ids.
        if refusal.status != 200 || action.is_some_and(|action| action.vendor() == "cvm") {
            return Answer::bytes(refusal.status, Some("text/plain"), refusal.message.clone().into_bytes());
        }
        let body = json!({"Response": {
            "Error": {"Code": refusal.code, "Message": refusal.message},
            "RequestId": request_id,
        }});
        Answer::json(refusal.status, &body)
    }
}

/// Recognises an operation by its headers.
fn route(incoming: &Incoming) -> Result<Route<'_>, Refusal> {
    if incoming.path != "/" {
        return machine::route(incoming);
    }
    if incoming.method != "POST" {
        return Err(refuse("UnsupportedProtocol", "Only POST with a JSON body is supported."));
    }
    let version = incoming.headers.value("x-tc-version");
    let version = version.ok_or_else(|| refuse("MissingParameter", "The header X-TC-Version is missing."))?;
    let action = incoming.headers.value("x-tc-action");
    let action = action.ok_or_else(|| refuse("MissingParameter", "The header X-TC-Action is missing."))?;
    let product = PRODUCTS.into_iter().find(|product| product.service().version == version);
    let product = product.ok_or_else(|| refuse("NoSuchVersion", format!("The version {version} does not exist.")))?;
    let found = product.recognise(action, incoming);
    let unknown = || refuse("InvalidAction", format!("The action {action} is invalid or not found."));
    Ok(Route { action: found.ok_or_else(unknown)?, project: "", instance: shard(&incoming.body), node: "" })
}

/// The shard that a body names, by its id; empty where it names none.
fn shard(body: &[u8]) -> &str {
    #[derive(Default, Deserialize)]
    struct Named<'b> {
        #[serde(rename = "ShardId", borrow, default)]
        shard: &'b str,
    }
    serde_json::from_slice::<Named<'_>>(body).unwrap_or_default().shard
}

fn work(state: &mut State, incoming: &Incoming, action: Action, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    let kind = incoming.headers.value("content-type").unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(refuse("InvalidParameter", "The Content-Type must be application/json."));
    }
    if !incoming.query.is_empty() {
        return Err(refuse("UnknownParameter", "Parameters of a POST belong in its body."));
    }
    let product = product_of(action);
    let product = product.ok_or_else(|| refuse("InvalidAction", "The action is invalid or not found."))?;
    product.work(state, incoming, action, lie)
}

/// A documented success.
fn answer(mut response: Value, at: OffsetDateTime) -> Answer {
    response["RequestId"] = json!(clock::id_at(at));
    Answer::json(200, &json!({"Response": response}))
}

/// A node as the detail of an instance shows it.
fn node(place: &Place, primary: bool) -> Value {
    let role = if primary { "master" } else { "slave" };
    json!({"NodeId": place.node_id, "Role": role, "Zone": "ap-guangzhou-3"})
}

/// The node of that id, or the primary where none is named.
fn of_nodes(nodes: &[&Table], node: Option<&str>) -> Result<Place, Refusal> {
    let found = nodes.iter().find(|table| match node {
        Some(_) => table.place.node_id.as_deref() == node,
        None => table.primary,
    });
    let elsewhere = || refuse("InvalidParameter", "The node does not belong to the instance or shard.");
    found.map(|table| table.place.clone()).ok_or_else(elsewhere)
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

//! What every operation wants and brings beside its body: scopes, and headers that answers share.

use utoipa::{
    Modify,
    openapi::{
        self, HeaderBuilder, ObjectBuilder, RefOr,
        path::{Operation, Parameter, ParameterIn},
        response::Response,
        schema::{Schema, SchemaType, Type},
        security::SecurityRequirement,
    },
};

use crate::auth::Scope;

/// Says which scopes an operation takes: any one of them will do.
pub(super) struct Scopes;

/// None of them: a good token is enough.
const ANY_TOKEN: &[Scope] = &[];
const READ_KILLS: &[Scope] = &[Scope::KillsRead, Scope::SessionsKill, Scope::SessionsKillUrgent];

/// `None` where no token is asked for. An operation that is not here keeps what its handler says.
fn scopes(operation: &str) -> Option<&'static [Scope]> {
    Some(match operation {
        "listSessions" => &[Scope::SessionsRead],
        "killSessions" => &[Scope::SessionsKill, Scope::SessionsKillUrgent],
        "listKills" | "readKill" | "followKill" | "countKills" => READ_KILLS,
        "exportKills" | "readManifest" => &[Scope::KillsExport],
        "readEvidence" => &[Scope::KillsRead],
        "whoAmI" | "listVendors" | "listTargets" => ANY_TOKEN,
        _ => return None,
    })
}

impl Modify for Scopes {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for operation in operations(document) {
            let of_operation = operation.operation_id.as_deref().and_then(scopes);
            operation.security = of_operation.map_or_else(
                || operation.security.take(),
                |scopes| {
                    let any = scopes.iter().map(|scope| SecurityRequirement::new("token", [scope.as_str()]));
                    let any: Vec<_> = any.collect();
                    Some(if any.is_empty() { vec![SecurityRequirement::new("token", [""; 0])] } else { any })
                },
            );
        }
    }
}

/// Says which headers come with which answers; and of a request's own, that they are left out and never null.
pub(super) struct Headers;

impl Modify for Headers {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for operation in operations(document) {
            let is_limited = matches!(operation.operation_id.as_deref(), Some("killSessions" | "listSessions"));
            let may_wait = operation.operation_id.as_deref() == Some("killSessions");
            operation.parameters.iter_mut().flatten().for_each(never_null);
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                add(response, "X-Request-Id", "The id of the request: the caller's, where it sent one, else a new one");
                match status.as_str() {
                    "401" => add(response, "WWW-Authenticate", "`Bearer`, and what is wrong with the token (RFC 6750)"),
                    "405" => add(response, "Allow", "The methods that there are"),
                    "429" | "503" => add(response, "Retry-After", "Whole seconds after which to come again"),
                    _ => {}
                }
                let is_let_in = !matches!(status.as_str(), "401" | "405");
                if may_wait && is_let_in {
                    add(response, "Location", "The record of the attempt, where there is one");
                }
                if may_wait && matches!(status.as_str(), "200" | "202") {
                    add(response, "Preference-Applied", "`wait=N` where the answer waited for the outcome (RFC 7240)");
                }
                // Whoever has been let in is told, however it ends.
                if is_limited && is_let_in {
                    add(response, "RateLimit-Policy", "The caller's own limit (IETF draft ratelimit-headers)");
                    add(response, "RateLimit", "What is left of it");
                }
            }
        }
    }
}

fn never_null(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema else { return };
    let SchemaType::Array(types) = &object.schema_type else { return };
    let mut others = types.iter().filter(|one| **one != Type::Null);
    if let (ParameterIn::Header, Some(only), None) = (&parameter.parameter_in, others.next(), others.next()) {
        object.schema_type = SchemaType::Type(only.clone());
    }
}

/// A text; every header is one that may be missing.
fn add(response: &mut Response, name: &str, description: &str) {
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    let header = HeaderBuilder::new().schema(Some(text)).description(Some(description)).build();
    response.headers.entry(name.to_owned()).or_insert_with(|| header.into());
}

fn operations(document: &mut openapi::OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| [item.get.as_mut(), item.post.as_mut()].into_iter().flatten())
}

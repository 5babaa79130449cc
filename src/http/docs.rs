//! The OpenAPI document, made from the handlers themselves, and the page that shows it.

use actix_web::{HttpRequest, HttpResponse, http::header};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, RefOr, Schema,
        schema::AdditionalProperties,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::{
    audit::{By, KillEvent, Per},
    history::{Format, Rows},
    kill::intake::document::SessionOrder,
};

mod access;
mod older;
mod places;
mod webhooks;

use access::{Headers, Scopes};
use places::Places;
use webhooks::{KillCompleted, Webhooks};

use super::{
    events, evidence, export, health, kills, list, login, me, prefix, problem::ProblemDocument, reference, sessions,
    stats,
};

/// The document. `openapi/killgate.json` is a copy of it that a test compares.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "killgate",
        description = "One HTTP gateway through which an organisation ends database sessions: one call for every vendor, every attempt on record.\n\nErrors are RFC 9457 problem documents with a stable `code`, and `kill_id` wherever a record exists. HEAD is answered wherever GET is, without the body. Times are RFC 3339 in UTC, ids are UUIDv7, session ids are texts.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This gateway")),
    tags(
        (name = "sessions", description = "What lives where"),
        (name = "kills", description = "Ending sessions, and the history of it"),
        (name = "reference", description = "What can be asked for, and where"),
        (name = "operations", description = "For probes and scrapers; no token"),
    ),
    paths(
        sessions::list,
        kills::create,
        list::list,
        export::export,
        export::manifest,
        stats::stats,
        kills::read_one,
        events::follow,
        evidence::evidence,
        me::me,
        reference::vendors,
        reference::targets,
        login::how,
        health::live,
        health::ready,
        health::metrics,
    ),
    components(schemas(ProblemDocument, By, Per, Format, Rows, SessionOrder, KillEvent, KillCompleted, list::KillOrder)),
    security(("token" = [])),
    modifiers(&Token, &Closed, &Places, &Scopes, &Headers, &Webhooks),
)]
struct Document;

/// Says what a token is.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        scheme.description = Some(
            "Scopes: `sessions:read` to list live sessions, `sessions:statements` to see the literals in their statements, \
             `sessions:kill` to kill and to see one's own kills, `sessions:kill:urgent` to kill ahead of others who wait \
             for their turn, `sessions:kill:blind` beside either to kill what nobody looked at, `kills:read` to see \
             everybody's, `kills:export` to export them."
                .to_owned(),
        );
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What a request has no other members than those.
struct Closed;

impl Modify for Closed {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemas = &mut document.components.get_or_insert_default().schemas;
        for name in ["KillRequest", "SelectIds", "SelectMatch", "SelectIntelligent", "Match", "Except"] {
            if let Some(RefOr::T(Schema::Object(object))) = schemas.get_mut(name) {
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> openapi::OpenApi {
    Document::openapi()
}

/// The same in the words of OpenAPI 3.0, for generators that know no other.
///
/// # Errors
/// None that was ever seen: a document that is not JSON.
pub fn older_document() -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(document()).map(older::older)
}

/// `GET /openapi.json`
pub(super) async fn json(request: HttpRequest) -> HttpResponse {
    let mut document = document();
    let prefix = prefix::of(&request);
    if !prefix.is_empty() {
        document.servers.iter_mut().flatten().for_each(|server| server.url.clone_from(&prefix));
    }
    HttpResponse::Ok().json(document)
}

/// `GET /docs`
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Found().insert_header((header::LOCATION, "/docs/")).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Scope;

    #[test]
    fn every_scope_is_explained_where_the_token_is() {
        let document = serde_json::to_value(document()).unwrap();
        let token = document["components"]["securitySchemes"]["token"]["description"].as_str().unwrap();
        for scope in Scope::ALL {
            assert!(token.contains(&format!("`{scope}` ")), "{scope}: {token}");
        }
    }

    #[test]
    fn whoever_takes_a_seat_to_read_is_told_that_it_may_find_none() {
        let document = serde_json::to_value(document()).unwrap();
        for path in ["/kills", "/kills/{id}", "/kills/{id}/events", "/kills/export", "/kills/stats"] {
            let says = &document["paths"][path]["get"]["responses"]["429"]["description"];
            assert!(says.as_str().is_some_and(|says| says.contains("`rate_limited`")), "{path}");
        }
    }
}

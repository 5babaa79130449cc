//! Visits that are no kills, on the log: who reads the record, and paths that there are not.
//!
//! The invariants: of a request nothing is told but its route, its caller and what it asks to read, never a header or a
//! query as it came; and whoever tries paths fills no log.

use std::{sync::Arc, time::Instant};

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web,
};
use uuid::Uuid;

use crate::{auth::Caller, history::Wanted, metrics::Metrics};

use super::{seldom::Seldom, tokens};

/// Where the record is read.
const READS: [&str; 6] =
    ["/kills", "/kills/{id}", "/kills/{id}/events", "/kills/export", "/kills/export/manifest", "/kills/stats"];
/// Longest path that is told, in characters.
const LONGEST: usize = 200;

/// Where visits are noted.
#[derive(Debug)]
pub(super) struct Visits {
    metrics: Arc<Metrics>,
    unknown: Seldom,
}

/// Who asks, once that is known.
#[derive(Debug, Clone)]
struct Who {
    caller: String,
    actor: Option<String>,
    client_id: Option<String>,
}

/// The filters of a request.
#[derive(Debug, Clone)]
struct Filters(String);

/// Notes whose request it is.
pub(super) fn is_of(request: &HttpRequest, caller: &Caller) {
    let Caller { subject, actor, client, .. } = caller.clone();
    request.extensions_mut().insert(Who { caller: subject, actor, client_id: client });
}

/// Notes which kills it asks for.
pub(super) fn asks_for(request: &HttpRequest, wanted: &Wanted) {
    let filters = tokens::without("", &serde_json::to_string(wanted).unwrap_or_default());
    request.extensions_mut().insert(Filters(filters));
}

/// Notes a request that is answered.
pub(super) async fn note(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    if let Some(visits) = response.request().app_data::<web::Data<Visits>>() {
        visits.of(response.request(), response.status());
    }
    Ok(response)
}

impl Visits {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, unknown: Seldom::default() }
    }

    fn of(&self, request: &HttpRequest, status: StatusCode) {
        let Some(pattern) = request.match_pattern() else { return self.unknown_path(request.path()) };
        let Some(route) = READS.into_iter().find(|route| *route == pattern) else { return };
        let noted = request.extensions();
        // Nobody reads whose token was refused, or by a method that the path does not have.
        let Some(Who { caller, actor, client_id }) = noted.get::<Who>() else { return };
        self.metrics.read(route);
        let kill_id =
            request.match_info().get("id").and_then(|id| Uuid::try_parse(id).ok()).map(tracing::field::display);
        let filters = noted.get::<Filters>().map(|Filters(filters)| filters);
        tracing::info!(caller, actor, client_id, kill_id, filters, status = status.as_u16(), "the record was read");
    }

    fn unknown_path(&self, path: &str) {
        self.metrics.unknown_path();
        let Some(untold) = self.unknown.untold(Instant::now()) else { return };
        tracing::info!(path = shown(path), untold, "there is no such path");
    }
}

/// A path as it may be told: without tokens and what is not seen, in whatever spelling, and cut.
fn shown(path: &str) -> String {
    let spelled_out = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    tokens::without("", &spelled_out).chars().filter(char::is_ascii_graphic).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_without_tokens_and_what_is_not_seen_and_no_longer_than_that() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        for (path, told) in [
            ("/wp-login.php", "/wp-login.php".to_owned()),
            ("/a%0Ab%20c/%1B[31m", "/abc/[31m".to_owned()),
            (&format!("/t/{token}/x"), "/t/[token]/x".to_owned()),
            (&format!("/t/%65{}", &token[1..]), "/t/[token]".to_owned()),
            (&"/a".repeat(1000), "/a".repeat(100)),
            ("/a&b+c%", "/a&b+c%".to_owned()),
        ] {
            assert_eq!(shown(path), told);
        }
    }
}

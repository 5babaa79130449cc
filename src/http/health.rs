//! Is it alive, can it record, what has it done: for probes and scrapers, without a token.

use actix_web::{HttpRequest, HttpResponse, http::header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::KeysAre,
    domain::{Problem, ProblemCode},
    metrics::Exposition,
};

use super::{
    caller::KEYS_AGAIN,
    current::{self, Current, CurrentKills},
    problem::Failure,
    schema::{NotReady, WrongMethod},
};

/// A good state.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(example = "ok")]
    pub(super) status: &'static str,
}

const OK: Health = Health { status: "ok" };

/// That kills can be recorded, and how the issuers' keys are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    #[schema(example = "ok")]
    status: &'static str,
    /// Of the issuers that publish keys, the worst: `fresh`; `old`, fetched longer ago than they should be, since no others can
    /// be had; `missing`, so that this issuer's tokens get 503. `none` where no issuer publishes keys.
    #[schema(example = "fresh")]
    keys: &'static str,
}

/// Is the process alive
#[utoipa::path(
    get, path = "/healthz", operation_id = "live", tag = "operations", security(()),
    responses((status = 200, description = "The process lives", body = Health), WrongMethod),
)]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(OK)
}

/// Can kills be recorded
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready", tag = "operations", security(()),
    responses((status = 200, description = "It can record, knows keys of callers, and does not stop", body = Readiness), NotReady),
)]
pub(super) async fn ready(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let Current { kills, auth, .. } = current::of(&request)?;
    if kills.is_leaving() {
        let sentence = "this gateway is about to stop; it takes requests for a little while";
        return Err(Problem::new(ProblemCode::Overloaded, sentence).retry_after(1).into());
    }
    if auth.knows_nobody() {
        let sentence = "the keys of no issuer can be fetched, so nobody can be known";
        return Err(Problem::new(ProblemCode::KeysUnavailable, sentence).retry_after(KEYS_AGAIN).into());
    }
    let keys = auth.key_sets().into_iter().map(|set| set.keys).max().map_or("none", KeysAre::word);
    match kills.audit().ping().await {
        Ok(()) => Ok(HttpResponse::Ok().json(Readiness { status: "ok", keys })),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::new(ProblemCode::AuditUnavailable, "nothing can be recorded now").retry_after(1).into())
        }
    }
}

/// Metrics
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operations", security(()),
    responses((status = 200, description = "Counts and times: in the OpenMetrics text format for those who name it in `Accept`, else in Prometheus' own", content((String = "text/plain"), (String = "application/openmetrics-text"))), WrongMethod),
)]
pub(super) async fn metrics(request: HttpRequest, kills: CurrentKills) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Exposition::accepted(accept);
    HttpResponse::Ok()
        .content_type(format.media_type())
        .insert_header((header::VARY, "Accept"))
        .body(kills.metrics(format).await)
}

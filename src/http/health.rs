//! Is it alive, can it record, what has it done: for probes and scrapers, without a token.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Problem, ProblemCode},
    kill::Kills,
    metrics::Exposition,
};

use super::{
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
    responses((status = 200, description = "It can record and does not stop", body = Health), NotReady),
)]
pub(super) async fn ready(kills: web::Data<Kills>) -> Result<HttpResponse, Failure> {
    if kills.is_leaving() {
        let sentence = "this gateway is about to stop; it takes requests for a little while";
        return Err(Problem::new(ProblemCode::Overloaded, sentence).retry_after(1).into());
    }
    match kills.audit().ping().await {
        Ok(()) => Ok(HttpResponse::Ok().json(OK)),
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
pub(super) async fn metrics(request: HttpRequest, kills: web::Data<Kills>) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Exposition::accepted(accept);
    HttpResponse::Ok()
        .content_type(format.media_type())
        .insert_header((header::VARY, "Accept"))
        .body(kills.metrics(format))
}

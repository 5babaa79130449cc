//! What is told of every request: a span, and counts and times by its route.
//!
//! The invariant: of a request nothing is told but its method, its route as it is documented and the status of its answer;
//! whoever invents paths or methods makes no new label.

use std::{sync::Arc, time::Instant};

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header::HeaderMap},
    middleware::Next,
    web,
};

use crate::{
    metrics::Metrics,
    spans::{TRACEPARENT, Trace, Tracer},
};

/// Asked all the time by machines: no spans.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// The route of what has none.
const NONE: &str = "none";

/// Where requests are told of.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) metrics: Arc<Metrics>,
    pub(super) tracer: Tracer,
}

/// Where a request stands in a trace.
pub(super) fn of(request: &HttpRequest) -> Trace {
    request.extensions().get::<Trace>().cloned().unwrap_or_default()
}

/// The same before it has come to its handler.
pub(super) fn of_service(request: &ServiceRequest) -> Trace {
    request.extensions().get::<Trace>().cloned().unwrap_or_default()
}

/// Tells of a request, from its head to the head of its answer.
pub(super) async fn watch(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(watch) = request.app_data::<web::Data<Watch>>().cloned() else { return next.call(request).await };
    let (started, method, route) = (Instant::now(), word(request.method()), request.match_pattern());
    let is_probe = route.as_ref().is_some_and(|route| PROBES.contains(&route.as_str()));
    let incoming = if is_probe { Trace::NONE } else { watch.tracer.incoming(traceparent(request.headers())) };
    let mut span =
        incoming.serve(|| route.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}")));
    span.text("http.request.method", method);
    if let Some(route) = &route {
        span.text("http.route", route);
    }
    if span.trace().ids().is_some() {
        request.extensions_mut().insert(span.trace().clone());
    }
    let answered = next.call(request).await;
    let status = match &answered {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    span.number("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.failed(status.as_u16());
    }
    watch.metrics.answered(method, route.as_deref().unwrap_or(NONE), status.as_u16(), started.elapsed());
    answered
}

/// What a caller says of where it stands, if it says so once.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(TRACEPARENT);
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    value.to_str().ok()
}

/// A method as it is told: one of the usual ones, or `_OTHER`.
fn word(method: &Method) -> &'static str {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        .iter()
        .zip(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        .find_map(|(known, word)| (known == method).then_some(word))
        .unwrap_or("_OTHER")
}

//! Every request has an id: the caller's `X-Request-Id` where it is usable, else a new one. It stands in every
//! log line of the request, in the record, and in the answer. Where the request comes from stands in the lines too.

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use tracing::Span;
use tracing_actix_web::RootSpanBuilder;
use uuid::Uuid;

use super::{client, spans, tokens};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Debug, Clone)]
struct RequestId(String);

/// The id of a request.
#[must_use]
pub(super) fn of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}

/// Gives every request its id, and every answer the same.
pub(super) async fn assign(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    slim(request.headers_mut());
    let usable =
        |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) && !tokens::is_in(id);
    let given = request.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(usable);
    let id = given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestId(id));
    client::find(&request);
    let mut response = next.call(request).await?;
    if let Ok(id) = header {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    Ok(response)
}

/// Headers in no more room than they need: the server makes it for 28, some 200 bytes each, and a request that waits
/// holds them until it is answered.
fn slim(headers: &mut HeaderMap) {
    let all = std::mem::take(headers);
    headers.reserve(all.len_keys());
    for (name, value) in all {
        headers.append(name, value);
    }
}

/// The span of a request: method, route and ids; never the query, a header or the body.
#[derive(Debug)]
pub(super) struct Spans;

impl RootSpanBuilder for Spans {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let route = request.match_pattern().unwrap_or_default();
        let client_address = client::of_service(request).map(tracing::field::display);
        let trace = spans::of_service(request);
        let (trace_id, span_id) = trace.ids().unzip();
        let (trace_id, span_id) = (trace_id.map(tracing::field::display), span_id.map(tracing::field::display));
        let (method, status) = (request.method(), tracing::field::Empty);
        tracing::info_span!(
            "request", %method, route, request_id = id, client_address, trace_id, span_id, status
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("status", status.as_u16());
        let _in_span = span.entered();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), "request answered");
        } else {
            tracing::debug!(status = status.as_u16(), "request answered");
        }
    }
}

//! Cross-origin requests: which other sites' pages a browser lets ask this gateway, and read its answers (the Fetch standard,
//! section 3.3).
//!
//! The invariants: an origin is one that is configured, never a pattern; and no credential is allowed that a browser would
//! send by itself, so a page asks with a token of its own or with none.

use actix_cors::Cors;
use actix_web::http::Method;

/// How long a browser may keep what it was told of a path, in seconds.
const KEPT: usize = 600;

/// What requests may have beside what every page may send.
const TAKEN: [&str; 9] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "prefer",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// What a page may read of answers beside what every page may.
const TOLD: [&str; 12] = [
    "allow",
    "content-disposition",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "x-request-id",
];

/// Pages of these origins may ask.
pub(super) fn of(origins: &[String]) -> Cors {
    let methods = [Method::GET, Method::HEAD, Method::POST];
    let cors = Cors::default().allowed_methods(methods).allowed_headers(TAKEN).expose_headers(TOLD).max_age(KEPT);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

//! What callers are told of their own limits: the IETF draft `ratelimit-headers`.

use actix_web::http::header::HeaderName;

use crate::kill::intake::allowance::Allowance;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The limit, and what is left of it.
pub(super) fn headers(allowance: &Allowance) -> [(HeaderName, String); 2] {
    let Allowance { counted, limit, remaining, .. } = allowance;
    let (name, reset) = (counted.policy(), allowance.wait_seconds().unwrap_or(0));
    let policy = format!(r#""{name}";q={};w={}"#, limit.burst, limit.window_seconds());
    [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, format!(r#""{name}";r={remaining};t={reset}"#))]
}

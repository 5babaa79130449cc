//! What all RPC services of Alibaba Cloud answer alike: a status and a code, and also `Success: false` in a 200.
//!
//! Codes are from the vendor's SDK core and its pages (2026). Those of the service itself are mostly not published, so
//! behind a code that nobody knows a kill may have run.

use serde_json::Value;

use crate::upstream::{Effect, Fault, FaultKind, Reply, cloud::of_status, json};

/// Reads the envelope: the members of a documented success, or the error.
pub(in crate::upstream) fn answer(reply: &Reply) -> Result<Value, Fault> {
    let http = reply.http()?;
    let status = http.status.as_u16();
    let body = json::read(&http.body).filter(Value::is_object);
    let Some(body) = body else {
        // What is no JSON is from something in between.
        let kind = if http.status.is_success() { FaultKind::Unreadable } else { of_status(status, reply.effect) };
        return Err(Fault::of(kind, reply));
    };
    let request_id = json::text(&body["RequestId"]);
    let code = json::id(&body["Code"]);
    let failed = |kind, code| {
        Fault { request_id: request_id.clone(), ..Fault::of(kind, reply) }.saying(code, json::text(&body["Message"]))
    };
    if !http.status.is_success() {
        let kind = code.as_deref().and_then(by_code).unwrap_or_else(|| match code {
            Some(_) if reply.effect == Effect::Kill && (400..500).contains(&status) => unknown_code(status),
            _ => of_status(status, reply.effect),
        });
        return Err(failed(kind, code));
    }
    // `Success` is a text in older samples, and so is `Code`.
    let has_failed = match &body["Success"] {
        Value::Bool(success) => !success,
        Value::String(word) => word.eq_ignore_ascii_case("false"),
        _ => false,
    };
    if has_failed || code.as_deref().is_some_and(|code| code != "200") {
        let kind = code.as_deref().and_then(by_code).unwrap_or(FaultKind::ServerError);
        return Err(failed(kind, code));
    }
    let is_success = matches!(&body["Success"], Value::Bool(true)) || json::text(&body["Success"]).is_some();
    if is_success { Ok(body) } else { Err(Fault { request_id, ..Fault::unreadable(reply) }) }
}

/// The id that the cloud gave to the call which it answers.
pub(super) fn request_id(body: &[u8]) -> Option<String> {
    json::text(&json::read(body)?["RequestId"])
}

/// Which kind of fault a code means; `None` for one that nobody knows.
fn by_code(code: &str) -> Option<FaultKind> {
    Some(match code {
        // Also as `Throttling.User` and `Throttling.Api`.
        _ if family(code) == "Throttling" => FaultKind::Throttled,
        "InvalidSecurityToken.Expired" => FaultKind::TokenExpired,
        // A key that is not there is a 404.
        "SignatureDoesNotMatch" | "IncompleteSignature" | "SignatureNonceUsed" | "NoPermission" | "403" => {
            FaultKind::Denied
        }
        _ if matches!(
            family(code),
            "Forbidden" | "NoPermission" | "InvalidAccessKeyId" | "InvalidSecurityToken" | "InvalidTimeStamp"
        ) =>
        {
            FaultKind::Denied
        }
        "InvalidParams" | "InvalidParameter" | "MissingParameter" => FaultKind::Rejected,
        _ if code.starts_with("Missing") || family(code) == "InvalidParameter" => FaultKind::Rejected,
        "InvalidAction.NotFound" | "InvalidVersion" | "UnsupportedHTTPMethod" => FaultKind::Refused,
        "ServiceUnavailable" | "InternalError" => FaultKind::ServerError,
        _ => return None,
    })
}

fn family(code: &str) -> &str {
    code.split('.').next().unwrap_or_default()
}

/// What a status means for a kill with a code that nobody knows: those that stand for permission and rate are the
/// gateway's in front of the service; behind any other something may have run.
const fn unknown_code(status: u16) -> FaultKind {
    match status {
        401 | 403 => FaultKind::Denied,
        429 => FaultKind::Throttled,
        _ => FaultKind::Unreadable,
    }
}

//! What all Tencent Cloud API 3.0 services have in common: errors inside HTTP 200, told apart by code alone.
//!
//! Codes are from the API's common list, the DCDB product list and the official SDKs (2026). `Family.Detail` is
//! matched exactly first, then by family: new details appear without notice, and message texts change.

use serde_json::Value;

use super::{Fault, FaultKind, Reply, json};

/// Reads the envelope: the members of `Response`, or the error in it.
pub(super) fn answer(reply: &Reply) -> Result<Value, Fault> {
    // The vendor answers 200 whenever it handled the call, so any other status is from something in between. What such a
    // thing passes on as another success is read all the same: the call may have been handled.
    if !reply.status.is_success() {
        let kind = match reply.status.as_u16() {
            500.. => FaultKind::ServerError,
            429 => FaultKind::Throttled,
            401 | 403 => FaultKind::Denied,
            _ => FaultKind::Refused,
        };
        return Err(Fault::of(kind, reply));
    }
    let mut body: Value = serde_json::from_slice(&reply.body).map_err(|_| Fault::unreadable(reply))?;
    // A very old form of error that the vendor's own Go SDK still recognises.
    if let Some(code) = body.get("code").and_then(Value::as_i64).filter(|code| *code != 0) {
        let message = json::text(&body["message"]);
        return Err(Fault::of(FaultKind::Refused, reply).saying(Some(code.to_string()), message));
    }
    let response = body.get_mut("Response").map(Value::take).unwrap_or_default();
    let request_id = json::text(&response["RequestId"]);
    if let Some(error) = response.get("Error").filter(|error| !error.is_null()) {
        let Some(code) = json::text(&error["Code"]) else {
            return Err(Fault { request_id, ..Fault::unreadable(reply) });
        };
        let fault = Fault { request_id, ..Fault::of(classify(&code), reply) };
        return Err(fault.saying(Some(code), json::text(&error["Message"])));
    }
    if response.is_object() { Ok(response) } else { Err(Fault::unreadable(reply)) }
}

/// Which kind of fault a code means.
fn classify(code: &str) -> FaultKind {
    let exact = match code {
        // A rate signal under the family of quotas.
        "LimitExceeded.TooFrequentlyCalled" => Some(FaultKind::Throttled),
        "AuthFailure.TokenFailure" => Some(FaultKind::TokenExpired),
        "InvalidParameter.PermissionDenied"
        | "FailedOperation.AuthNoStrategy"
        | "InternalError.CamAuthFailed"
        | "OperationDenied.UserHasNoStrategy"
        | "IpInBlacklist"
        | "IpNotInWhitelist" => Some(FaultKind::Denied),
        "InvalidParameter.InstanceNotFound"
        | "InvalidParameterValue.ShardNotExist"
        | "ResourceUnavailable.InstanceAlreadyDeleted" => Some(FaultKind::TargetNotFound),
        // The task was not even made.
        "FailedOperation.CreateFlowFailed" => Some(FaultKind::Refused),
        _ => None,
    };
    exact.unwrap_or_else(|| match code.split('.').next().unwrap_or_default() {
        "RequestLimitExceeded" => FaultKind::Throttled,
        "AuthFailure" | "UnauthorizedOperation" => FaultKind::Denied,
        "ResourceNotFound" => FaultKind::TargetNotFound,
        "ResourceUnavailable" | "ResourceInUse" => FaultKind::TargetBusy,
        "InvalidParameter"
        | "InvalidParameterValue"
        | "MissingParameter"
        | "UnknownParameter"
        | "RequestSizeLimitExceeded" => FaultKind::Rejected,
        "ActionOffline"
        | "DryRunOperation"
        | "InvalidAction"
        | "InvalidRequest"
        | "LimitExceeded"
        | "NoSuchProduct"
        | "NoSuchVersion"
        | "OperationDenied"
        | "ResourceInsufficient"
        | "UnsupportedOperation"
        | "UnsupportedProtocol"
        | "UnsupportedRegion" => FaultKind::Refused,
        // `InternalError`, `ServiceUnavailable`, `FailedOperation` and whatever comes new: something may have run.
        // So does a reply that grew too big (`ResponseSizeLimitExceeded`): it is sent after the work was done.
        _ => FaultKind::ServerError,
    })
}

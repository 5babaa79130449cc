//! What all Tencent Cloud API 3.0 services answer alike: errors inside HTTP 200, told apart by code alone.
//!
//! Codes are from the API's common list, the products' own lists and the official SDKs (2026). `Family.Detail` is
//! matched exactly first, then by family: new details appear without notice, and message texts change.

use serde_json::Value;

use crate::upstream::{Fault, FaultKind, Reply, cloud::of_status, json};

/// Reads the envelope: the members of `Response`, or the error in it.
pub(in crate::upstream) fn answer(reply: &Reply) -> Result<Value, Fault> {
    // The vendor answers 200 whenever it handled the call, so any other status is from something in between. What such a
    // thing passes on as another success is read all the same: the call may have been handled.
    let http = reply.http()?;
    if !http.status.is_success() {
        return Err(Fault::of(of_status(http.status.as_u16(), reply.effect), reply));
    }
    let mut body = json::read(&http.body).ok_or_else(|| Fault::unreadable(reply))?;
    // A very old form of error that the vendor's own Go SDK still recognises.
    if let Some(code) = body.get("code").and_then(Value::as_i64).filter(|code| *code != 0) {
        let message = json::text(&body["message"]);
        // 4000 to 4999 are the caller's faults there; behind any other something may have run.
        let kind = if (4000..5000).contains(&code) { FaultKind::Refused } else { FaultKind::ServerError };
        return Err(Fault::of(kind, reply).saying(Some(code.to_string()), message));
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

/// The rows of a list in a good answer; none where the list is null or left out, as the vendor's own definition allows.
/// An answer without a request id is none of its answers.
pub(in crate::upstream) fn rows<'a>(response: &'a Value, list: &str) -> Option<&'a [Value]> {
    json::text(&response["RequestId"])?;
    json::rows(&response[list])
}

/// The id that the cloud gave to the call which it answers, whatever the answer says.
pub(super) fn request_id(body: &[u8]) -> Option<String> {
    json::text(&json::read(body)?["Response"]["RequestId"])
}

/// Whether an answer is the refusal of a signature, a key or a token.
pub(super) fn refuses_credentials(body: &[u8]) -> bool {
    let code = json::read(body).and_then(|body| json::text(&body["Response"]["Error"]["Code"]));
    code.is_some_and(|code| code.split('.').next() == Some("AuthFailure"))
}

/// Which kind of fault a code means.
pub(super) fn classify(code: &str) -> FaultKind {
    let exact = match code {
        // A rate signal under the family of quotas.
        "LimitExceeded.TooFrequentlyCalled" => Some(FaultKind::Throttled),
        "AuthFailure.TokenFailure" => Some(FaultKind::TokenExpired),
        "InvalidParameter.PermissionDenied"
        | "FailedOperation.AuthNoStrategy"
        | "FailedOperation.UserNotAuthed"
        | "InternalError.CamAuthFailed"
        | "InternalError.InstanceOperatePermissionError"
        | "OperationDenied.UserHasNoStrategy"
        | "IpInBlacklist"
        | "IpNotInWhitelist" => Some(FaultKind::Denied),
        "InvalidParameter.InstanceNotFound"
        | "InvalidParameter.ShardResourceIdNotFound"
        | "InvalidParameterValue.IllegalInstanceId"
        | "InvalidParameterValue.ShardNotExist"
        | "ResourceUnavailable.InstanceAlreadyDeleted" => Some(FaultKind::TargetNotFound),
        "UnsupportedOperation.HasDuplicatedTask" => Some(FaultKind::TargetBusy),
        // The service has no such action.
        "InvalidParameter.ActionNotFound" => Some(FaultKind::Refused),
        // The task was not even made, under whatever family.
        "FailedOperation.CreateFlowFailed" | "InternalError.CreateFlowFailed" | "InternalError.CreateFlowError" => {
            Some(FaultKind::Refused)
        }
        _ => None,
    };
    exact.unwrap_or_else(|| match code.split('.').next().unwrap_or_default() {
        "RequestLimitExceeded" => FaultKind::Throttled,
        "AuthFailure" | "UnauthorizedOperation" => FaultKind::Denied,
        "ResourceNotFound" => FaultKind::TargetNotFound,
        "ResourceUnavailable" | "ResourceInUse" => FaultKind::TargetBusy,
        "InvalidParameter"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "InvalidFilter"
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
        | "RegionError"
        | "ResourceInsufficient"
        | "ResourcesSoldOut"
        | "UnsupportedOperation"
        | "UnsupportedProtocol"
        | "UnsupportedRegion" => FaultKind::Refused,
        // `InternalError`, `ServiceUnavailable`, `FailedOperation` and whatever comes new: something may have run.
        // So does a reply that grew too big (`ResponseSizeLimitExceeded`): it is sent after the work was done.
        _ => FaultKind::ServerError,
    })
}

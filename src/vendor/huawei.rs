//! What all Huawei Cloud database services have in common: how they say no, and how they page.
//!
//! Codes and shapes are from the vendor's error code pages and its official SDK (3.1.219). The same code can
//! carry another HTTP status in a sister product, so status and code are read together and the status decides
//! where the code is not known.

use serde_json::Value;

use super::{Coordinate, Fault, FaultKind, Need, Next, Page, Reply, json, process::Row};

/// An error code and its text, as far as the vendor gave them.
type Said = (Option<String>, Option<String>);

/// The pairs of members that services use for code and text, in the order in which the vendor's SDK looks;
/// the last pair is DDM's, which that SDK does not know.
const PAIRS: [(&str, &str); 4] =
    [("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message"), ("errCode", "externalMessage")];

/// Reads the code and text of an error from any of the body shapes in use.
fn said(body: &[u8]) -> Said {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return (None, None);
    };
    let pair_in = |object: &serde_json::Map<String, Value>| {
        PAIRS.iter().find_map(|(code, message)| {
            let (code, message) = (json::id(object.get(*code)?)?, object.get(*message)?);
            (!code.is_empty()).then(|| (Some(code), json::text(message)))
        })
    };
    let nested = || body.values().filter_map(Value::as_object).find_map(pair_in);
    pair_in(&body).or_else(nested).unwrap_or_default()
}

/// The fault that an answer outside 2xx means.
fn refusal(reply: &Reply) -> Fault {
    let (code, message) = said(&reply.body);
    let kind = classify(reply.status.as_u16(), code.as_deref());
    fault(kind, reply).saying(code, message)
}

/// A fault with the request id from the header, or from the body, where the API gateway puts it.
fn fault(kind: FaultKind, reply: &Reply) -> Fault {
    let in_body = || json::text(&serde_json::from_slice::<Value>(&reply.body).ok()?["request_id"]);
    Fault { request_id: reply.request_id.clone().or_else(in_body), ..Fault::of(kind, reply) }
}

/// Which kind of fault an HTTP status and a code mean together.
fn classify(status: u16, code: Option<&str>) -> FaultKind {
    let code = code.unwrap_or_default();
    // The same gateway product signs as APIGW in front of most services and as APIG elsewhere.
    let gateway = code.strip_prefix("APIGW.").or_else(|| code.strip_prefix("APIG."));
    if status >= 500 {
        return FaultKind::ServerError;
    }
    if status == 429 || gateway == Some("0308") || matches!(code, "DAS.200002" | "IAM.0012") {
        return FaultKind::Throttled;
    }
    match (status, code) {
        // An invalid token is a 403 in the database services, everywhere else a 401.
        (401, _) | (_, "DBS.280056") => FaultKind::TokenExpired,
        // A missing permission is a 400 in GaussDB; so are unusable access keys in IAM.
        (403, _) | (_, "DBS.216003" | "IAM.1104" | "IAM.1105" | "IAM.1106" | "IAM.1107" | "IAM.1108") => {
            FaultKind::Denied
        }
        (404, "") => FaultKind::Refused,
        (404, _) if gateway.is_some() => FaultKind::Refused,
        // "Not part of this instance" and "wrong node" or "wrong component" come as 400.
        (404, _) | (_, "DBS.212005" | "DBS.216030" | "DBS.280407" | "DBS.280667" | "DBS.280676") => {
            FaultKind::TargetNotFound
        }
        (409, _) | (_, "DBS.200086" | "DBS.201014" | "DBS.06010001" | "DBS.06020003" | "DBS.280449") => {
            FaultKind::TargetBusy
        }
        // A feature that is not switched on, or a wrong project: nothing that the caller could mend.
        (_, "DBS.06280105" | "DBS.280408" | "DAS.200113" | "IAM.1109") => FaultKind::Refused,
        (400 | 413 | 414 | 422 | 494, _) => FaultKind::Rejected,
        _ => FaultKind::Refused,
    }
}

/// Hands a documented success to `read`, and everything else to the error tables.
///
/// A code in a 2xx body is an error too: some of the vendor's operations answer so. `read` gives `None` for a
/// body that is not of the documented shape.
pub(super) fn answer<T>(reply: &Reply, read: impl FnOnce(&Reply) -> Option<Result<T, Fault>>) -> Result<T, Fault> {
    if !reply.status.is_success() {
        return Err(refusal(reply));
    }
    if let (Some(code), message) = said(&reply.body) {
        // 400 is the status under which these services report what they refuse.
        let kind = if is_plainly_refused(&code) { classify(400, Some(&code)) } else { FaultKind::Unreadable };
        return Err(fault(kind, reply).saying(Some(code), message));
    }
    read(reply).unwrap_or_else(|| Err(Fault::unreadable(reply)))
}

/// The same for an answer that is always JSON.
pub(super) fn read<T>(reply: &Reply, read: impl FnOnce(&Value) -> Option<T>) -> Result<T, Fault> {
    answer(reply, |reply| read(&serde_json::from_slice(&reply.body).ok()?).map(Ok))
}

/// Most rows of a page.
const PAGE: &str = "100";

/// The parameters of a page that begins with that row.
pub(super) fn page_from(row: usize) -> [(&'static str, String); 2] {
    [("offset", row.to_string()), ("limit", PAGE.to_owned())]
}

/// A page that begins with that row, of a list that tells how many rows it has.
pub(super) fn page(reply: &Reply, row: usize, of: &Row, rows: &str, total: &str) -> Result<Page, Fault> {
    read(reply, |body| {
        let sessions = of.read_all(&body[rows])?;
        let (read, total) = (row + sessions.len(), json::id(&body[total])?.parse::<usize>().ok()?);
        let next = match total {
            total if total <= read => Next::End,
            _ if sessions.is_empty() => Next::Cut,
            _ => Next::Row(read),
        };
        Some(Page::Sessions { sessions, next })
    })
}

/// Whether a code is from one of the tables of refusals, so that surely nothing ran.
fn is_plainly_refused(code: &str) -> bool {
    !matches!(classify(400, Some(code)), FaultKind::Rejected)
        || ["DBS.200001", "DBS.200004", "DBS.280001", "DBS.290000", "DBS.06010013", "DBS.200006", "DBS.280404"]
            .contains(&code)
        || code.starts_with("DAS.2001")
}

const fn is_hex_like(text: &str, length: usize) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() {
            return false;
        }
        at += 1;
    }
    bytes.len() == length
}

/// 36 letters or digits ending in `tag`.
pub(super) fn tagged(text: &str, tag: &str) -> bool {
    is_hex_like(text, 36) && text.ends_with(tag)
}

/// 36 letters or digits whose last four are a product's tag, such as `in01`.
///
/// Some pages say 32 characters while their own examples have 36; a newer page was corrected to 36.
pub(super) fn any_instance(text: &str) -> bool {
    is_hex_like(text, 36)
        && text.get(32..34) == Some("in")
        && text.get(34..).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

/// A coordinate that must be given.
pub(super) const fn required(
    name: &'static str,
    expected: &'static str,
    example: &'static str,
    check: fn(&str) -> bool,
) -> Coordinate {
    Coordinate { name, need: Need::Required, expected, example, check }
}

//! What all Huawei Cloud database services answer alike: how they say no, and how they page.
//!
//! Codes and shapes are from the vendor's error code pages and its official SDK (3.1.219). The same code can
//! carry another HTTP status in a sister product, so status and code are read together and the status decides
//! where the code is not known.

use serde_json::Value;

use crate::domain::SessionId;
use crate::upstream::{Coordinate, Effect, Fault, FaultKind, HttpReply, Need, Next, Page, Reply, json, process::Row};

/// An error code and its text, as far as the vendor gave them.
type Said = (Option<String>, Option<String>);

/// The pairs of members that services use for code and text, in the order in which the vendor's SDK looks;
/// the last pair is DDM's, which that SDK does not know.
const PAIRS: [(&str, &str); 4] =
    [("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message"), ("errCode", "externalMessage")];

/// Reads the code and text of an error from any of the body shapes in use.
fn said(body: &[u8]) -> Said {
    let Some(Value::Object(body)) = json::read(body) else {
        return (None, None);
    };
    let pair_in = |object: &serde_json::Map<String, Value>| {
        PAIRS.iter().find_map(|(code, message)| {
            let (code, message) = (json::id(object.get(*code)?)?, object.get(*message)?);
            Some((Some(code), json::text(message)))
        })
    };
    let nested = || body.values().filter_map(Value::as_object).find_map(pair_in);
    pair_in(&body).or_else(nested).unwrap_or_default()
}

/// The fault that an answer outside 2xx means.
fn refusal(reply: &Reply, http: &HttpReply) -> Fault {
    let (code, message) = said(&http.body);
    let kind = classify(http.status.as_u16(), code.as_deref(), reply.effect);
    fault(kind, reply, http).saying(code, message)
}

/// A fault with the request id from the header, or from the body, where the API gateway puts it.
fn fault(kind: FaultKind, reply: &Reply, http: &HttpReply) -> Fault {
    let in_body = || json::text(&json::read(&http.body)?["request_id"]);
    Fault { request_id: http.request_id.clone().or_else(in_body), ..Fault::of(kind, reply) }
}

/// Which kind of fault a status outside 2xx and a code mean together.
///
/// These services use 400 also for what went wrong after the order was passed on (`DBS.212015` is a partial success), so
/// for a kill only a documented refusal says that nothing was done.
fn classify(status: u16, code: Option<&str>, effect: Effect) -> FaultKind {
    let is_gateways = code.is_some_and(|code| gateway_number(code).is_some());
    match status {
        500.. => FaultKind::ServerError,
        // What is neither a success nor a refusal says nothing of what was done, whatever code is in it.
        ..=399 if effect == Effect::Kill => FaultKind::Unreadable,
        429 => FaultKind::Throttled,
        // An invalid token is a 403 in the database services, everywhere else a 401.
        401 => FaultKind::TokenExpired,
        404 if code.is_none() || is_gateways => FaultKind::Refused,
        _ => code.and_then(by_code).unwrap_or_else(|| by_status(status, code, effect)),
    }
}

/// The number of a code of the API gateway, which signs as APIGW in front of most services and as APIG elsewhere.
fn gateway_number(code: &str) -> Option<&str> {
    code.strip_prefix("APIGW.").or_else(|| code.strip_prefix("APIG."))
}

/// What a code from the tables of refusals means, whatever its status; `None` for any other, behind which something may
/// have run.
fn by_code(code: &str) -> Option<FaultKind> {
    Some(match code {
        "DAS.200002" | "IAM.0012" => FaultKind::Throttled,
        // The latter is of a security token that has ended.
        "DBS.280056" | "IAM.1108" => FaultKind::TokenExpired,
        // A missing permission is a 400 in GaussDB, as is failed authentication in DAS; so are unusable access keys in IAM.
        "DBS.216003" | "DAS.200051" | "IAM.1104" | "IAM.1105" | "IAM.1106" | "IAM.1107" => FaultKind::Denied,
        // "Not part of this instance" and "wrong node" or "wrong component" come as 400.
        "DBS.212005" | "DBS.216030" | "DBS.280407" | "DBS.280667" | "DBS.280676" => FaultKind::TargetNotFound,
        "DBS.200086" | "DBS.201014" | "DBS.06010001" | "DBS.06020003" | "DBS.280449" | "DBS.280800" => {
            FaultKind::TargetBusy
        }
        // A feature that is not switched on or not in this kernel, or a wrong project: nothing that the caller could mend.
        "DBS.06280105" | "DBS.280408" | "DBS.280804" | "DAS.200113" | "IAM.1109" => FaultKind::Refused,
        // The tables of parameters, and the requests that are empty or name no job.
        "DBS.200001" | "DBS.200004" | "DBS.200006" | "DBS.200543" | "DBS.200823" | "DBS.200824" | "DBS.280001"
        | "DBS.280006" | "DBS.280404" | "DBS.280439" | "DBS.280440" | "DBS.280828" | "DBS.290000" | "DBS.06010013"
        | "DAS.200100" | "DAS.200101" | "DAS.200102" | "DAS.200103" | "DAS.200104" | "DAS.200105" | "DAS.200106"
        | "DAS.200107" | "DAS.200108" | "DAS.200109" | "DAS.200110" | "DAS.200111" | "DAS.200112" | "DAS.200114" => {
            FaultKind::Rejected
        }
        _ if gateway_number(code) == Some("0308") => FaultKind::Throttled,
        _ => return None,
    })
}

/// Whether the gateway itself could not make sense of a call, and passed nothing on.
fn is_malformed(code: &str) -> bool {
    gateway_number(code).is_some_and(|number| matches!(number, "0104" | "0105" | "0106" | "0201" | "0602" | "0607"))
}

/// What a status means with no code, or with one that nobody knows.
fn by_status(status: u16, code: Option<&str>, effect: Effect) -> FaultKind {
    match (status, code) {
        (403, _) => FaultKind::Denied,
        (404, _) => FaultKind::TargetNotFound,
        (409, _) => FaultKind::TargetBusy,
        // The gateway's own: too large, or not understood by anybody.
        (413 | 414 | 494, _) | (400 | 422, None) => FaultKind::Rejected,
        (400, Some(code)) if is_malformed(code) => FaultKind::Rejected,
        (405, _) => FaultKind::Refused,
        _ if effect == Effect::Kill => FaultKind::Unreadable,
        (400 | 422, _) => FaultKind::Rejected,
        _ => FaultKind::Refused,
    }
}

/// Hands a documented success to `read`, and everything else to the error tables.
///
/// A code in a 2xx body is an error too: some of the vendor's operations answer so. `read` gives `None` for a
/// body that is not of the documented shape.
pub(in crate::upstream) fn answer<T>(
    reply: &Reply,
    read: impl FnOnce(&HttpReply) -> Option<Result<T, Fault>>,
) -> Result<T, Fault> {
    let http = reply.http()?;
    if !http.status.is_success() {
        return Err(refusal(reply, http));
    }
    if let (Some(code), message) = said(&http.body) {
        let kind = by_code(&code).unwrap_or(FaultKind::Unreadable);
        return Err(fault(kind, reply, http).saying(Some(code), message));
    }
    read(http).unwrap_or_else(|| Err(Fault::unreadable(reply)))
}

/// The same for an answer that is always JSON.
pub(in crate::upstream) fn read<T>(reply: &Reply, read: impl FnOnce(&Value) -> Option<T>) -> Result<T, Fault> {
    answer(reply, |http| read(&json::read(&http.body)?).map(Ok))
}

/// The ids that the statistic of an intelligent kill names, group by group.
pub(in crate::upstream) fn picked(reply: &Reply) -> Result<Vec<SessionId>, Fault> {
    read(reply, |body| {
        let groups = body["statistics"].as_array()?;
        let ids: Vec<Vec<String>> = groups.iter().map(|group| json::ids(&group["ids"])).collect::<Option<_>>()?;
        Some(ids.into_iter().flatten().map(SessionId).collect())
    })
}

/// Most rows of a page.
const MOST_ROWS: usize = 100;

/// The parameters of a page that begins with that row.
pub(in crate::upstream) fn page_from(row: usize) -> [(&'static str, String); 2] {
    [("offset", row.to_string()), ("limit", MOST_ROWS.to_string())]
}

/// A page that begins with that row, of a list that tells how many rows it has. Rows that are null or left out are none.
pub(in crate::upstream) fn page(reply: &Reply, row: usize, of: &Row, rows: &str, total: &str) -> Result<Page, Fault> {
    read(reply, |body| {
        let sessions = of.read_all(&body[rows])?;
        let (read, total) = (row + sessions.len(), json::id(&body[total])?.parse::<usize>().ok()?);
        let next = match total {
            total if total <= read => Next::End,
            _ if sessions.is_empty() => Next::Cut,
            _ => Next::Row(read),
        };
        Some(Page::Sessions { sessions, next, total: Some(total) })
    })
}

/// A page of a list whose pages are counted and not its rows.
#[derive(Debug, Clone, Copy)]
pub(in crate::upstream) struct Numbered {
    /// Counted from 0.
    number: usize,
    size: usize,
}

impl Numbered {
    /// The page with that row on it that goes on the furthest: where pages cannot begin anywhere, their size can be chosen so
    /// that one begins shortly before it.
    pub(in crate::upstream) fn holding(row: usize) -> Self {
        let pages = (1..=MOST_ROWS).map(|size| Self { number: row / size, size });
        pages.max_by_key(|page| (page.number + 1) * page.size).unwrap_or(Self { number: 0, size: MOST_ROWS })
    }

    /// What the reply says that answers it, see [`page`]. A page that is not full although there should be more is where the
    /// list was cut off: the next one would be the same.
    pub(in crate::upstream) fn read(self, reply: &Reply, of: &Row, rows: &str, total: &str) -> Result<Page, Fault> {
        let mut page = page(reply, self.begin(), of, rows, total)?;
        if let Page::Sessions { sessions, next: next @ Next::Row(_), .. } = &mut page
            && sessions.len() < self.size
        {
            *next = Next::Cut;
        }
        Ok(page)
    }

    /// The row that it begins with.
    const fn begin(self) -> usize {
        self.number * self.size
    }

    /// Its parameters, where the first page is 1.
    pub(in crate::upstream) fn query(self) -> [(&'static str, String); 2] {
        [("cur_page", (self.number + 1).to_string()), ("per_page", self.size.to_string())]
    }
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
pub(in crate::upstream) fn tagged(text: &str, tag: &str) -> bool {
    is_hex_like(text, 36) && text.ends_with(tag)
}

/// 36 letters or digits whose last four are a product's tag, such as `in01`.
///
/// Some pages say 32 characters while their own examples have 36; a newer page was corrected to 36.
pub(in crate::upstream) fn any_instance(text: &str) -> bool {
    is_hex_like(text, 36)
        && text.get(32..34) == Some("in")
        && text.get(34..).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

/// A coordinate that must be given.
pub(in crate::upstream) const fn required(
    name: &'static str,
    expected: &'static str,
    example: &'static str,
    check: fn(&str) -> bool,
) -> Coordinate {
    Coordinate { name, need: Need::Required, expected, example, check }
}

/// Whether a successful answer of DAS says that a kill was taken; `None` where nobody can tell.
///
/// Documented as no body at all, or as `""`; neighbouring operations answer `"OK"`, an object with a `count` or one with
/// `success`, and a sister product tells a failure under 200 as `status: failed` (vendor's SDK and pages, 2025 and 2026).
pub(in crate::upstream) fn is_taken(body: &[u8]) -> Option<bool> {
    if body.trim_ascii().is_empty() {
        return Some(true);
    }
    match json::read(body)? {
        Value::String(word) => matches!(word.as_str(), "" | "OK").then_some(true),
        Value::Object(members) => {
            let failed =
                |status: &str| matches!(status.to_ascii_lowercase().as_str(), "fail" | "failed" | "failure" | "error");
            let says_no = members.get("success") == Some(&Value::Bool(false))
                || members.get("status").and_then(Value::as_str).is_some_and(failed);
            let is_known = |(name, value): (&String, &Value)| match name.as_str() {
                "success" => value.is_boolean(),
                "count" => value.is_u64(),
                _ => false,
            };
            if says_no { Some(false) } else { members.iter().all(is_known).then_some(true) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_page_holds_its_row_and_goes_on_behind_it() {
        assert_eq!(Numbered::holding(0).query(), [("cur_page", "1".to_owned()), ("per_page", "100".to_owned())]);
        for row in 0..20_000 {
            let page = Numbered::holding(row);
            let end = page.begin() + page.size;
            assert!(page.begin() <= row && row < end && (1..=100).contains(&page.size), "{row}: {page:?}");
            // Half a page at the least.
            assert!(end - row >= 50, "{row}: {page:?}");
        }
    }
}

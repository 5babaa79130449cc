//! TC3-HMAC-SHA256, "signature v3" of Tencent Cloud.
//!
//! The vectors in `tests/signing/tencent.json` come from the vendor's Python SDK 3.1.195 and, the last two,
//! from the worked examples in its documentation. Source: <https://cloud.tencent.com/document/api/1130/57824>.

use actix_web::http::Method;
use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};
use time::{OffsetDateTime, UtcOffset};

use crate::upstream::sign::{
    Keys, Unsigned, authority,
    text::{hex, hmac_sha256, sha256_hex},
};

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const TERMINATOR: &str = "tc3_request";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The headers to add: `Content-Type` where none was given, `X-TC-Timestamp`, `X-TC-Token` with temporary keys,
/// and `Authorization`.
///
/// Signed are `content-type` and `host`, as by the vendor's SDKs; `Host` has to be sent as [`authority`] says.
/// `service` is the first label of the API's public host, such as `dcdb`. The cloud takes a time up to 5 minutes
/// off its own. The path is not signed: it is always `/`.
pub(super) fn sign(request: &Unsigned<'_>, keys: &Keys, service: &str, at: OffsetDateTime) -> Vec<(String, String)> {
    let given = |wanted: &str| request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let mut added = Vec::new();
    let content_type = if let Some((_, value)) = given("content-type") {
        value.clone()
    } else {
        let get = request.method == Method::GET;
        let kind = if get { "application/x-www-form-urlencoded" } else { "application/json" };
        added.push(("Content-Type".to_owned(), kind.to_owned()));
        kind.to_owned()
    };
    let signed = [("content-type".to_owned(), content_type), ("host".to_owned(), authority(request.url))];
    let stated = given("x-tc-content-sha256").map(|(_, value)| value.as_str());
    let query = request.url.query().unwrap_or_default();
    let canonical = canonical_request(request.method, query, &signed, stated, request.body);

    let timestamp = at.unix_timestamp().to_string();
    let date = day(at);
    let scope = scope(&date, service);
    let text = string_to_sign(&timestamp, &scope, &canonical);
    let signature = hmac_sha256(signing_key(&keys.secret, &date, service).as_ref(), &text);
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
        keys.id,
        names(&signed),
        hex(signature.as_ref())
    );
    added.push(("X-TC-Timestamp".to_owned(), timestamp));
    if let Some(token) = &keys.token {
        added.push(("X-TC-Token".to_owned(), token.expose_secret().to_owned()));
    }
    added.push(("Authorization".to_owned(), authorization));
    added
}

/// The day of that instant in UTC, `YYYY-MM-DD`.
fn day(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).date().to_string()
}

fn scope(date: &str, service: &str) -> String {
    format!("{date}/{service}/{TERMINATOR}")
}

fn names(signed: &[(String, String)]) -> String {
    signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
}

/// `signed` is in order of name. The SDKs sign the two headers they sign as they are sent; further ones count in
/// lower case, by the documentation.
fn canonical_request(
    method: &Method,
    query: &str,
    signed: &[(String, String)],
    stated: Option<&str>,
    body: &[u8],
) -> String {
    let line = |(name, value): &(String, String)| match name.as_str() {
        "content-type" | "host" => format!("{name}:{}\n", value.trim()),
        _ => format!("{name}:{}\n", value.trim().to_lowercase()),
    };
    let headers: String = signed.iter().map(line).collect();
    let query = if method == Method::GET { query } else { "" };
    let payload = if stated == Some(UNSIGNED) { UNSIGNED.as_bytes() } else { body };
    [method.as_str(), "/", query, &headers, &names(signed), &sha256_hex(payload)].join("\n")
}

fn string_to_sign(timestamp: &str, scope: &str, canonical: &str) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()))
}

/// The key of one day and service: 32 raw bytes.
fn signing_key(secret: &SecretString, date: &str, service: &str) -> hmac::Tag {
    let first = hmac_sha256(format!("TC3{}", secret.expose_secret()).as_bytes(), date);
    let second = hmac_sha256(first.as_ref(), service);
    hmac_sha256(second.as_ref(), TERMINATOR)
}

#[cfg(test)]
mod tests;

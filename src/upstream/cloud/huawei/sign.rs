//! SDK-HMAC-SHA256, the key signature of Huawei Cloud.
//!
//! As the vendor's Python SDK 3.1.219 makes it; the vectors in `tests/signing/huawei.json` come from there.
//! Source: <https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html>.

use actix_web::http::Method;
use secrecy::ExposeSecret;
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

use crate::upstream::sign::{
    Keys, Unsigned,
    canonical::{SignedHeaders, canonical_query},
    text::{decode, encode_but, hex, hmac_sha256, sha256_hex},
};

const ALGORITHM: &str = "SDK-HMAC-SHA256";
const CONTENT_HEADER: &str = "x-sdk-content-sha256";
const DATE: &[BorrowedFormatItem<'static>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// The headers to add: `X-Sdk-Date`, `X-Security-Token` with temporary keys, `X-Sdk-Content-Sha256` with a body
/// that is not JSON, and `Authorization`.
///
/// Every header given is signed, but for those with an underscore in the name, which proxies drop; so is `Host`,
/// which has to be sent as [`authority`] says. The cloud takes a time up to 15 minutes off its own, and locks a
/// key for five minutes after more than five bad signatures in a row.
pub(super) fn sign(request: &Unsigned<'_>, keys: &Keys, at: OffsetDateTime) -> Vec<(String, String)> {
    let date = date(at);
    let mut added = vec![("X-Sdk-Date".to_owned(), date.clone())];
    if let Some(token) = &keys.token {
        added.push(("X-Security-Token".to_owned(), token.expose_secret().to_owned()));
    }
    if let Some((_, kind)) = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        && !["application/json", "application/bson"].iter().any(|known| kind.starts_with(known))
    {
        added.push(("X-Sdk-Content-Sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
    }
    let signed = signed_headers(request, &added);
    let canonical = canonical_request(
        request.method,
        request.url.path(),
        request.url.query().unwrap_or_default(),
        &signed,
        request.body,
    );
    let signature = hmac_sha256(keys.secret.expose_secret().as_bytes(), &string_to_sign(&date, &canonical));
    let authorization = format!(
        "{ALGORITHM} Access={}, SignedHeaders={}, Signature={}",
        keys.id,
        signed.names(),
        hex(signature.as_ref())
    );
    added.push(("Authorization".to_owned(), authorization));
    added
}

/// The time as `X-Sdk-Date` says it.
fn date(at: OffsetDateTime) -> String {
    // Whole fields of a UTC time always fit this format.
    at.to_offset(UtcOffset::UTC).format(DATE).unwrap_or_default()
}

fn signed_headers(request: &Unsigned<'_>, added: &[(String, String)]) -> SignedHeaders {
    let given = request.headers.iter().chain(added).filter(|(name, _)| !name.contains('_'));
    SignedHeaders::new(request.url, given)
}

fn canonical_request(method: &Method, path: &str, query: &str, signed: &SignedHeaders, body: &[u8]) -> String {
    let payload = match signed.get(CONTENT_HEADER) {
        Some(stated) if !body.is_empty() => stated.clone(),
        _ => sha256_hex(body),
    };
    [method.as_str(), &canonical_path(path), &canonical_query(query), &signed.lines(), &signed.names(), &payload]
        .join("\n")
}

/// Decoded once and encoded piece by piece, so that `%2F` turns into a slash, as in the SDK; ends in a slash.
fn canonical_path(path: &str) -> String {
    let mut path = encode_but(&decode(path), b"/");
    if !path.ends_with('/') {
        path.push('/');
    }
    path
}

fn string_to_sign(date: &str, canonical: &str) -> String {
    format!("{ALGORITHM}\n{date}\n{}", sha256_hex(canonical.as_bytes()))
}

#[cfg(test)]
mod tests;

//! ACS3-HMAC-SHA256, "signature V3" of Alibaba Cloud.
//!
//! The first vector in `tests/signing/alibaba.json` is the worked example of the vendor's documentation; the others were
//! made with the functions of its Python SDK (`alibabacloud_tea_openapi` 0.4.6).
//! Source: <https://help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature>.

use secrecy::ExposeSecret;
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

use crate::upstream::sign::{
    Keys, Unsigned,
    canonical::{SignedHeaders, canonical_query},
    text::{hex, hmac_sha256, sha256_hex},
};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
const DATE: &[BorrowedFormatItem<'static>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// The headers to add: `x-acs-date`, `x-acs-signature-nonce`, `x-acs-content-sha256`, `x-acs-accesskey-id` and
/// `x-acs-security-token` with temporary keys, and `Authorization`.
///
/// Every header given is signed, and so is `Host`, which has to be sent as [`authority`] says. The cloud takes a time up to
/// 15 minutes off its own, and no `nonce` a second time within those.
pub(super) fn sign(request: &Unsigned<'_>, keys: &Keys, nonce: String, at: OffsetDateTime) -> Vec<(String, String)> {
    let payload = sha256_hex(request.body);
    let mut added =
        vec![("x-acs-date", date(at)), ("x-acs-signature-nonce", nonce), ("x-acs-content-sha256", payload.clone())];
    if let Some(token) = &keys.token {
        added.push(("x-acs-accesskey-id", keys.id.clone()));
        added.push(("x-acs-security-token", token.expose_secret().to_owned()));
    }
    let mut added: Vec<(String, String)> = added.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let signed = SignedHeaders::new(request.url, request.headers.iter().chain(&added));
    let canonical = canonical_request(request, &signed, &payload);
    let signature = hmac_sha256(keys.secret.expose_secret().as_bytes(), &string_to_sign(&canonical));
    let authorization = format!(
        "{ALGORITHM} Credential={},SignedHeaders={},Signature={}",
        keys.id,
        signed.names(),
        hex(signature.as_ref())
    );
    added.push(("Authorization".to_owned(), authorization));
    added
}

fn date(at: OffsetDateTime) -> String {
    // Whole fields of a UTC time always fit this format.
    at.to_offset(UtcOffset::UTC).format(DATE).unwrap_or_default()
}

fn canonical_request(request: &Unsigned<'_>, signed: &SignedHeaders, payload: &str) -> String {
    let query = canonical_query(request.url.query().unwrap_or_default());
    [request.method.as_str(), request.url.path(), &query, &signed.lines(), &signed.names(), payload].join("\n")
}

fn string_to_sign(canonical: &str) -> String {
    format!("{ALGORITHM}\n{}", sha256_hex(canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use actix_web::http::Method;
    use serde::Deserialize;
    use url::Url;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        method: String,
        host: String,
        query: String,
        headers_in: BTreeMap<String, String>,
        body: String,
        access_key_id: String,
        access_key_secret: String,
        security_token: Option<String>,
        nonce: String,
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        signed_headers: String,
        signature: String,
    }

    #[test]
    fn every_vector_of_the_vendors_signer_is_reproduced() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../../../tests/signing/alibaba.json")).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let name = &vector.name;
            let keys = Keys {
                id: vector.access_key_id.clone(),
                secret: vector.access_key_secret.into(),
                token: vector.security_token.clone().map(Into::into),
            };
            let url = Url::parse(&format!("https://{}/?{}", vector.host, vector.query)).unwrap();
            let headers: Vec<_> = vector.headers_in.into_iter().collect();
            let method = Method::from_bytes(vector.method.as_bytes()).unwrap();
            let body = vector.body.as_bytes();
            let request = Unsigned { method: &method, url: &url, headers: &headers, body };
            let added = sign(&request, &keys, vector.nonce.clone(), vector.at);
            let value = |wanted: &str| added.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            let expected = format!(
                "ACS3-HMAC-SHA256 Credential={},SignedHeaders={},Signature={}",
                vector.access_key_id, vector.signed_headers, vector.signature
            );
            assert_eq!(value("Authorization"), Some(expected.as_str()), "{name}");
            assert_eq!(value("x-acs-signature-nonce"), Some(vector.nonce.as_str()), "{name}");
            assert_eq!(value("x-acs-security-token"), vector.security_token.as_deref(), "{name}");
        }
    }

    #[test]
    fn a_query_is_signed_in_its_canonical_form_however_it_is_written() {
        assert_eq!(canonical_query("b=2&a=%5b1%2C2%5D&&c"), "a=%5B1%2C2%5D&b=2&c=");
    }
}

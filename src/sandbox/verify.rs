//! Checks signatures, written from the vendors' descriptions alone and sharing nothing with the signers of this
//! crate: a signer and a verifier that are wrong in the same way would never notice.

use aws_lc_rs::{digest, hmac};

use super::log::Incoming;

/// An `Authorization` header taken apart.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    /// The access key, with the scope behind it where the algorithm has one.
    pub(super) key: &'a str,
    pub(super) signed: Vec<&'a str>,
    pub(super) signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads `ALGORITHM KEY=…, SignedHeaders=…, Signature=…`; the list has to be sorted and in lower case.
    pub(super) fn parse(header: &'a str, algorithm: &str, key_name: &str) -> Option<Self> {
        Self::parse_with(header, algorithm, key_name, ", ")
    }

    /// The same with other commas.
    pub(super) fn parse_with(header: &'a str, algorithm: &str, key_name: &str, comma: &str) -> Option<Self> {
        let mut parts = header.strip_prefix(algorithm)?.strip_prefix(' ')?.split(comma);
        let key = parts.next()?.strip_prefix(key_name)?.strip_prefix('=')?;
        let signed: Vec<_> = parts.next()?.strip_prefix("SignedHeaders=")?.split(';').collect();
        let signature = parts.next()?.strip_prefix("Signature=")?;
        let tidy = signed.is_sorted() && signed.iter().all(|name| !name.bytes().any(|b| b.is_ascii_uppercase()));
        (tidy && parts.next().is_none()).then_some(Self { key, signed, signature })
    }

    pub(super) fn signs(&self, name: &str) -> bool {
        self.signed.contains(&name)
    }
}

/// The canonical request of SDK-HMAC-SHA256; `None` where a signed header is absent.
pub(super) fn huawei_canonical(request: &Incoming, signed: &[&str]) -> Option<String> {
    let mut path: String = decode(&request.path).split('/').map(encode).collect::<Vec<_>>().join("/");
    if !path.ends_with('/') {
        path.push('/');
    }
    let mut pairs: Vec<(String, String)> = (request.query.split('&').filter(|piece| !piece.is_empty()))
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    pairs.sort();
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let headers = header_lines(request, signed, |_, value| value.to_owned())?;
    let payload = match request.headers.value("x-sdk-content-sha256") {
        Some(given) if !request.body.is_empty() => given.to_owned(),
        _ => sha256_hex(&request.body),
    };
    Some(format!("{}\n{path}\n{}\n{headers}\n{}\n{payload}", request.method, query.join("&"), signed.join(";")))
}

/// The signature of SDK-HMAC-SHA256.
pub(super) fn huawei_signature(canonical: &str, date: &str, secret: &str) -> String {
    let text = format!("SDK-HMAC-SHA256\n{date}\n{}", sha256_hex(canonical.as_bytes()));
    hex(mac(secret.as_bytes(), text.as_bytes()).as_ref())
}

/// The canonical request of TC3-HMAC-SHA256; `None` where a signed header is absent.
pub(super) fn tencent_canonical(request: &Incoming, signed: &[&str]) -> Option<String> {
    let query = if request.method == "GET" { request.query.as_str() } else { "" };
    let headers = header_lines(request, signed, |name, value| match name {
        "content-type" | "host" => value.to_owned(),
        _ => value.to_lowercase(),
    })?;
    let payload = match request.headers.value("x-tc-content-sha256") {
        Some("UNSIGNED-PAYLOAD") => sha256_hex(b"UNSIGNED-PAYLOAD"),
        _ => sha256_hex(&request.body),
    };
    Some(format!("{}\n/\n{query}\n{headers}\n{}\n{payload}", request.method, signed.join(";")))
}

/// The signature of TC3-HMAC-SHA256; `scope` is `DATE/service/tc3_request`.
pub(super) fn tencent_signature(canonical: &str, timestamp: &str, scope: &str, secret: &str) -> String {
    let text = format!("TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let first = format!("TC3{secret}").into_bytes();
    let key = scope.split('/').fold(first, |key, piece| mac(&key, piece.as_bytes()).as_ref().to_vec());
    hex(mac(&key, text.as_bytes()).as_ref())
}

/// The canonical request of ACS3-HMAC-SHA256; `None` where a signed header is absent.
pub(super) fn alibaba_canonical(request: &Incoming, signed: &[&str]) -> Option<String> {
    let mut pairs: Vec<(String, String)> = (request.query.split('&').filter(|piece| !piece.is_empty()))
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(name, value)| (encode(&decode(name)), encode(&decode(value))))
        .collect();
    pairs.sort();
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers = header_lines(request, signed, |_, value| value.to_owned())?;
    let payload = sha256_hex(&request.body);
    let Incoming { method, path, .. } = request;
    Some(format!("{method}\n{path}\n{}\n{headers}\n{}\n{payload}", query.join("&"), signed.join(";")))
}

/// The signature of ACS3-HMAC-SHA256.
pub(super) fn alibaba_signature(canonical: &str, secret: &str) -> String {
    let text = format!("ACS3-HMAC-SHA256\n{}", sha256_hex(canonical.as_bytes()));
    hex(mac(secret.as_bytes(), text.as_bytes()).as_ref())
}

fn header_lines(request: &Incoming, signed: &[&str], value: impl Fn(&str, &str) -> String) -> Option<String> {
    let line = |name: &&str| Some(format!("{name}:{}\n", value(name, request.headers.value(name)?.trim())));
    signed.iter().map(line).collect()
}

fn mac(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

/// Percent-decodes a text; what is not a valid escape stays as it is, and so does a plus sign.
pub(super) fn decode(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn encode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::Value;
    use time::OffsetDateTime;

    use super::*;

    fn vectors(text: &str) -> Vec<Value> {
        serde_json::from_str(text).unwrap()
    }

    fn text(vector: &Value, name: &str) -> String {
        vector[name].as_str().unwrap_or_default().to_owned()
    }

    fn request(vector: &Value, path: &str, query: &str, extra: &[(&str, &str)]) -> Incoming {
        let given = vector["headers_in"].as_object().unwrap().iter();
        let given = given.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Incoming {
            arrived: Instant::now(),
            at: OffsetDateTime::UNIX_EPOCH,
            method: text(vector, "method"),
            path: path.into(),
            query: query.into(),
            headers: given.chain(extra).collect(),
            body: text(vector, "body").into_bytes(),
        }
    }

    #[test]
    fn every_huawei_vector_verifies() {
        for vector in vectors(include_str!("../../tests/signing/huawei.json")) {
            let name = text(&vector, "name");
            let url = text(&vector, "wire_url");
            let rest = url.split_once("://").unwrap().1;
            let (host, path) = rest.split_once('/').unwrap();
            let path = format!("/{path}");
            let (path, query) = path.split_once('?').unwrap_or((&path, ""));
            let date = text(&vector, "x_sdk_date");
            let mut extra = vec![("Host", host), ("X-Sdk-Date", &*date)];
            if name.starts_with("non-json-content-type") {
                extra.push(("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD"));
            }
            let header = text(&vector, "authorization");
            let authorization = Authorization::parse(&header, "SDK-HMAC-SHA256", "Access").unwrap();
            let canonical = huawei_canonical(&request(&vector, path, query, &extra), &authorization.signed).unwrap();
            assert_eq!(canonical, text(&vector, "canonical_request"), "{name}");
            let signature = huawei_signature(&canonical, &date, &text(&vector, "sk"));
            assert_eq!(signature, authorization.signature, "{name}");
        }
    }

    #[test]
    fn every_tencent_vector_verifies() {
        for vector in vectors(include_str!("../../tests/signing/tencent.json")) {
            let name = text(&vector, "name");
            let header = text(&vector, "authorization");
            let authorization = Authorization::parse(&header, "TC3-HMAC-SHA256", "Credential").unwrap();
            let scope = authorization.key.split_once('/').unwrap().1;
            let request = request(&vector, "/", &text(&vector, "query"), &[]);
            let canonical = tencent_canonical(&request, &authorization.signed).unwrap();
            assert_eq!(canonical, text(&vector, "canonical_request"), "{name}");
            let timestamp = vector["timestamp"].to_string();
            let signature = tencent_signature(&canonical, &timestamp, scope, &text(&vector, "secret_key"));
            assert_eq!(signature, authorization.signature, "{name}");
        }
    }

    #[test]
    fn every_alibaba_vector_verifies() {
        for vector in vectors(include_str!("../../tests/signing/alibaba.json")) {
            let name = text(&vector, "name");
            let payload = sha256_hex(text(&vector, "body").as_bytes());
            let (host, at, nonce) = (text(&vector, "host"), text(&vector, "at"), text(&vector, "nonce"));
            let (id, token) = (text(&vector, "access_key_id"), text(&vector, "security_token"));
            let extra = [
                ("host", &*host),
                ("x-acs-date", &*at),
                ("x-acs-signature-nonce", &*nonce),
                ("x-acs-content-sha256", &*payload),
                ("x-acs-accesskey-id", &*id),
                ("x-acs-security-token", &*token),
            ];
            let signed = text(&vector, "signed_headers");
            let request = request(&vector, "/", &text(&vector, "query"), &extra);
            let canonical = alibaba_canonical(&request, &signed.split(';').collect::<Vec<_>>()).unwrap();
            let signature = alibaba_signature(&canonical, &text(&vector, "access_key_secret"));
            assert_eq!(signature, text(&vector, "signature"), "{name}");
        }
    }

    #[test]
    fn an_untidy_authorization_is_not_read() {
        for bad in [
            "SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date;host, Signature=00",
            "SDK-HMAC-SHA256 Access=A, SignedHeaders=Host, Signature=00",
            "SDK-HMAC-SHA256 Access=A,SignedHeaders=host,Signature=00",
            "SDK-HMAC-SHA256 Access=A, SignedHeaders=host, Signature=00, More=1",
        ] {
            assert!(Authorization::parse(bad, "SDK-HMAC-SHA256", "Access").is_none(), "{bad}");
        }
    }
}

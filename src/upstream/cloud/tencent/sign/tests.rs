//! The vendor's own signer is right; a property then holds for what its vectors leave out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use url::Url;

use super::*;

const VECTORS: &str = include_str!("../../../../../tests/signing/tencent.json");

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    host: String,
    query: String,
    headers_in: BTreeMap<String, String>,
    body: String,
    secret_id: String,
    secret_key: String,
    service: String,
    timestamp: i64,
    canonical_request: String,
    string_to_sign: String,
    authorization: String,
}

#[test]
fn every_vector_of_the_vendors_signer_is_reproduced() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 21);
    for mut vector in vectors {
        let name = &vector.name;
        let token = vector.headers_in.remove("X-TC-Token").map(SecretString::from);
        let timestamp = vector.headers_in.remove("X-TC-Timestamp").unwrap();
        assert_eq!(vector.headers_in.remove("Host").as_ref(), Some(&vector.host), "{name}");
        let keys = Keys { id: vector.secret_id, secret: vector.secret_key.into(), token: token.clone() };
        let headers: Vec<_> = vector.headers_in.into_iter().collect();
        let method = Method::from_bytes(vector.method.as_bytes()).unwrap();
        let mut url = Url::parse(&format!("https://{}/", vector.host)).unwrap();
        url.set_query(Some(&vector.query).filter(|query| !query.is_empty()).map(String::as_str));
        let request = Unsigned { method: &method, url: &url, headers: &headers, body: vector.body.as_bytes() };

        let at = OffsetDateTime::from_unix_timestamp(vector.timestamp).unwrap();
        let added = sign(&request, &keys, &vector.service, at);
        let value = |wanted: &str| added.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(value("Authorization"), Some(vector.authorization.as_str()), "{name}");
        assert_eq!(value("X-TC-Timestamp"), Some(timestamp.as_str()), "{name}");
        assert_eq!(value("X-TC-Token"), token.as_ref().map(ExposeSecret::expose_secret), "{name}");

        let kind = headers.iter().find(|(name, _)| name == "Content-Type").unwrap().1.clone();
        let stated = headers.iter().find(|(name, _)| name == "X-TC-Content-SHA256").map(|(_, value)| value.as_str());
        let signed = [("content-type".to_owned(), kind), ("host".to_owned(), vector.host.clone())];
        let canonical = canonical_request(&method, &vector.query, &signed, stated, vector.body.as_bytes());
        assert_eq!(canonical, vector.canonical_request, "{name}");
        let scope = scope(&day(at), &vector.service);
        assert_eq!(string_to_sign(&timestamp, &scope, &canonical), vector.string_to_sign, "{name}");
    }
}

#[test]
fn further_signed_headers_count_trimmed_and_in_lower_case() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let signed =
        [header("content-type", "application/json"), header("host", "h"), header("x-tc-action", " KillSession ")];
    let canonical = canonical_request(&Method::POST, "", &signed, None, b"{}");
    assert!(canonical.contains("\nx-tc-action:killsession\n\ncontent-type;host;x-tc-action\n"), "{canonical}");
}

/// One request with its time and secret.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    method: Method,
    query: String,
    kind: String,
    host: String,
    body: Vec<u8>,
    service: String,
    secret: String,
    seconds: i64,
}

impl Sample {
    fn headers(&self) -> Vec<(String, String)> {
        vec![("X-TC-Action".into(), "KillSession".into()), ("Content-Type".into(), self.kind.clone())]
    }

    fn signed(&self, headers: &[(String, String)]) -> Vec<(String, String)> {
        let keys = Keys { id: "AKID".into(), secret: self.secret.clone().into(), token: None };
        let url = Url::parse(&format!("https://{}/?a={}", self.host, self.query)).unwrap();
        let request = Unsigned { method: &self.method, url: &url, headers, body: &self.body };
        sign(&request, &keys, &self.service, OffsetDateTime::from_unix_timestamp(self.seconds).unwrap())
    }

    fn authorization(&self) -> String {
        self.signed(&self.headers()).pop().unwrap().1
    }
}

fn samples() -> impl Strategy<Value = Sample> {
    let text = "[a-z0-9]{1,8}";
    let method = prop::sample::select(vec![Method::GET, Method::POST]);
    let body = prop::collection::vec(any::<u8>(), 0..40);
    (method, text, text, "[a-z]{1,8}", body, text, "[ -~]{1,40}", 1_700_000_000..1_800_000_000_i64).prop_map(
        |(method, query, kind, host, body, service, secret, seconds)| Sample {
            method,
            query,
            kind,
            host,
            body,
            service,
            secret,
            seconds,
        },
    )
}

/// The sample with one of its parts taken from the other.
fn changed(sample: &Sample, other: &Sample, part: usize) -> Sample {
    let mut changed = sample.clone();
    match part {
        0 => changed.method = other.method.clone(),
        1 if sample.method == Method::GET => changed.query.clone_from(&other.query),
        2 => changed.kind.clone_from(&other.kind),
        3 => changed.host.clone_from(&other.host),
        4 => changed.body.clone_from(&other.body),
        5 => changed.service.clone_from(&other.service),
        6 => changed.secret.clone_from(&other.secret),
        _ => changed.seconds = other.seconds,
    }
    changed
}

proptest! {
    #[test]
    fn any_change_of_what_is_signed_changes_the_signature(sample in samples(), other in samples(), part in 0..8_usize) {
        let changed = changed(&sample, &other, part);
        prop_assert_eq!(changed == sample, changed.authorization() == sample.authorization());
    }

    #[test]
    fn the_order_of_headers_does_not_matter(sample in samples()) {
        let mut turned = sample.headers();
        turned.reverse();
        prop_assert_eq!(sample.signed(&turned), sample.signed(&sample.headers()));
    }
}

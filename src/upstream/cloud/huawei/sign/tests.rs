//! The vendor's own signer is right; a property then holds for what its vectors leave out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use secrecy::SecretString;
use serde::Deserialize;
use time::{PrimitiveDateTime, macros::datetime};
use url::Url;

use super::*;

const VECTORS: &str = include_str!("../../../../../tests/signing/huawei.json");

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    url: Url,
    headers_in: BTreeMap<String, String>,
    body: Option<String>,
    ak: String,
    sk: String,
    x_sdk_date: String,
    signed_headers: String,
    canonical_request: String,
    string_to_sign: String,
    authorization: String,
    wire_url: String,
}

#[test]
fn every_vector_of_the_vendors_signer_is_reproduced() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 15);
    for mut vector in vectors {
        let name = &vector.name;
        let token = vector.headers_in.remove("X-Security-Token").map(SecretString::from);
        let keys = Keys { id: vector.ak, secret: vector.sk.into(), token };
        let headers: Vec<_> = vector.headers_in.into_iter().collect();
        let method = Method::from_bytes(vector.method.as_bytes()).unwrap();
        let body = vector.body.unwrap_or_default();
        let request = Unsigned { method: &method, url: &vector.url, headers: &headers, body: body.as_bytes() };

        let mut added = sign(&request, &keys, PrimitiveDateTime::parse(&vector.x_sdk_date, DATE).unwrap().assume_utc());
        let (last, authorization) = added.pop().unwrap();
        assert_eq!((last.as_str(), authorization.as_str()), ("Authorization", vector.authorization.as_str()), "{name}");

        let signed = signed_headers(&request, &added);
        let query = vector.url.query().unwrap_or_default();
        let canonical = canonical_request(&method, vector.url.path(), query, &signed, body.as_bytes());
        assert_eq!(signed.names(), vector.signed_headers, "{name}");
        assert_eq!(canonical, vector.canonical_request, "{name}");
        assert_eq!(string_to_sign(&vector.x_sdk_date, &canonical), vector.string_to_sign, "{name}");

        let sent = canonical_query(query);
        let wire = format!("{}{}{sent}", vector.url.path(), if sent.is_empty() { "" } else { "?" });
        assert!(vector.wire_url.ends_with(&wire), "{name}: {wire}");
    }
}

/// One request with its time and secret, and the headers that signing adds.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    method: Method,
    path: String,
    query: String,
    value: String,
    body: Vec<u8>,
    secret: String,
    seconds: i64,
}

impl Sample {
    fn url(&self) -> Url {
        Url::parse(&format!("https://das.example/v3/{}?user={}", self.path, self.query)).unwrap()
    }

    fn headers(&self) -> Vec<(String, String)> {
        [("Content-Type", "application/json"), ("X-Project-Id", &self.value), ("X-Language", "en-us")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    fn signed(&self, headers: &[(String, String)]) -> Vec<(String, String)> {
        let keys = Keys { id: "AK".into(), secret: self.secret.clone().into(), token: None };
        let at = datetime!(2026-01-01 00:00 UTC) + time::Duration::seconds(self.seconds);
        let (method, url) = (&self.method, &self.url());
        sign(&Unsigned { method, url, headers, body: &self.body }, &keys, at)
    }

    fn authorization(&self) -> String {
        self.signed(&self.headers()).pop().unwrap().1
    }
}

fn samples() -> impl Strategy<Value = Sample> {
    let method = prop::sample::select(vec![Method::GET, Method::POST, Method::DELETE]);
    let text = "[a-z0-9]{1,8}";
    (method, text, text, text, prop::collection::vec(any::<u8>(), 0..40), "[ -~]{1,40}", 0..100_000_000_i64).prop_map(
        |(method, path, query, value, body, secret, seconds)| Sample {
            method,
            path,
            query,
            value,
            body,
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
        1 => changed.path.clone_from(&other.path),
        2 => changed.query.clone_from(&other.query),
        3 => changed.value.clone_from(&other.value),
        4 => changed.body.clone_from(&other.body),
        5 => changed.secret.clone_from(&other.secret),
        _ => changed.seconds = other.seconds,
    }
    changed
}

proptest! {
    #[test]
    fn any_change_of_what_is_signed_changes_the_signature(sample in samples(), other in samples(), part in 0..7_usize) {
        let changed = changed(&sample, &other, part);
        prop_assert_eq!(changed == sample, changed.authorization() == sample.authorization());
    }

    #[test]
    fn one_changed_byte_of_the_body_is_noticed(sample in samples(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        prop_assume!(!sample.body.is_empty());
        let mut changed = sample.clone();
        let at = at.index(changed.body.len());
        changed.body[at] ^= flip;
        prop_assert_ne!(changed.authorization(), sample.authorization());
    }

    #[test]
    fn the_order_of_headers_and_of_the_query_does_not_matter(sample in samples()) {
        let mut turned = sample.headers();
        turned.reverse();
        prop_assert_eq!(sample.signed(&turned), sample.signed(&sample.headers()));
        prop_assert_eq!(canonical_query("b=2&a=1&b=1"), canonical_query("a=1&b=1&b=2"));
    }
}

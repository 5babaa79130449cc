//! The canonical form of a request of which every header is signed, as Huawei's and Alibaba's signatures have it.

use std::collections::BTreeMap;

use url::Url;

use super::text::{authority, decode, query};

/// Every header that is signed, by its name in lower case.
pub(in crate::upstream) struct SignedHeaders(BTreeMap<String, String>);

impl SignedHeaders {
    /// These, and `Host` as the URL has it.
    pub(in crate::upstream) fn new<'h>(url: &Url, given: impl Iterator<Item = &'h (String, String)>) -> Self {
        let mut signed: BTreeMap<_, _> =
            given.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        signed.insert("host".to_owned(), authority(url));
        Self(signed)
    }

    pub(in crate::upstream) fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }

    /// Their names, in order.
    pub(in crate::upstream) fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(";")
    }

    /// A line for each, in order of name.
    pub(in crate::upstream) fn lines(&self) -> String {
        self.0.iter().map(|(name, value)| [name, ":", value.trim(), "\n"].concat()).collect()
    }
}

/// The pairs of a query as it is sent, in canonical form.
pub(in crate::upstream) fn canonical_query(text: &str) -> String {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    query(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (decode(n), decode(v))).collect())
}

//! `[seal]`: the key that blocks are signed with, and where checkpoints go.

use std::{path::PathBuf, time::Duration};

use url::Url;

use super::{address, section::Section};
use crate::chain::SealKey;

/// How the record is sealed.
#[derive(Debug, Clone)]
pub struct Seal {
    /// Without one nothing is sealed.
    pub key: Option<SealKey>,
    /// A file that every checkpoint is appended to.
    pub checkpoint_file: Option<PathBuf>,
    /// Where every checkpoint is posted to. An https URL; http is allowed to loopback, or with `seal.allow_http = true`.
    pub checkpoint_url: Option<Url>,
    /// `ca_file`: certificates of authorities that the receiver may have its own from, beside those of `[tls]`, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// `every_ms`: how often is looked for what is to be sealed: 100 to 3600000 ms, 1000 by default.
    pub every: Duration,
    /// The most kills of one block: 1 to 10000, 1000 by default.
    pub most: u32,
}

impl Seal {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let key = section.secret("key").and_then(|secret| {
            let key = SealKey::read(secret.expose());
            key.map_err(|error| section.problem("key", error.to_string())).ok()
        });
        let allow_http = section.flag("allow_http").unwrap_or(false);
        let checkpoint_file = section.text("checkpoint_file").map(PathBuf::from);
        let checkpoint_url =
            section.parsed("checkpoint_url", address::ENDPOINT, |text| address::endpoint(text, allow_http));
        if !section.has("key") && (section.has("checkpoint_file") || section.has("checkpoint_url")) {
            section.problem("key", "required with checkpoint_file or checkpoint_url");
        }
        Self {
            key,
            checkpoint_file,
            checkpoint_url,
            authorities: section.authorities("ca_file"),
            every: Duration::from_millis(section.number("every_ms", 100..=3_600_000).unwrap_or(1000)),
            most: section.number("most", 1..=10_000).unwrap_or(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read, read_with};
    use crate::chain::hex;

    /// The first private key of RFC 8032, section 7.1, and its public half.
    const KEY: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn without_a_key_nothing_is_sealed() {
        let seal = read("").seal;
        assert!(seal.key.is_none() && seal.checkpoint_file.is_none() && seal.checkpoint_url.is_none());
        assert_eq!((seal.every.as_millis(), seal.most), (1000, 1000));
    }

    #[test]
    fn a_key_is_pem_or_base64_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seal.pem");
        std::fs::write(&file, format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n")).unwrap();
        let from_file = read(&format!("seal.key = {{ file = '{}' }}", file.display())).seal;
        let from_env = read_with("", &[("KILLGATE__SEAL__KEY", KEY)]).unwrap().seal;
        for seal in [from_file, from_env] {
            assert_eq!(hex(&seal.key.as_ref().unwrap().public()), PUBLIC);
            assert!(!format!("{seal:?}").contains(&KEY[20..]));
        }
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = "[seal]\nkey = 'canary'\ncheckpoint_file = 7\ncheckpoint_url = 'http://example.com'\nevery_ms = 1\n\
                    most = 0\nkeys = 1";
        assert_eq!(
            problems(toml),
            [
                "seal.key: must be an Ed25519 private key: PKCS#8 as PEM, or as base64",
                "seal.checkpoint_file: must be a text of 1 to 255 characters",
                "seal.checkpoint_url: must be an https URL (http is allowed to loopback or with allow_http = true) \
                 without user, query or fragment",
                "seal.every_ms: must be a whole number from 100 to 3600000, not 1",
                "seal.most: must be a whole number from 1 to 10000, not 0",
                "seal.keys: unknown key, expected one of key, allow_http, checkpoint_file, checkpoint_url, ca_file, every_ms, most",
            ]
        );
        let without = problems("seal.checkpoint_file = 'c.ndjson'");
        assert_eq!(without, ["seal.key: required with checkpoint_file or checkpoint_url"]);
    }
}

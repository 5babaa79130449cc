//! `[webhooks.NAME]`: who is told of kills, where and with which signature.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use url::Url;

use super::{Account, Secret, address, section::Section};
use crate::domain::Glob;

/// How a key begins that is written as the Standard Webhooks specification has it: as base64.
const SERIALISED: &str = "whsec_";
/// The shortest key that deliveries are signed with, in bytes.
const SHORTEST: usize = 24;
const SECRET: &str = "must have at least 24 bytes; after whsec_ they are written as base64";

/// Where kills are told, and which.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub name: String,
    /// An https URL; http is allowed to loopback, or with `allow_http = true`.
    pub url: Url,
    /// What deliveries are signed with, see [`Webhook::key`].
    pub secret: Secret,
    /// Whose kills, as patterns for the token's subject; `None`: everybody's.
    pub callers: Option<Vec<Glob>>,
    /// At which accounts, as patterns for their names; `None`: at all of them.
    pub accounts: Option<Vec<Glob>>,
    /// `ca_file`: certificates of authorities that the receiver may have its own from, beside those of `[tls]`, as PEM.
    pub authorities: Option<Vec<u8>>,
}

impl Webhook {
    pub(super) fn read(
        name: &str,
        section: &mut Section<'_>,
        accounts: &BTreeMap<String, Option<Account>>,
    ) -> Option<Self> {
        section.require(&["url", "secret"]);
        let allow_http = section.flag("allow_http").unwrap_or(false);
        let url = section.parsed("url", address::ENDPOINT, |text| address::endpoint(text, allow_http));
        let secret = section.secret("secret");
        if secret.as_ref().is_some_and(|secret| key(secret).is_none()) {
            section.problem("secret", SECRET);
        }
        let patterns = "must be a list of one or more patterns";
        let callers = section.list_of("callers", patterns, Glob::parse);
        let named = section.list_of("accounts", patterns, Glob::parse);
        for pattern in named.iter().flatten() {
            if !accounts.keys().any(|account| pattern.matches(account)) {
                section.problem("accounts", format!("no account fits {:?}", pattern.as_str()));
            }
        }
        let authorities = section.authorities("ca_file");
        Some(Self { name: name.to_owned(), url: url?, secret: secret?, callers, accounts: named, authorities })
    }

    /// The bytes that deliveries are signed with: what follows `whsec_` read as base64, or else the text itself.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        key(&self.secret).unwrap_or_default()
    }

    /// Whether it is to be told of the kills of that caller at that account.
    #[must_use]
    pub fn concerns(&self, caller: &str, account: &str) -> bool {
        let fits = |patterns: &Option<Vec<Glob>>, name| {
            patterns.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
        };
        fits(&self.callers, caller) && fits(&self.accounts, account)
    }
}

fn key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.expose();
    let bytes = match text.strip_prefix(SERIALISED) {
        Some(base64) => STANDARD.decode(base64).ok()?,
        None => text.as_bytes().to_vec(),
    };
    (bytes.len() >= SHORTEST).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HUAWEI, TENCENT, problems, read};

    const PORTAL: &str = "[webhooks.portal]\nurl = 'https://portal.example.com/hooks'\n\
                          secret = 'canary-secret-of-24-byte'\n";

    #[test]
    fn without_patterns_every_kill_is_told() {
        let config = read(PORTAL);
        let [portal] = config.webhooks.as_slice() else { panic!("{config:?}") };
        assert_eq!((portal.name.as_str(), portal.key().as_slice()), ("portal", b"canary-secret-of-24-byte".as_slice()));
        assert!(portal.concerns("anyone", "t"));
        assert!(!format!("{config:?}").contains("canary"));
        let told = config.summary().join("\n");
        assert!(told.contains("webhook portal: portal.example.com, callers all, accounts all"), "{told}");
        assert!(!told.contains("hooks") && !told.contains("canary"), "{told}");
    }

    #[test]
    fn callers_and_accounts_must_both_fit() {
        let toml = format!("{TENCENT}{HUAWEI}{PORTAL}callers = ['portal-*', 'anna']\naccounts = ['t', 'h*']");
        let config = read(&toml);
        let portal = &config.webhooks[0];
        assert!(portal.concerns("portal-1", "t") && portal.concerns("anna", "h"));
        for (caller, account) in [("annabel", "t"), ("anna", "u")] {
            assert!(!portal.concerns(caller, account), "{caller} {account}");
        }
    }

    #[test]
    fn a_key_may_be_written_as_the_specification_has_it() {
        let written = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let config = read(&PORTAL.replace("canary-secret-of-24-byte", written));
        assert_eq!(config.webhooks[0].key().len(), 24);
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let told = |old: &str, new: &str| problems(&format!("{TENCENT}{}", PORTAL.replace(old, new))).join("\n");
        let secret = "webhooks.portal.secret: must have at least 24 bytes; after whsec_ they are written as base64";
        for short in ["canary", "whsec_canary", "whsec_Y2FuYXJ5LXNlY3JldC1vZi0yMy1ieQ=="] {
            assert_eq!(told("canary-secret-of-24-byte", short), secret, "{short}");
        }
        assert!(told("https:", "http:").starts_with("webhooks.portal.url: must be an https URL"));
        assert_eq!(told("portal]", "Portal]"), "webhooks.Portal: the name must be 1 to 64 of 0-9 a-z _ -");
        assert_eq!(
            told("url =", "uri ="),
            "webhooks.portal.url: required\nwebhooks.portal.uri: unknown key, expected one of allow_http, url, secret, callers, accounts, ca_file"
        );
        let more = format!("{TENCENT}{PORTAL}callers = []\naccounts = ['t', 'x*']");
        assert_eq!(
            problems(&more),
            [
                "webhooks.portal.callers: must be a list of one or more patterns",
                "webhooks.portal.accounts: no account fits \"x*\"",
            ]
        );
    }
}

//! `[webhooks.NAME]`: who is told of kills, where and with which signature.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use url::Url;

use super::{Account, Secret, Vendors, address, section::Section};
use crate::domain::{Glob, Kill, ProblemCode, Status};

/// How a key begins that is written as the Standard Webhooks specification has it: as base64.
const SERIALISED: &str = "whsec_";
/// The shortest key that deliveries are signed with, in bytes.
const SHORTEST: usize = 24;
/// How a kill may stand that is told.
const TOLD: [Status; 7] = [
    Status::Accepted,
    Status::Succeeded,
    Status::Partial,
    Status::Failed,
    Status::Refused,
    Status::RateLimited,
    Status::Unknown,
];
/// The problems of requests that were wrong in themselves.
const MISTAKES: [ProblemCode; 8] = [
    ProblemCode::Malformed,
    ProblemCode::Invalid,
    ProblemCode::UnsupportedSelector,
    ProblemCode::UnsupportedMediaType,
    ProblemCode::UnknownTarget,
    ProblemCode::KeyReused,
    ProblemCode::TooLarge,
    ProblemCode::TooSlow,
];
const NO_SECRET: &str = "this platform signs nothing that it takes: leave it out";
const SECRET: &str = "must have at least 24 bytes; after whsec_ they are written as base64";

/// In which form kills are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// As JSON for programs, signed as the Standard Webhooks specification has it.
    #[default]
    Plain,
    Slack,
    Teams,
    Feishu,
    Dingtalk,
}

impl Format {
    const ALL: [Self; 5] = [Self::Plain, Self::Slack, Self::Teams, Self::Feishu, Self::Dingtalk];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Feishu => "feishu",
            Self::Dingtalk => "dingtalk",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// Whether people read it, and not a program.
    #[must_use]
    pub const fn is_chat(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// Where kills are told, and which.
#[derive(Clone)]
pub struct Webhook {
    pub name: String,
    pub format: Format,
    /// An https URL; http is allowed to loopback, or with `allow_http = true`. Whoever has that of a chat can post there.
    pub url: Url,
    /// What deliveries are signed with, see [`Webhook::key`]; a chat may do without.
    pub secret: Option<Secret>,
    /// Which are told, by how they stand in the end; `None`: all.
    pub status: Option<Vec<Status>>,
    /// At which vendors, by name; `None`: at all of them.
    pub vendors: Option<Vec<String>>,
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
        known: &Vendors,
    ) -> Option<Self> {
        let formats = format!("must be one of {}", Format::ALL.map(Format::as_str).join(", "));
        let is_set = section.has("format");
        let format = section.parsed("format", &formats, Format::parse).or((!is_set).then_some(Format::Plain));
        section.require(if format == Some(Format::Plain) { &["url", "secret"] } else { &["url"] });
        let allow_http = section.flag("allow_http").unwrap_or(false);
        let url = section.secret("url").and_then(|text| {
            let is_chat = format.is_none_or(Format::is_chat);
            // A chat's address may have its secret in the query.
            let (read, expected): (fn(&str, bool) -> Option<Url>, _) =
                if is_chat { (address::key_set, address::KEY_SET) } else { (address::endpoint, address::ENDPOINT) };
            let url = read(text.expose(), allow_http);
            if url.is_none() {
                section.problem("url", expected);
            }
            url
        });
        let secret = section.secret("secret");
        match (format, &secret) {
            (Some(Format::Plain), Some(secret)) if key(secret).is_none() => section.problem("secret", SECRET),
            (Some(Format::Slack | Format::Teams), Some(_)) => section.problem("secret", NO_SECRET),
            _ => {}
        }
        let statuses = format!("must be a list of one or more of {}", TOLD.map(Status::as_str).join(", "));
        let status = section.list_of("status", &statuses, |word| TOLD.into_iter().find(|told| told.as_str() == word));
        let vendor_names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let vendors = format!("must be a list of one or more of {}", vendor_names.join(", "));
        let vendors =
            section.list_of("vendors", &vendors, |name| vendor_names.contains(&name).then(|| name.to_owned()));
        let patterns = "must be a list of one or more patterns";
        let callers = section.list_of("callers", patterns, Glob::parse);
        let named = section.list_of("accounts", patterns, Glob::parse);
        for pattern in named.iter().flatten() {
            if !accounts.keys().any(|account| pattern.matches(account)) {
                section.problem("accounts", format!("no account fits {:?}", pattern.as_str()));
            }
        }
        let secret = if format == Some(Format::Plain) { Some(secret?) } else { secret };
        let name = name.to_owned();
        let authorities = section.authorities("ca_file");
        Some(Self { name, format: format?, url: url?, secret, status, vendors, callers, accounts: named, authorities })
    }

    /// The bytes that deliveries are signed with: what follows `whsec_` read as base64, or else the text itself.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        self.secret.as_ref().and_then(key).unwrap_or_default()
    }

    /// Whether it is to be told of the kills of that caller at an account's instances of that vendor.
    #[must_use]
    pub fn concerns(&self, caller: &str, vendor: &str, account: &str) -> bool {
        let fits = |patterns: &Option<Vec<Glob>>, name| {
            patterns.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
        };
        let is_of = |vendors: &Vec<String>| vendors.iter().any(|name| name == vendor);
        fits(&self.callers, caller) && fits(&self.accounts, account) && self.vendors.as_ref().is_none_or(is_of)
    }

    /// Whether it is to be told how that kill stands in the end. In a chat a request that was wrong is no news: whoever made it has
    /// been told.
    #[must_use]
    pub fn wants(&self, kill: &Kill) -> bool {
        let is_typo = kill.problem.as_ref().is_some_and(|problem| MISTAKES.contains(&problem.code));
        self.status.as_ref().is_none_or(|wanted| wanted.contains(&kill.status)) && !(self.format.is_chat() && is_typo)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        f.debug_struct("Webhook").field("name", &self.name).field("host", &host).finish_non_exhaustive()
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
    use super::*;

    const PORTAL: &str = "[webhooks.portal]\nurl = 'https://portal.example.com/hooks'\n\
                          secret = 'canary-secret-of-24-byte'\n";

    #[test]
    fn without_patterns_every_kill_is_told() {
        let config = read(PORTAL);
        let [portal] = config.webhooks.as_slice() else { panic!("{config:?}") };
        assert_eq!((portal.name.as_str(), portal.key().as_slice()), ("portal", b"canary-secret-of-24-byte".as_slice()));
        assert!(portal.concerns("anyone", "dcdb", "t"));
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
        assert!(portal.concerns("portal-1", "dcdb", "t") && portal.concerns("anna", "das", "h"));
        for (caller, account) in [("annabel", "t"), ("anna", "u")] {
            assert!(!portal.concerns(caller, "dcdb", account), "{caller} {account}");
        }
    }

    #[test]
    fn a_key_may_be_written_as_the_specification_has_it() {
        let written = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let config = read(&PORTAL.replace("canary-secret-of-24-byte", written));
        assert_eq!(config.webhooks[0].key().len(), 24);
    }

    #[test]
    fn a_chat_has_a_secret_address_and_may_do_without_a_secret() {
        let chat =
            "[webhooks.oncall]\nformat = 'dingtalk'\nurl = 'https://chat.example.com/canary?access_token=canary'\n";
        let config = read(&format!("{chat}status = ['failed', 'unknown']\nvendors = 'dcdb, das'"));
        let [oncall] = config.webhooks.as_slice() else { panic!("{config:?}") };
        assert_eq!((oncall.format, oncall.secret.is_none()), (Format::Dingtalk, true));
        assert_eq!(oncall.status.as_deref(), Some([Status::Failed, Status::Unknown].as_slice()));
        assert_eq!(oncall.vendors.as_deref(), Some(["dcdb".to_owned(), "das".to_owned()].as_slice()));
        let told = format!("{config:?} {}", config.summary().join("\n"));
        assert!(told.contains("webhook oncall: chat.example.com as dingtalk") && !told.contains("canary"), "{told}");
    }

    #[test]
    fn a_typo_is_told_at_the_start_with_what_was_expected() {
        let chat = "[webhooks.a]\nformat = 'slack'\nurl = 'https://chat.example.com/x'\n";
        assert_eq!(
            problems(&format!("{chat}status = ['faild']\nvendors = ['dcbd']\nsecret = 'canary'")),
            [
                "webhooks.a.secret: this platform signs nothing that it takes: leave it out",
                "webhooks.a.status: must be a list of one or more of accepted, succeeded, partial, failed, refused, rate_limited, unknown",
                "webhooks.a.vendors: must be a list of one or more of gaussdb, das, taurusdb, dcdb, postgresql, mysql, mariadb",
            ]
        );
        let formats = "webhooks.a.format: must be one of plain, slack, teams, feishu, dingtalk";
        assert_eq!(problems(&chat.replace("slack", "slakc")), [formats]);
        let told = problems(&chat.replace("https://chat", "http://canary")).join("\n");
        assert!(told.starts_with("webhooks.a.url: must be an https URL") && !told.contains("canary"), "{told}");
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
            "webhooks.portal.url: required\nwebhooks.portal.uri: unknown key, expected one of format, allow_http, url, secret, status, vendors, callers, accounts, ca_file"
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

//! What an issuer's signatures are checked with.

use std::{fmt, time::Duration};

use url::Url;

use crate::config::{Secret, address, section::Section, without_query};

/// What an issuer publishes about itself (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = ".well-known/openid-configuration";

/// What signatures are checked with.
#[derive(Debug, Clone)]
pub enum Keys {
    /// `hs256_secret`, one or several of at least 32 bytes each: the first signs, any of them verifies.
    Secrets(Vec<Secret>),
    Set(KeySet),
}

/// Public keys that the issuer publishes.
#[derive(Debug, Clone)]
pub struct KeySet {
    pub source: Source,
    /// `jwks_refresh_floor_s`: shortest time between two fetches: 1 to 3600 s, 30 by default.
    pub refresh_floor: Duration,
    /// `jwks_max_age_s`: how long a fetched set is good: 10 to 86400 s, 600 by default.
    pub max_age: Duration,
    /// `jwks_stale_s`: how long it stays good while no other can be had, from when it was fetched: 10 to 604800 s, 14400
    /// by default, and never shorter than `max_age`.
    pub stale: Duration,
}

/// Where a key set is found.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// `jwks_url`, an https URL; http is allowed to loopback, or with `allow_http = true`. Its query may hold a secret.
    Url(Url),
    /// The issuer's own document says.
    Discovery { document: Url, issuer: String, allow_http: bool },
}

impl Source {
    /// The address to begin with, as it may be shown.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Url(url) | Self::Discovery { document: url, .. } => without_query(url),
        }
    }

    /// The address of a key set that a document names, where keys may be fetched from there.
    #[must_use]
    pub fn may_be_at(&self, address: &str) -> Option<Url> {
        let allow_http = matches!(self, Self::Discovery { allow_http: true, .. });
        address::key_set(address, allow_http)
    }

    fn discovered(issuer: &str, allow_http: bool) -> Option<Self> {
        address::endpoint(issuer, allow_http)?;
        let document = Url::parse(&format!("{}/{DISCOVERY}", issuer.trim_end_matches('/'))).ok()?;
        Some(Self::Discovery { document, issuer: issuer.to_owned(), allow_http })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Keys {
    /// The keys of that issuer: a secret, a key set, or what the issuer's own document leads to.
    pub(super) fn read(section: &mut Section<'_>, issuer: Option<&str>) -> Option<Self> {
        let (is_set, is_secret) = (section.has("jwks_url"), section.has("hs256_secret"));
        let allow_http = section.flag("allow_http").unwrap_or(false);
        let url = section.parsed("jwks_url", address::KEY_SET, |text| address::key_set(text, allow_http));
        let set = times(section);
        let secrets = section.secrets("hs256_secret", Secret::long_enough);
        if is_set && is_secret {
            section.problem_here("at most one of jwks_url, hs256_secret may be set");
        }
        if is_secret {
            return secrets.map(Self::Secrets);
        }
        let source = if is_set {
            url.map(Source::Url)
        } else {
            let source = issuer.and_then(|issuer| Source::discovered(issuer, allow_http));
            if source.is_none() && issuer.is_some() {
                let one = "one of jwks_url, hs256_secret is required where issuer is no https URL (http is allowed to \
                           loopback or with allow_http = true) that publishes .well-known/openid-configuration";
                section.problem_here(one);
            }
            source
        };
        Some(Self::Set(set(source?)))
    }
}

fn times(section: &mut Section<'_>) -> impl FnOnce(Source) -> KeySet + use<> {
    let floor = section.number("jwks_refresh_floor_s", 1..=3600).unwrap_or(30);
    let age = section.number("jwks_max_age_s", 10..=86_400).unwrap_or(600);
    let stale = section.number("jwks_stale_s", 10..=604_800).unwrap_or(14_400);
    if section.has("jwks_stale_s") && stale < age {
        section.problem("jwks_stale_s", format!("must not be less than jwks_max_age_s, {age}"));
    }
    move |source| KeySet {
        source,
        refresh_floor: Duration::from_secs(floor),
        max_age: Duration::from_secs(age),
        stale: Duration::from_secs(stale.max(age)),
    }
}

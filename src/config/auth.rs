//! `[auth]`: whose tokens are taken.

use std::{fmt, time::Duration};

use jsonwebtoken::Algorithm;
use url::Url;

use super::{Secret, address, section::Section, without_query};

/// Whose tokens are taken, and how they are checked.
#[derive(Debug, Clone)]
pub struct Auth {
    /// The `iss` a token must have.
    pub issuer: String,
    /// The `aud` a token must have, or have among others.
    pub audience: String,
    pub keys: Keys,
    /// The algorithms that are taken: HS256 for a secret; RS256, ES256 and EdDSA, or the ones in `algorithms`, for a
    /// key set.
    pub algorithms: Vec<Algorithm>,
    /// `leeway_s`: how far other clocks may be off: 0 to 300 s, 30 by default.
    pub leeway: Duration,
}

/// What signatures are checked with: exactly one of the two is set.
#[derive(Clone)]
pub enum Keys {
    /// `hs256_secret`, at least 32 bytes.
    Secret(Secret),
    /// `jwks_url`.
    Set {
        /// An https URL; http is allowed to loopback, or with `auth.allow_http = true`. Its query may hold a secret.
        url: Url,
        /// `jwks_refresh_floor_s`: shortest time between two fetches: 1 to 3600 s, 30 by default.
        refresh_floor: Duration,
        /// `jwks_max_age_s`: how long a fetched set is good: 10 to 86400 s, 600 by default.
        max_age: Duration,
    },
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(secret) => f.debug_tuple("Secret").field(secret).finish(),
            Self::Set { url, .. } => f.debug_struct("Set").field("url", &without_query(url)).finish_non_exhaustive(),
        }
    }
}

impl Auth {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        section.require(&["issuer", "audience"]);
        let issuer = section.text("issuer");
        let audience = section.text("audience");
        let is_set = section.has("jwks_url");
        if is_set == section.has("hs256_secret") {
            section.problem_here("exactly one of jwks_url, hs256_secret is required");
        }
        let set = key_set(section);
        let secret = section.secret("hs256_secret").and_then(|secret| {
            let long = secret.expose().len() >= 32;
            if !long {
                section.problem("hs256_secret", "must have at least 32 bytes");
            }
            long.then_some(Keys::Secret(secret))
        });
        let algorithms = algorithms(section, is_set);
        let leeway = section.number("leeway_s", 0..=300).unwrap_or(30);
        Some(Self {
            issuer: issuer?,
            audience: audience?,
            keys: set.or(secret)?,
            algorithms,
            leeway: Duration::from_secs(leeway),
        })
    }
}

fn key_set(section: &mut Section<'_>) -> Option<Keys> {
    let allow_http = section.flag("allow_http").unwrap_or(false);
    let url = section.parsed("jwks_url", address::KEY_SET, |text| address::key_set(text, allow_http));
    let floor = section.number("jwks_refresh_floor_s", 1..=3600).unwrap_or(30);
    let age = section.number("jwks_max_age_s", 10..=86_400).unwrap_or(600);
    Some(Keys::Set { url: url?, refresh_floor: Duration::from_secs(floor), max_age: Duration::from_secs(age) })
}

fn algorithms(section: &mut Section<'_>, is_set: bool) -> Vec<Algorithm> {
    let (allowed, expected): (&[_], _) = if is_set {
        (
            &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
            "must be a list of RS256, ES256, EdDSA, the ones a key set may hold",
        )
    } else {
        (&[Algorithm::HS256], "must be [\"HS256\"], the one for a secret")
    };
    let named = |name: &str| name.parse().ok().filter(|algorithm| allowed.contains(algorithm));
    section.list_of("algorithms", expected, named).unwrap_or_else(|| allowed.to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read, read_with};
    use super::*;

    const WHO: &str = "[auth]\nissuer = 'https://sso'\naudience = 'killgate'\n";

    #[test]
    fn the_defaults_follow_from_the_kind_of_key() {
        let secret = read(&format!("{WHO}hs256_secret = '{}'", "k".repeat(32))).auth.unwrap();
        assert_eq!(secret.algorithms, [Algorithm::HS256]);
        assert_eq!(secret.leeway.as_secs(), 30);
        let set = read(&format!("{WHO}jwks_url = 'https://sso/keys'")).auth.unwrap();
        assert_eq!(set.algorithms, [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]);
        let Keys::Set { refresh_floor, max_age, .. } = set.keys else { panic!("{:?}", set.keys) };
        assert_eq!((refresh_floor.as_secs(), max_age.as_secs()), (30, 600));
    }

    #[test]
    fn the_query_of_a_key_set_is_kept_and_shown_nowhere() {
        let config = read(&format!("{WHO}jwks_url = 'https://sso/keys?p=canary'"));
        let Keys::Set { url, .. } = &config.auth.as_ref().unwrap().keys else { panic!("a key set") };
        assert_eq!(url.as_str(), "https://sso/keys?p=canary");
        let shown = format!("{config:?} {}", config.summary().join(" "));
        assert!(shown.contains("https://sso/keys") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn a_list_may_come_from_the_environment() {
        let env = [("KILLGATE__AUTH__ALGORITHMS", "ES256, EdDSA")];
        let auth = read_with(&format!("{WHO}jwks_url = 'https://sso/keys'"), &env).unwrap().auth.unwrap();
        assert_eq!(auth.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
    }

    #[test]
    fn a_secret_and_a_key_set_never_lend_each_other_their_algorithms() {
        let long = "k".repeat(32);
        let with_secret = |algorithms| problems(&format!("{WHO}hs256_secret = '{long}'\nalgorithms = {algorithms}"));
        let with_set = |algorithms| problems(&format!("{WHO}jwks_url = 'https://sso/k'\nalgorithms = {algorithms}"));
        for bad in ["['RS256']", "['HS256', 'ES256']", "[]", "['none']", "7"] {
            assert_eq!(with_secret(bad), ["auth.algorithms: must be [\"HS256\"], the one for a secret"], "{bad}");
        }
        for bad in ["['HS256']", "['RS256', 'HS256']", "['RS512']", "[]", "[7]"] {
            let expected = "auth.algorithms: must be a list of RS256, ES256, EdDSA, the ones a key set may hold";
            assert_eq!(with_set(bad), [expected], "{bad}");
        }
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let one = "auth: exactly one of jwks_url, hs256_secret is required";
        assert_eq!(problems("[auth]"), ["auth.issuer: required", "auth.audience: required", one]);
        let both = format!("{WHO}jwks_url = 'https://sso/k'\nhs256_secret = '{}'", "k".repeat(32));
        assert_eq!(problems(&both), [one]);
        let short = format!("{WHO}hs256_secret = 'canary'\nleeway_s = 301");
        assert_eq!(
            problems(&short),
            [
                "auth.hs256_secret: must have at least 32 bytes",
                "auth.leeway_s: must be a whole number from 0 to 300, not 301",
            ]
        );
        let http = format!("{WHO}jwks_url = 'http://sso/k'\njwks_refresh_floor_s = 0\njwks_max_age_s = 1");
        assert_eq!(
            problems(&http),
            [
                "auth.jwks_url: must be an https URL (http is allowed to loopback or with allow_http = true) \
                 without user or fragment",
                "auth.jwks_refresh_floor_s: must be a whole number from 1 to 3600, not 0",
                "auth.jwks_max_age_s: must be a whole number from 10 to 86400, not 1",
            ]
        );
        assert!(read(&format!("{WHO}allow_http = true\njwks_url = 'http://sso/k'")).auth.is_some());
    }
}

//! One issuer of tokens, and what of its tokens counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jsonwebtoken::Algorithm;

use super::Keys;
use crate::{
    auth::Scope,
    config::section::{Naming, Section, listed},
    domain::{Glob, plain_text},
};

/// Every key of an issuer.
pub(super) const KEYS: [&str; 17] = [
    "issuer",
    "audience",
    "jwks_url",
    "hs256_secret",
    "algorithms",
    "types",
    "leeway_s",
    "jwks_refresh_floor_s",
    "jwks_max_age_s",
    "jwks_stale_s",
    "allow_http",
    "subject_prefix",
    "scopes_claim",
    "roles",
    "on_behalf_of_required",
    "act_required",
    "ca_file",
];

/// Whose tokens are taken, and how they are checked.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The `iss` a token must have.
    pub issuer: String,
    /// The `aud` a token must have, or have among others.
    pub audience: String,
    pub keys: Keys,
    /// The algorithms that are taken: HS256 for a secret; RS256, ES256 and EdDSA, or the ones in `algorithms`, for a
    /// key set.
    pub algorithms: Vec<Algorithm>,
    /// `types`: the `typ` that a token's header may have, in lower case; `at+jwt` and `jwt` by default, `none` for a header
    /// without one.
    pub types: Vec<String>,
    /// `leeway_s`: how far other clocks may be off: 0 to 300 s, 30 by default.
    pub leeway: Duration,
    /// `subject_prefix`: stands before each `sub`, so that the callers of two issuers are told apart; empty by default.
    pub subject_prefix: String,
    /// With which the subjects of other issuers begin: none of this one's may.
    pub foreign_prefixes: Vec<String>,
    /// `scopes_claim`: the claims that may hold scopes, in this order; a dot leads into a claim. `scope` and `scp` by
    /// default.
    pub scopes_claim: Vec<String>,
    /// `roles`: the scopes of each word in these claims; without it the words are scopes.
    pub roles: Option<BTreeMap<String, BTreeSet<Scope>>>,
    pub person: Person,
    /// `ca_file`: certificates of authorities that its keys may be fetched by, beside those of `[tls]`, as PEM.
    pub authorities: Option<Vec<u8>>,
}

/// Which callers have to say who is behind a kill.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// `on_behalf_of_required`: these name a person, by the token's `act` or in the request.
    pub named: Vec<Glob>,
    /// `act_required`: of these the token itself says who acts for whom.
    pub vouched: Vec<Glob>,
}

impl Issuer {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        section.require(&["issuer", "audience"]);
        let issuer = section.text("issuer");
        let audience = section.text("audience");
        let is_secret = section.has("hs256_secret");
        let keys = Keys::read(section, issuer.as_deref());
        let algorithms = algorithms(section, is_secret);
        let leeway = section.number("leeway_s", 0..=300).unwrap_or(30);
        let expected = "must be a list of types such as at+jwt, JWT, and none for a token without one";
        let types = section.list_of("types", expected, of_type);
        let prefix = section.parsed("subject_prefix", "must be a text of 1 to 64 characters", |text| {
            plain_text(text, 64).ok().map(str::to_owned)
        });
        let expected = "must be a claim such as realm_access.roles, or a list of claims";
        let claims = section.list_of("scopes_claim", expected, |text| plain_text(text, 255).ok().map(str::to_owned));
        let person = Person { named: section.globs("on_behalf_of_required"), vouched: section.globs("act_required") };
        let roles = section.has("roles").then(|| roles(section));
        Some(Self {
            issuer: issuer?,
            audience: audience?,
            keys: keys?,
            algorithms,
            types: types.unwrap_or_else(|| vec!["at+jwt".to_owned(), "jwt".to_owned()]),
            leeway: Duration::from_secs(leeway),
            subject_prefix: prefix.unwrap_or_default(),
            foreign_prefixes: vec![],
            scopes_claim: claims.unwrap_or_else(|| vec!["scope".to_owned(), "scp".to_owned()]),
            roles,
            person,
            authorities: section.authorities("ca_file"),
        })
    }
}

/// A media type as it is compared: in lower case, and without what every one of a token begins with.
fn of_type(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_prefix("application/").unwrap_or(&text);
    let plain = |b: u8| b.is_ascii_graphic();
    (!text.is_empty() && text.bytes().all(plain)).then(|| text.to_owned())
}

fn roles(section: &mut Section<'_>) -> BTreeMap<String, BTreeSet<Scope>> {
    let all: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let expected = format!("must be a list of one or more of {}", all.join(", "));
    let fits = |name: &str| plain_text(name, 255).is_ok();
    let naming = Naming("the name must be a role or group of 1 to 255 characters".into(), fits);
    section.by_name("roles", naming, &expected, |value| Some(listed(value, Scope::parse)?.into_iter().collect()))
}

fn algorithms(section: &mut Section<'_>, is_secret: bool) -> Vec<Algorithm> {
    let (allowed, expected): (&[_], _) = if is_secret {
        (&[Algorithm::HS256], "must be [\"HS256\"], the one for a secret")
    } else {
        (
            &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
            "must be a list of RS256, ES256, EdDSA, the ones a key set may hold",
        )
    };
    let named = |name: &str| name.parse().ok().filter(|algorithm| allowed.contains(algorithm));
    section.list_of("algorithms", expected, named).unwrap_or_else(|| allowed.to_vec())
}

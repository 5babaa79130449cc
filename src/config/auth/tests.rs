use jsonwebtoken::Algorithm;

use crate::{
    auth::Scope,
    config::{
        KeySet, Keys, Source,
        tests::{problems, read, read_with},
    },
};

const WHO: &str = "[auth]\nissuer = 'https://sso'\naudience = 'killgate'\n";

fn one(toml: &str) -> super::Issuer {
    read(toml).auth.unwrap().issuers.remove(0)
}

fn set(keys: Keys) -> KeySet {
    match keys {
        Keys::Set(set) => set,
        Keys::Secrets(_) => panic!("a key set"),
    }
}

#[test]
fn the_defaults_follow_from_the_kind_of_key() {
    let secret = one(&format!("{WHO}hs256_secret = '{}'", "k".repeat(32)));
    assert_eq!(secret.algorithms, [Algorithm::HS256]);
    assert_eq!((secret.leeway.as_secs(), secret.types, secret.roles), (30, vec!["at+jwt".into(), "jwt".into()], None));
    let published = one(&format!("{WHO}jwks_url = 'https://sso/keys'"));
    assert_eq!(published.algorithms, [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]);
    let set = set(published.keys);
    assert_eq!((set.refresh_floor.as_secs(), set.max_age.as_secs(), set.stale.as_secs()), (30, 600, 14_400));
}

#[test]
fn an_issuer_that_is_an_address_publishes_its_keys() {
    let found = |issuer: &str| one(&format!("[auth]\nissuer = '{issuer}'\naudience = 'k'")).keys;
    for (issuer, document) in [
        ("https://sso/realms/acme", "https://sso/realms/acme/.well-known/openid-configuration"),
        ("https://login/tenant/v2.0/", "https://login/tenant/v2.0/.well-known/openid-configuration"),
        ("http://localhost:9/x", "http://localhost:9/x/.well-known/openid-configuration"),
    ] {
        let Source::Discovery { document: url, issuer: is, .. } = set(found(issuer)).source else { panic!("{issuer}") };
        assert_eq!((url.as_str(), is.as_str()), (document, issuer));
    }
    for none in ["kubernetes/serviceaccount", "http://sso", "https://sso/?x=1"] {
        let told = problems(&format!("[auth]\nissuer = '{none}'\naudience = 'k'"));
        assert!(
            told[0].starts_with("auth: one of jwks_url, hs256_secret is required where issuer is no https"),
            "{told:?}"
        );
    }
}

#[test]
fn the_query_of_a_key_set_is_kept_and_shown_nowhere() {
    let config = read(&format!("{WHO}jwks_url = 'https://sso/keys?p=canary'"));
    let keys = config.auth.as_ref().unwrap().issuers[0].keys.clone();
    assert_eq!(set(keys).source, Source::Url("https://sso/keys?p=canary".parse().unwrap()));
    let shown = format!("{config:?} {}", config.summary().join(" "));
    assert!(shown.contains("https://sso/keys") && !shown.contains("canary"), "{shown}");
}

#[test]
fn a_list_may_come_from_the_environment() {
    let env = [("KILLGATE__AUTH__ALGORITHMS", "ES256, EdDSA")];
    let auth = read_with(&format!("{WHO}jwks_url = 'https://sso/keys'"), &env).unwrap().auth.unwrap();
    assert_eq!(auth.issuers[0].algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
}

#[test]
fn secrets_are_one_or_a_list_of_which_each_mistake_is_told() {
    let (new, old) = ("n".repeat(32), "o".repeat(32));
    let env = [("OLD", old.as_str())];
    let read = |list: &str| read_with(&format!("{WHO}hs256_secret = {list}"), &env).unwrap().auth.unwrap();
    let Keys::Secrets(secrets) = &read(&format!("['{new}', {{ env = 'OLD' }}]")).issuers[0].keys else { panic!() };
    assert_eq!(secrets.iter().map(crate::config::Secret::expose).collect::<Vec<_>>(), [&new, &old]);
    let told = problems(&format!("{WHO}hs256_secret = ['{new}', 'canary', {{ env = 'NONE' }}]"));
    assert_eq!(
        told,
        [
            "auth.hs256_secret[1]: must have at least 32 bytes",
            "auth.hs256_secret[2]: the environment variable NONE is not set"
        ]
    );
    assert_eq!(problems(&format!("{WHO}hs256_secret = []")), ["auth.hs256_secret: must not be an empty list"]);
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
fn several_issuers_stand_beside_the_one_or_alone() {
    let more = "[[auth.issuers]]\nissuer = 'https://cluster'\naudience = 'k'\nsubject_prefix = 'k8s:'\ntypes = ['none']\n\
                scopes_claim = 'groups'\nroles = { 'acme:oncall' = ['sessions:kill', 'sessions:read'] }\n";
    let both = read(&format!("{WHO}{more}")).auth.unwrap().issuers;
    assert_eq!((both[0].issuer.as_str(), both[1].issuer.as_str()), ("https://sso", "https://cluster"));
    assert_eq!(
        (both[0].foreign_prefixes.as_slice(), both[1].foreign_prefixes.len()),
        (["k8s:".to_owned()].as_slice(), 0)
    );
    assert_eq!(
        (both[1].types.as_slice(), both[1].scopes_claim.as_slice()),
        (["none".to_owned()].as_slice(), ["groups".to_owned()].as_slice())
    );
    assert_eq!(both[1].roles.as_ref().unwrap()["acme:oncall"], [Scope::SessionsKill, Scope::SessionsRead].into());
    assert_eq!(read(more).auth.unwrap().issuers.len(), 1);
    let alike = format!("{more}{}", more.replace("https://cluster", "https://other").replace("k8s:", "k8s:x"));
    let told = problems(&alike);
    assert!(told[0].starts_with("auth.issuers: https://other needs a subject_prefix"), "{told:?}");
    let without = more.replace("subject_prefix = 'k8s:'\n", "");
    assert!(
        problems(&format!("{WHO}{without}"))[0].starts_with("auth.issuers: https://cluster needs a subject_prefix")
    );
    let twice = problems(&format!("{more}{}", more.replace("k8s:", "a:")));
    assert_eq!(twice, ["auth.issuers: https://cluster is there twice"]);
}

#[test]
fn each_bad_value_is_told_with_its_path() {
    assert_eq!(problems("[auth]"), ["auth.issuer: required", "auth.audience: required"]);
    let both = format!("{WHO}jwks_url = 'https://sso/k'\nhs256_secret = '{}'", "k".repeat(32));
    assert_eq!(problems(&both), ["auth: at most one of jwks_url, hs256_secret may be set"]);
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
    let odd = format!(
        "{WHO}jwks_stale_s = 599\ntypes = ['a b']\nscopes_claim = 7\nsubject_prefix = ''\n[auth.roles]\ndba = ['kill']"
    );
    let scopes = "sessions:kill, sessions:kill:urgent, sessions:kill:blind, sessions:read, sessions:statements, kills:read, \
                  kills:export";
    assert_eq!(
        problems(&odd),
        [
            "auth.jwks_stale_s: must not be less than jwks_max_age_s, 600".to_owned(),
            "auth.types: must be a list of types such as at+jwt, JWT, and none for a token without one".to_owned(),
            "auth.subject_prefix: must be a text of 1 to 64 characters".to_owned(),
            "auth.scopes_claim: must be a claim such as realm_access.roles, or a list of claims".to_owned(),
            format!("auth.roles.dba: must be a list of one or more of {scopes}"),
        ]
    );
    assert!(read(&format!("{WHO}allow_http = true\njwks_url = 'http://sso/k'")).auth.is_some());
}

#[test]
fn certificates_stand_for_callers_where_their_authorities_are_known() {
    let tls = "[server.tls]\ncertificate_file = 'a'\nkey_file = 'b'\nclient_ca_file = 'c'\n";
    let auth = format!("{WHO}jwks_url = 'https://sso/k'\n");
    let one = "[[auth.certificates]]\nuri = 'spiffe://example.org/a'\ncaller = 'a'\nscopes = ['sessions:kill']\n";
    let config = read(&format!("{tls}{auth}{one}"));
    let certified = &config.auth.unwrap().certificates[0];
    assert_eq!((certified.caller.as_str(), certified.scopes.len()), ("a", 1));
    assert_eq!(
        problems(&format!("{auth}{one}")),
        ["auth.certificates: needs server.tls.client_ca_file: whose certificates are good"]
    );
    assert_eq!(problems(&format!("{tls}{auth}{one}{one}")), ["auth.certificates: one name is there twice, for a"]);
    let all = crate::auth::Scope::ALL.map(crate::auth::Scope::as_str).join(", ");
    assert_eq!(
        problems(&format!(
            "{tls}{auth}[[auth.certificates]]\nuri = 'killer'\ndns = '*.example.org'\nscopes = ['all']\n\
             [[auth.certificates]]\nsubject = 'CN=a, O=b'\ncaller = 'a'\nscopes = 'sessions:kill'\ncn = 'a'\n"
        )),
        [
            "auth.certificates[0].uri: must be a URI such as spiffe://example.org/ns/ops/sa/killer".to_owned(),
            "auth.certificates[0].dns: must be a DNS name such as killer.example.org, without *".to_owned(),
            "auth.certificates[0]: must have one of uri, dns, email, subject".to_owned(),
            "auth.certificates[0].caller: required".to_owned(),
            format!("auth.certificates[0].scopes: must be a list of one or more of {all}"),
            "auth.certificates[1].subject: must be a subject as RFC 4514 writes it, such as CN=killer,O=Example: its last part \
             first, and no space after a comma"
                .to_owned(),
            "auth.certificates[1].cn: unknown key, expected one of uri, dns, email, subject, caller, scopes".to_owned(),
        ]
    );
}

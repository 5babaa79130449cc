use std::time::Duration;

use serde_json::json;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

/// The caller of a good token with these claims put in, or taken out where null.
fn caller(changes: &Value) -> Result<Caller, AuthError> {
    caller_by(sso(), changes)
}

fn sso() -> config::Issuer {
    let keys = config::Keys::Secrets(vec![]);
    config::Issuer { leeway: Duration::from_secs(30), ..super::super::testkit::config(keys, &[]) }
}

fn caller_by(rules: config::Issuer, changes: &Value) -> Result<Caller, AuthError> {
    let now = NOW.unix_timestamp();
    let mut claims = json!({ "iss": "sso", "aud": "killgate", "exp": now + 60, "sub": "anna" });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let Value::Object(mut claims) = claims else { panic!() };
    claims.retain(|_, value| !value.is_null());
    Rules::new(rules).caller(&claims, NOW)
}

#[test]
fn issuer_and_audience_must_be_ours() {
    for iss in [json!(null), json!("other"), json!(["sso"]), json!("SSO"), json!("")] {
        assert_eq!(caller(&json!({ "iss": iss })), Err(AuthError::WrongIssuer), "{iss}");
    }
    for aud in [json!(null), json!("other"), json!(["a", "b"]), json!([]), json!({ "killgate": 1 })] {
        assert_eq!(caller(&json!({ "aud": aud })), Err(AuthError::WrongAudience), "{aud}");
    }
    assert!(caller(&json!({ "aud": ["other", "killgate"] })).is_ok());
}

#[test]
fn a_token_is_good_for_its_time_and_the_leeway() {
    let now = NOW.unix_timestamp();
    assert_eq!(caller(&json!({ "exp": null })), Err(AuthError::ExpiryMissing));
    assert_eq!(caller(&json!({ "exp": now - 30 })), Err(AuthError::Expired));
    assert!(caller(&json!({ "exp": now - 29 })).is_ok());
    assert_eq!(caller(&json!({ "nbf": now + 31 })), Err(AuthError::NotYetValid));
    assert!(caller(&json!({ "nbf": now + 30 })).is_ok());
    assert!(caller(&json!({ "exp": 1_767_323_105.5 })).is_ok());
    for odd in [json!("2026"), json!(1e300), json!(-1e300), json!(9_999_999_999_999_i64), json!(true)] {
        assert_eq!(caller(&json!({ "exp": odd })), Err(AuthError::MalformedClaim("exp")), "{odd}");
        assert_eq!(caller(&json!({ "nbf": odd })), Err(AuthError::MalformedClaim("nbf")), "{odd}");
    }
}

#[test]
fn a_subject_can_be_recorded() {
    assert_eq!(caller(&json!({ "sub": null })), Err(AuthError::SubjectMissing));
    for odd in [json!(""), json!("a\0b"), json!("a\nb"), json!("x".repeat(256)), json!(7)] {
        assert_eq!(caller(&json!({ "sub": odd })), Err(AuthError::MalformedClaim("sub")), "{odd}");
    }
    assert_eq!(caller(&json!({ "sub": "ä".repeat(255) })).unwrap().subject.chars().count(), 255);
}

#[test]
fn scopes_come_as_text_or_list_and_unknown_ones_do_not_count() {
    let both = BTreeSet::from([Scope::SessionsKill, Scope::KillsRead]);
    for (name, granted) in [
        ("scope", json!("sessions:kill  kills:read openid")),
        ("scope", json!(["sessions:kill", "kills:read", 7])),
        ("scp", json!(["kills:read", "sessions:kill", "sessions:KILL"])),
        ("scp", json!("sessions:kill kills:read")),
    ] {
        let caller = caller(&json!({ name: granted })).unwrap();
        assert_eq!((&caller.scopes, caller.scopes_from.as_deref()), (&both, Some(name)), "{granted}");
        assert!(caller.has(Scope::SessionsKill) && !caller.has(Scope::SessionsKillUrgent));
    }
    let narrow = caller(&json!({ "scope": "kills:read", "scp": ["sessions:kill"] })).unwrap();
    assert!(!narrow.has(Scope::SessionsKill));
    assert_eq!(caller_by(sso(), &json!({})).unwrap().scopes_from, None);
}

#[test]
fn actor_client_and_token_are_kept() {
    let known = caller(&json!({ "act": { "sub": "bot", "act": { "sub": "x" } }, "azp": "c", "jti": "j" })).unwrap();
    assert_eq!(
        (known.actor.as_deref(), known.client.as_deref(), known.token_id.as_deref()),
        (Some("bot"), Some("c"), Some("j"))
    );
    assert_eq!(caller(&json!({ "client_id": "d" })).unwrap().client.as_deref(), Some("d"));
    for (odd, name) in [
        (json!({ "act": "bot" }), "act"),
        (json!({ "act": {} }), "act"),
        (json!({ "jti": 7 }), "jti"),
        (json!({ "azp": "\u{7}" }), "azp"),
    ] {
        assert_eq!(caller(&odd), Err(AuthError::MalformedClaim(name)), "{odd}");
    }
}

#[test]
fn scopes_may_be_found_inside_a_claim_and_stand_for_roles() {
    let of = |claims: &[&str], roles: Option<&[(&str, &[Scope])]>| config::Issuer {
        scopes_claim: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        roles: roles.map(|roles| {
            roles.iter().map(|(name, scopes)| ((*name).to_owned(), scopes.iter().copied().collect())).collect()
        }),
        ..sso()
    };
    let keycloak = json!({ "realm_access": { "roles": ["DBA on call", "sessions:kill", 7] }, "scope": "kills:export" });
    let roles: &[(&str, &[Scope])] =
        &[("DBA on call", &[Scope::SessionsKill, Scope::SessionsRead]), ("auditors", &[Scope::KillsRead])];
    let known = caller_by(of(&["realm_access.roles"], Some(roles)), &keycloak).unwrap();
    assert_eq!(known.scopes, BTreeSet::from([Scope::SessionsKill, Scope::SessionsRead]));
    assert_eq!(known.scopes_from.as_deref(), Some("realm_access.roles"));
    let named =
        caller_by(of(&["realm_access.roles"], None), &json!({ "realm_access": { "roles": ["sessions:kill"] } }));
    assert_eq!(named.unwrap().scopes, BTreeSet::from([Scope::SessionsKill]), "without a map the words are scopes");
    let unmapped = caller_by(of(&["groups"], Some(roles)), &json!({ "groups": ["sessions:kill", "others"] })).unwrap();
    assert!(unmapped.scopes.is_empty(), "a group that is called like a scope is none");
    let dotted = json!({ "https://acme.example/roles": "auditors", "groups": null });
    let known = caller_by(of(&["groups", "https://acme.example/roles"], Some(roles)), &dotted).unwrap();
    assert_eq!(known.scopes, BTreeSet::from([Scope::KillsRead]));
    for odd in [json!({ "realm_access": 7 }), json!({ "realm_access": { "roles": null } }), json!({})] {
        let known = caller_by(of(&["realm_access.roles"], Some(roles)), &odd).unwrap();
        assert_eq!((known.scopes.len(), known.scopes_from), (0, None), "{odd}");
    }
}

#[test]
fn subjects_of_two_issuers_are_never_alike() {
    let cluster = || config::Issuer { subject_prefix: "k8s:".into(), ..sso() };
    assert_eq!(caller_by(cluster(), &json!({})).unwrap().subject, "k8s:anna");
    let long = json!({ "sub": "x".repeat(252) });
    assert_eq!(caller_by(cluster(), &long), Err(AuthError::MalformedClaim("sub")));
    let people = config::Issuer { foreign_prefixes: vec!["k8s:".into()], ..sso() };
    assert_eq!(caller_by(people, &json!({ "sub": "k8s:anna" })), Err(AuthError::MalformedClaim("sub")));
}

#[test]
fn whoever_has_to_name_a_person_is_known_by_subject() {
    let glob = |text: &str| vec![Glob::parse(text).unwrap()];
    let person = config::Person { named: glob("*-bot"), vouched: glob("portal-*") };
    let rules = config::Issuer { person, ..sso() };
    for (sub, naming) in [("anna", Naming::Free), ("chat-bot", Naming::Required), ("portal-bot", Naming::ByToken)] {
        assert_eq!(caller_by(rules.clone(), &json!({ "sub": sub })).unwrap().naming, naming, "{sub}");
    }
}

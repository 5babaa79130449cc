//! What a token says, once its signature is known to be good.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{AuthError, Caller, Scope};
use crate::domain::plain_text;

/// The claims of a token, as they were signed.
pub(super) type Claims = Map<String, Value>;

/// What every token must say.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) leeway: Duration,
}

impl Rules {
    /// The caller, if the claims hold at the instant `now`.
    pub(super) fn caller(&self, claims: &Claims, now: OffsetDateTime) -> Result<Caller, AuthError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(AuthError::WrongIssuer);
        }
        if !texts(claims.get("aud")).any(|audience| audience == self.audience) {
            return Err(AuthError::WrongAudience);
        }
        let expires_at = instant(claims, "exp")?.ok_or(AuthError::ExpiryMissing)?;
        if now - self.leeway >= expires_at {
            return Err(AuthError::Expired);
        }
        if instant(claims, "nbf")?.is_some_and(|not_before| now + self.leeway < not_before) {
            return Err(AuthError::NotYetValid);
        }
        let client = not_empty(claims, "azp")?;
        let (scopes, scopes_from) = scopes(claims);
        Ok(Caller {
            subject: text(claims, "sub")?.ok_or(AuthError::SubjectMissing)?,
            scopes,
            scopes_from,
            actor: actor(claims)?,
            client: if client.is_some() { client } else { not_empty(claims, "client_id")? },
            token_id: text(claims, "jti")?,
            expires_at,
            good_until: expires_at.saturating_add(time::Duration::try_from(self.leeway).unwrap_or_default()),
        })
    }
}

/// A claim that is one text or a list of texts.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let items = match claim {
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    items.iter().filter_map(Value::as_str)
}

/// `scope`, or where there is none `scp`, each of which some issuers write as a text and others as a list.
fn scopes(claims: &Claims) -> (BTreeSet<Scope>, Option<&'static str>) {
    let granted = ["scope", "scp"].into_iter().find_map(|name| Some((given(claims, name)?, name)));
    let (granted, from) = granted.unzip();
    (texts(granted).flat_map(str::split_whitespace).filter_map(Scope::parse).collect(), from)
}

/// A claim that is there; one that is null says nothing.
fn given<'c>(claims: &'c Claims, name: &str) -> Option<&'c Value> {
    claims.get(name).filter(|claim| !claim.is_null())
}

/// A NumericDate: seconds since the epoch, perhaps with a fraction.
fn instant(claims: &Claims, name: &'static str) -> Result<Option<OffsetDateTime>, AuthError> {
    let Some(claim) = given(claims, name) else { return Ok(None) };
    let since_epoch = claim.as_f64().and_then(time::Duration::checked_seconds_f64);
    let instant = since_epoch.and_then(|since_epoch| OffsetDateTime::UNIX_EPOCH.checked_add(since_epoch));
    instant.map(Some).ok_or(AuthError::MalformedClaim(name))
}

/// A text that may be recorded; absent is fine, odd is not.
fn text(claims: &Claims, name: &'static str) -> Result<Option<String>, AuthError> {
    given(claims, name).map(|claim| recordable(claim, name)).transpose()
}

/// The same where an empty text says nothing either, as some issuers write it.
fn not_empty(claims: &Claims, name: &'static str) -> Result<Option<String>, AuthError> {
    if claims.get(name).and_then(Value::as_str) == Some("") { Ok(None) } else { text(claims, name) }
}

/// `act.sub`: an actor that cannot be named must not be dropped from the record.
fn actor(claims: &Claims) -> Result<Option<String>, AuthError> {
    let Some(act) = given(claims, "act") else { return Ok(None) };
    act.get("sub").ok_or(AuthError::MalformedClaim("act")).and_then(|sub| recordable(sub, "act")).map(Some)
}

fn recordable(claim: &Value, name: &'static str) -> Result<String, AuthError> {
    let text = claim.as_str().and_then(|text| plain_text(text, 255).ok());
    text.map(str::to_owned).ok_or(AuthError::MalformedClaim(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    /// The caller of a good token with these claims put in, or taken out where null.
    fn caller(changes: &Value) -> Result<Caller, AuthError> {
        let now = NOW.unix_timestamp();
        let mut claims = json!({ "iss": "sso", "aud": "killgate", "exp": now + 60, "sub": "anna" });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let Value::Object(mut claims) = claims else { panic!() };
        claims.retain(|_, value| !value.is_null());
        let rules = Rules { issuer: "sso".into(), audience: "killgate".into(), leeway: Duration::from_secs(30) };
        rules.caller(&claims, NOW)
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
            assert_eq!((&caller.scopes, caller.scopes_from), (&both, Some(name)), "{granted}");
            assert!(caller.has(Scope::SessionsKill) && !caller.has(Scope::SessionsKillUrgent));
        }
        let narrow = caller(&json!({ "scope": "kills:read", "scp": ["sessions:kill"] })).unwrap();
        assert!(!narrow.has(Scope::SessionsKill));
        assert_eq!(super::tests::caller(&json!({})).unwrap().scopes_from, None);
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
}

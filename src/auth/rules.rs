//! What the tokens of one issuer must say, and whom they make of a caller.

use std::collections::BTreeSet;

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    AuthError, Caller, Naming, Scope,
    certificate::PROOF,
    claims::{Claims, actor, first, instant, not_empty, text, texts},
};
use crate::{config, domain::Glob};

/// What every token of an issuer must say.
#[derive(Debug)]
pub(super) struct Rules(config::Issuer);

impl Rules {
    pub(super) const fn new(config: config::Issuer) -> Self {
        Self(config)
    }

    /// The `iss` of its tokens.
    pub(super) fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The caller, if the claims hold at the instant `now`.
    pub(super) fn caller(&self, claims: &Claims, now: OffsetDateTime) -> Result<Caller, AuthError> {
        let leeway = self.0.leeway;
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer()) {
            return Err(AuthError::WrongIssuer);
        }
        if !texts(claims.get("aud")).any(|audience| audience == self.0.audience) {
            return Err(AuthError::WrongAudience);
        }
        let expires_at = instant(claims, "exp")?.ok_or(AuthError::ExpiryMissing)?;
        if now - leeway >= expires_at {
            return Err(AuthError::Expired);
        }
        if instant(claims, "nbf")?.is_some_and(|not_before| now + leeway < not_before) {
            return Err(AuthError::NotYetValid);
        }
        let client = not_empty(claims, "azp")?;
        let (scopes, scopes_from) = self.scopes(claims);
        let subject = self.subject(claims)?;
        Ok(Caller {
            naming: self.naming(&subject),
            subject,
            scopes,
            scopes_from,
            actor: actor(claims)?,
            client: if client.is_some() { client } else { not_empty(claims, "client_id")? },
            token_id: token_id(claims)?,
            expires_at,
            good_until: expires_at.saturating_add(time::Duration::try_from(leeway).unwrap_or_default()),
        })
    }

    /// The subject as no other issuer's can be.
    fn subject(&self, claims: &Claims) -> Result<String, AuthError> {
        let subject = text(claims, "sub")?.ok_or(AuthError::SubjectMissing)?;
        let prefix = &self.0.subject_prefix;
        let subject = if prefix.is_empty() { subject } else { format!("{prefix}{subject}") };
        let is_foreign = self.0.foreign_prefixes.iter().any(|prefix| subject.starts_with(prefix.as_str()));
        // With the prefix, it may have become too long.
        if is_foreign || subject.chars().count() > 255 {
            return Err(AuthError::MalformedClaim("sub"));
        }
        Ok(subject)
    }

    /// The scopes of the first claim that may hold them, each of which some issuers write as a text and others as a list.
    fn scopes(&self, claims: &Claims) -> (BTreeSet<Scope>, Option<String>) {
        let Some((granted, from)) = first(claims, &self.0.scopes_claim) else { return (BTreeSet::new(), None) };
        let scopes = match &self.0.roles {
            None => texts(Some(granted)).flat_map(str::split_whitespace).filter_map(Scope::parse).collect(),
            // A role may have spaces in its name, where it is one of a list.
            Some(roles) => {
                let names: Vec<&str> = match granted {
                    Value::String(text) => text.split_whitespace().collect(),
                    list => texts(Some(list)).collect(),
                };
                names.into_iter().filter_map(|name| roles.get(name)).flatten().copied().collect()
            }
        };
        (scopes, Some(from.to_owned()))
    }

    /// Whether that caller has to name a person.
    pub(super) fn naming(&self, subject: &str) -> Naming {
        let fits = |patterns: &[Glob]| patterns.iter().any(|pattern| pattern.matches(subject));
        let person = &self.0.person;
        match (fits(&person.vouched), fits(&person.named)) {
            (true, _) => Naming::ByToken,
            (false, true) => Naming::Required,
            (false, false) => Naming::Free,
        }
    }
}

/// The token's id, which is never taken for a certificate's.
fn token_id(claims: &Claims) -> Result<Option<String>, AuthError> {
    let id = text(claims, "jti")?;
    if id.as_ref().is_some_and(|id| id.starts_with(PROOF)) { Err(AuthError::MalformedClaim("jti")) } else { Ok(id) }
}

#[cfg(test)]
mod tests;

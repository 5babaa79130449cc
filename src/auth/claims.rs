//! The claims of a token: texts, times, and who acts for whom.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::AuthError;
use crate::domain::plain_text;

/// The claims of a token, as they were signed.
pub(super) type Claims = Map<String, Value>;

/// A claim that is one text or a list of texts.
pub(super) fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let items = match claim {
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    items.iter().filter_map(Value::as_str)
}

/// The first of the claims that is there, and its name. One whose name is no claim's is looked for inside: dots lead there.
pub(super) fn first<'c, 'n>(claims: &'c Claims, names: &'n [String]) -> Option<(&'c Value, &'n str)> {
    names.iter().find_map(|name| Some((given(claims, name).or_else(|| inside(claims, name))?, name.as_str())))
}

fn inside<'c>(claims: &'c Claims, path: &str) -> Option<&'c Value> {
    let (first, rest) = path.split_once('.')?;
    let found = rest.split('.').try_fold(claims.get(first)?, |claim, name| claim.get(name))?;
    Some(found).filter(|claim| !claim.is_null())
}

/// A claim that is there; one that is null says nothing.
fn given<'c>(claims: &'c Claims, name: &str) -> Option<&'c Value> {
    claims.get(name).filter(|claim| !claim.is_null())
}

/// A NumericDate: seconds since the epoch, perhaps with a fraction.
pub(super) fn instant(claims: &Claims, name: &'static str) -> Result<Option<OffsetDateTime>, AuthError> {
    let Some(claim) = given(claims, name) else { return Ok(None) };
    let since_epoch = claim.as_f64().and_then(time::Duration::checked_seconds_f64);
    let instant = since_epoch.and_then(|since_epoch| OffsetDateTime::UNIX_EPOCH.checked_add(since_epoch));
    instant.map(Some).ok_or(AuthError::MalformedClaim(name))
}

/// A text that may be recorded; absent is fine, odd is not.
pub(super) fn text(claims: &Claims, name: &'static str) -> Result<Option<String>, AuthError> {
    given(claims, name).map(|claim| recordable(claim, name)).transpose()
}

/// The same where an empty text says nothing either, as some issuers write it.
pub(super) fn not_empty(claims: &Claims, name: &'static str) -> Result<Option<String>, AuthError> {
    if claims.get(name).and_then(Value::as_str) == Some("") { Ok(None) } else { text(claims, name) }
}

/// `act.sub`: an actor that cannot be named must not be dropped from the record.
pub(super) fn actor(claims: &Claims) -> Result<Option<String>, AuthError> {
    let Some(act) = given(claims, "act") else { return Ok(None) };
    act.get("sub").ok_or(AuthError::MalformedClaim("act")).and_then(|sub| recordable(sub, "act")).map(Some)
}

fn recordable(claim: &Value, name: &'static str) -> Result<String, AuthError> {
    let text = claim.as_str().and_then(|text| plain_text(text, 255).ok());
    text.map(str::to_owned).ok_or(AuthError::MalformedClaim(name))
}

//! Who may come in: TC3-HMAC-SHA256, a clock within five minutes, and the token of temporary keys.

use time::OffsetDateTime;

use super::NAME;
use crate::sandbox::{
    answer::Refusal,
    log::Incoming,
    state::State,
    verify::{Authorization, tencent_canonical, tencent_signature},
};

const SKEW_SECONDS: u64 = 5 * 60;

/// Lets a call to that service in, or says why not.
pub(super) fn admit(state: &State, incoming: &Incoming, wanted: &str) -> Result<(), Refusal> {
    let malformed = || denied("AuthFailure.InvalidAuthorization", "The Authorization header is invalid.");
    let header = incoming.headers.value("authorization").ok_or_else(malformed)?;
    let authorization = Authorization::parse(header, "TC3-HMAC-SHA256", "Credential").ok_or_else(malformed)?;
    let (key, scope) = authorization.key.split_once('/').ok_or_else(malformed)?;
    let (day, service) = scope.split_once('/').ok_or_else(malformed)?;
    let both_signed = ["content-type", "host"].iter().all(|name| authorization.signs(name));
    if service.strip_suffix("/tc3_request") != Some(wanted) || !both_signed {
        return Err(malformed());
    }

    let timestamp = incoming.headers.value("x-tc-timestamp").unwrap_or_default();
    let seconds: i64 = timestamp.parse().map_err(|_| Refusal::new(200, "MissingParameter", "X-TC-Timestamp"))?;
    if seconds.abs_diff(incoming.at.unix_timestamp()) > SKEW_SECONDS {
        return Err(denied("AuthFailure.SignatureExpire", "The signature has expired: check your clock."));
    }
    let issued = state.issued(NAME, key);
    // Who has a role assumes no other here.
    let is_known = key == state.tencent.secret_id || (issued.is_some() && wanted != "sts");
    if !is_known {
        return Err(denied("AuthFailure.SecretIdNotFound", "The SecretId is not found."));
    }
    let belongs = OffsetDateTime::from_unix_timestamp(seconds).is_ok_and(|at| at.date().to_string() == day);
    let canonical = tencent_canonical(incoming, &authorization.signed).ok_or_else(malformed)?;
    let secret = issued.map_or(&state.tencent.secret_key, |keys| &keys.secret);
    let expected = tencent_signature(&canonical, timestamp, scope, secret);
    if !belongs || expected != authorization.signature {
        return Err(denied("AuthFailure.SignatureFailure", "The provided credentials could not be validated."));
    }
    let token = incoming.headers.value("x-tc-token");
    let is_good = match issued {
        Some(keys) => keys.is_good(token, incoming.at),
        None => token == state.tencent.token.as_deref(),
    };
    if !is_good {
        return Err(denied("AuthFailure.TokenFailure", "The token is invalid or has expired."));
    }
    Ok(())
}

fn denied(code: &'static str, text: &str) -> Refusal {
    Refusal::denied(200, code, text)
}

//! Who may come in: ACS3-HMAC-SHA256, a clock within fifteen minutes, a nonce that is new, and the token of temporary keys.

use time::{Duration, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::sandbox::{
    answer::Refusal,
    log::Incoming,
    state::State,
    verify::{Authorization, alibaba_canonical, alibaba_signature, sha256_hex},
};

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const SKEW: Duration = Duration::minutes(15);
/// What must be signed beside every other header of this cloud's own.
const MUST: [&str; 6] =
    ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];

/// Lets a call in, or says why not.
pub(super) fn admit(state: &mut State, incoming: &Incoming) -> Result<(), Refusal> {
    let headers = &incoming.headers;
    let incomplete = || denied(400, "IncompleteSignature", "The request signature does not conform to the standards.");
    let header = headers.value("authorization").ok_or_else(incomplete)?;
    let authorization =
        Authorization::parse_with(header, "ACS3-HMAC-SHA256", "Credential", ",").ok_or_else(incomplete)?;
    if !MUST.iter().all(|name| authorization.signs(name)) {
        return Err(incomplete());
    }
    let date = headers.value("x-acs-date").unwrap_or_default();
    let at = PrimitiveDateTime::parse(date, DATE).map_err(|_| incomplete())?.assume_utc();
    if (at - incoming.at).abs() > SKEW {
        return Err(denied(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."));
    }
    if authorization.key != state.alibaba.access_key_id {
        return Err(denied(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."));
    }
    if headers.value("x-acs-content-sha256") != Some(sha256_hex(&incoming.body).as_str()) {
        return Err(denied(400, "SignatureDoesNotMatch", "The body is not the one that was signed."));
    }
    let canonical = alibaba_canonical(incoming, &authorization.signed).ok_or_else(incomplete)?;
    if alibaba_signature(&canonical, &state.alibaba.access_key_secret) != authorization.signature {
        // As the vendor does, with all that was signed.
        let echo = canonical.replace('\n', "|");
        let text = format!("Specified signature is not matched with our calculation. server string to sign is:{echo}");
        return Err(denied(400, "SignatureDoesNotMatch", text));
    }
    let token = headers.value("x-acs-security-token");
    let token_signed = token.is_none() || authorization.signs("x-acs-security-token");
    if token != state.alibaba.security_token.as_deref() || !token_signed {
        return Err(denied(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."));
    }
    let nonce = headers.value("x-acs-signature-nonce").unwrap_or_default();
    if nonce.is_empty() || !state.nonces.insert(nonce.to_owned()) {
        return Err(denied(400, "SignatureNonceUsed", "Specified signature nonce was used already."));
    }
    Ok(())
}

fn denied(status: u16, code: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::denied(status, code, text)
}

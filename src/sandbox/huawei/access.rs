//! Who may come in: token or signature, the project, and the lock on the access key.

use time::{
    Duration, OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

use super::{NAME, machine};
use crate::sandbox::{
    Action,
    answer::Refusal,
    handler::Route,
    log::Incoming,
    state::State,
    verify::{Authorization, huawei_canonical, huawei_signature},
};

const SDK_DATE: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
const SKEW: Duration = Duration::minutes(15);
const LOCK: Duration = Duration::minutes(5);
const BAD_SIGNATURES: u32 = 5;

/// Lets a call in, or says why not.
pub(super) fn admit(state: &mut State, incoming: &Incoming, route: &Route) -> Result<(), Refusal> {
    match route.action {
        Action::IamToken | Action::EcsToken => return Ok(()),
        Action::EcsKeys => return machine::admit(state, incoming),
        _ => {}
    }
    match (incoming.headers.value("x-auth-token"), incoming.headers.value("authorization")) {
        (Some(token), None) => token_is_good(state, incoming, route, token)?,
        (None, Some(header)) => signature_is_good(state, incoming, header)?,
        (None, None) => {
            return Err(unauthenticated("Incorrect IAM authentication information: x-auth-token not found"));
        }
        (Some(_), Some(_)) => {
            return Err(unauthenticated("Incorrect IAM authentication information: two kinds of authentication"));
        }
    }
    let named = incoming.headers.value("x-project-id");
    if named.is_some_and(|project| project != state.huawei.project_id) {
        return Err(unauthenticated("Incorrect IAM authentication information: x-project-id is not your project"));
    }
    if route.action == Action::IamKeys || route.project == state.huawei.project_id {
        return Ok(());
    }
    let text = "The project ID is invalid.";
    Err(match route.action.vendor() {
        "gaussdb" => Refusal::new(400, "DBS.280408", text),
        "das" | "dasrds" => Refusal::new(400, "DAS.200113", text),
        _ => Refusal::new(400, "DBS.280001", text),
    })
}

fn unauthenticated(text: impl Into<String>) -> Refusal {
    Refusal::denied(401, "APIGW.0301", text)
}

fn token_is_good(state: &State, incoming: &Incoming, route: &Route, token: &str) -> Result<(), Refusal> {
    let Some(token) = state.tokens.get(token) else {
        return Err(unauthenticated("Incorrect IAM authentication information: decrypt token fail"));
    };
    if token.expires <= incoming.at {
        return Err(unauthenticated("Incorrect IAM authentication information: token expires"));
    }
    // Whoever may assume an agency may so in the whole account.
    let is_for = token.project_id.as_deref().unwrap_or_default();
    if is_for != route.project {
        return Err(Refusal::denied(401, "APIGW.0307", "The token must be updated."));
    }
    Ok(())
}

fn signature_is_good(state: &mut State, incoming: &Incoming, header: &str) -> Result<(), Refusal> {
    let malformed = || unauthenticated("Incorrect IAM authentication information: Authorization format is wrong");
    let authorization = Authorization::parse(header, "SDK-HMAC-SHA256", "Access").ok_or_else(malformed)?;
    let key = authorization.key;
    let issued = state.issued(NAME, key).cloned();
    if issued.is_none() && key != state.huawei.access_key {
        return Err(unauthenticated(format!("Incorrect IAM authentication information: ak {key} not exist")));
    }
    if state.locked_until.is_some_and(|until| incoming.at < until) {
        let text = format!(
            "Incorrect IAM authentication information: AK access failed to reach the limit, forbidden. ak {key}"
        );
        return Err(unauthenticated(text));
    }
    let date = incoming.headers.value("x-sdk-date").unwrap_or_default();
    let at = PrimitiveDateTime::parse(date, SDK_DATE).map_err(|_| malformed())?.assume_utc();
    if (at - incoming.at).abs() > SKEW {
        return Err(unauthenticated("Incorrect IAM authentication information: signature expired"));
    }

    let must_sign = ["host", "x-sdk-date"].iter().all(|name| authorization.signs(name));
    let canonical = huawei_canonical(incoming, &authorization.signed).ok_or_else(malformed)?;
    let secret = issued.as_ref().map_or(&state.huawei.secret_key, |keys| &keys.secret);
    let expected = huawei_signature(&canonical, date, secret);
    if !must_sign || expected != authorization.signature {
        return Err(count_bad_signature(state, incoming.at, &canonical));
    }
    state.bad_signatures = 0;
    let token = incoming.headers.value("x-security-token");
    let token_signed = token.is_none() || authorization.signs("x-security-token");
    let is_good = match &issued {
        Some(keys) => keys.is_good(token, incoming.at),
        None => token == state.huawei.security_token.as_deref(),
    };
    if !is_good || !token_signed {
        return Err(unauthenticated("Incorrect IAM authentication information: verify security token fail"));
    }
    Ok(())
}

/// Counts a wrong signature and answers as the vendor does: with the whole canonical request, secrets included.
fn count_bad_signature(state: &mut State, at: OffsetDateTime, canonical: &str) -> Refusal {
    state.bad_signatures += 1;
    if state.bad_signatures >= BAD_SIGNATURES {
        state.bad_signatures = 0;
        state.locked_until = Some(at + LOCK);
    }
    let echo = canonical.replace('\n', "|");
    unauthenticated(format!(
        "Incorrect IAM authentication information: verify aksk signature fail, canonicalRequest:{echo}"
    ))
}

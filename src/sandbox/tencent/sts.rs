//! The security token service: keys of a role, for a key pair or for the token of a cluster.

use std::time::Duration;

use serde_json::json;

use super::{NAME, Product, Service, answer, bad, refuse};
use crate::sandbox::{
    Action, Lie,
    answer::{Answer, Refusal},
    demo,
    fields::Members,
    log::Incoming,
    state::State,
};

pub(super) struct Sts;

/// How a call says that it is not signed.
const UNSIGNED: &str = "SKIP";

impl Product for Sts {
    fn service(&self) -> &Service {
        &Service { vendor: "sts", name: "sts", version: "2018-08-13" }
    }

    fn recognise(&self, action: &str, _: &Incoming) -> Option<Action> {
        match action {
            "AssumeRole" => Some(Action::StsAssumeRole),
            "AssumeRoleWithWebIdentity" => Some(Action::StsWebIdentity),
            _ => None,
        }
    }

    fn work(&self, state: &mut State, incoming: &Incoming, action: Action, _: Option<&Lie>) -> Result<Answer, Refusal> {
        if incoming.headers.value("x-tc-region").is_none() {
            return Err(refuse("MissingParameter", "The header X-TC-Region is missing."));
        }
        let mut body = Members::parse(&incoming.body).map_err(bad)?;
        let role = body.required_text("RoleArn").map_err(bad)?;
        let session = body.required_text("RoleSessionName").map_err(bad)?;
        let seconds = body.integer_in("DurationSeconds", 1..=43_200, 7200).map_err(bad)?;
        if action == Action::StsWebIdentity {
            let provider = body.required_text("ProviderId").map_err(bad)?;
            let token = body.required_text("WebIdentityToken").map_err(bad)?;
            if provider != demo::TENCENT_PROVIDER_ID || !state.web_identity_tokens.contains(&token) {
                return Err(Refusal::denied(200, "InvalidParameter.ParamError", "The identity token is not valid."));
            }
        } else {
            let external_id = body.text("ExternalId").map_err(bad)?;
            if external_id.as_deref() != Some(demo::TENCENT_EXTERNAL_ID) {
                return Err(Refusal::denied(200, "UnauthorizedOperation", "You may not assume the role."));
            }
        }
        body.finish().map_err(bad)?;
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"=,.@_-".contains(&b);
        if !(2..=128).contains(&session.len()) || !session.bytes().all(fine) {
            return Err(refuse("InvalidParameter.ParamError", "The parameter RoleSessionName is not valid."));
        }
        if role != demo::TENCENT_ROLE_ARN {
            return Err(refuse("ResourceNotFound.RoleNotFound", "The role does not exist."));
        }
        let life = Duration::from_secs(seconds.try_into().unwrap_or(7200));
        let keys = state.issue(NAME, life, incoming.at);
        let credentials = json!({"Token": keys.token, "TmpSecretId": keys.id, "TmpSecretKey": keys.secret});
        let response = json!({
            "Credentials": credentials,
            "ExpiredTime": keys.expires.unix_timestamp(),
            "Expiration": keys.expires.to_string(),
        });
        Ok(answer(response, incoming.at))
    }
}

/// Lets an unsigned call in, which has to say that it is one.
pub(super) fn admit_unsigned(incoming: &Incoming) -> Result<(), Refusal> {
    if incoming.headers.value("authorization") == Some(UNSIGNED) {
        return Ok(());
    }
    Err(Refusal::denied(200, "AuthFailure.InvalidAuthorization", "The Authorization header is invalid."))
}

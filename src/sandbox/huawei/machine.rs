//! The metadata service of a machine (ECS): a token, and with it the keys of the machine's agency.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NAME, iam::micros};
use crate::sandbox::{
    Metadata,
    answer::{Answer, Refusal},
    log::Incoming,
    state::State,
    temporary::Issued,
};

/// Longest life of a token, in seconds.
const LONGEST: u64 = 21_600;

/// Whether the service lets a call in: it wants a token of its own, or takes one where it comes.
pub(super) fn admit(state: &State, incoming: &Incoming) -> Result<(), Refusal> {
    let unauthorized = || Refusal::denied(401, "Unauthorized", "Unauthorized");
    match (state.machine.metadata, incoming.headers.value("x-metadata-token")) {
        (Metadata::First, _) | (Metadata::Both, None) => Ok(()),
        (Metadata::Second, None) => Err(unauthorized()),
        (Metadata::Both | Metadata::Second, Some(token)) => {
            let is_good = state.metadata_tokens.get(token).is_some_and(|expires| incoming.at < *expires);
            if is_good { Ok(()) } else { Err(unauthorized()) }
        }
    }
}

pub(super) fn token(state: &mut State, incoming: &Incoming) -> Result<Answer, Refusal> {
    if state.machine.metadata == Metadata::First {
        return Err(Refusal::new(404, "NotFound", "Not Found"));
    }
    let life = incoming.headers.value("x-metadata-token-ttl-seconds").and_then(|text| text.parse().ok());
    let life = life.filter(|life| (1..=LONGEST).contains(life));
    let life = life.ok_or_else(|| Refusal::new(400, "BadRequest", "Bad Request"))?;
    let token = state.metadata_token(Duration::from_secs(life), incoming.at);
    Ok(Answer::bytes(200, Some("text/plain"), token.into_bytes()))
}

pub(super) fn keys(state: &mut State, incoming: &Incoming) -> Result<Answer, Refusal> {
    if !state.machine.has_agency {
        return Err(Refusal::denied(401, "NoAgency", "Please configure Cloud Service Agency first"));
    }
    let keys = state.machine_keys(NAME, incoming.at);
    Ok(Answer::json(200, &credential(&keys)))
}

/// Keys as this cloud writes them.
pub(super) fn credential(keys: &Issued) -> Value {
    json!({"credential": {
        "access": keys.id,
        "secret": keys.secret,
        "securitytoken": keys.token,
        "expires_at": micros(keys.expires),
    }})
}

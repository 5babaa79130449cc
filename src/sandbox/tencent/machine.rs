//! The metadata service of a machine (CVM): its role, and the keys of that role.

use serde_json::json;

use super::NAME;
use crate::sandbox::{
    Action,
    answer::{Answer, Refusal},
    handler::Route,
    log::Incoming,
    state::State,
};

pub(super) const PATH: &str = "/latest/meta-data/cam/security-credentials/";

/// Recognises an operation by its path; the role stands in for an instance.
pub(super) fn route(incoming: &Incoming) -> Result<Route<'_>, Refusal> {
    let role = incoming.path.strip_prefix(PATH).filter(|_| incoming.method == "GET").ok_or_else(not_found)?;
    let action = if role.is_empty() { Action::CvmRoles } else { Action::CvmKeys };
    Ok(Route { action, project: "", instance: role, node: "" })
}

pub(super) fn roles(state: &State) -> Result<Answer, Refusal> {
    let role = state.machine.role.clone().ok_or_else(not_found)?;
    Ok(Answer::bytes(200, Some("text/plain"), role.into_bytes()))
}

pub(super) fn keys(state: &mut State, incoming: &Incoming, role: &str) -> Result<Answer, Refusal> {
    if state.machine.role.as_deref() != Some(role) {
        return Err(not_found());
    }
    let keys = state.machine_keys(NAME, incoming.at);
    Ok(Answer::json(
        200,
        &json!({
            "TmpSecretId": keys.id,
            "TmpSecretKey": keys.secret,
            "ExpiredTime": keys.expires.unix_timestamp(),
            "Expiration": keys.expires.to_string(),
            "Token": keys.token,
            "Code": "Success",
        }),
    ))
}

fn not_found() -> Refusal {
    Refusal::new(404, "NotFound", "Not Found")
}

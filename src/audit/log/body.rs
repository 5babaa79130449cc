//! What an entry says, as it is written.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::{
    audit::record::Attempt,
    clock::unix_millis,
    domain::{Kill, Sent, Session},
};

/// The body of a kill's first entry: what was asked, and what is known of it already.
pub(in crate::audit) fn asked(attempt: &Attempt) -> Value {
    let Attempt { kill, request, client_address, client_id, token_id, request_id, dry_run, key, .. } = attempt;
    let mut body = learned(kill, &[], &[]);
    body["asked"] = json!({
        "caller": kill.caller,
        "on_behalf_of": kill.on_behalf_of,
        "actor": kill.actor,
        "reason": kill.reason,
        "target": kill.target.as_ref().map(readable),
        "select": kill.select.as_ref().map(readable),
        "confirms": kill.confirms,
        "end": kill.end,
        "blind": kill.blind,
        "request": request,
        "dry_run": dry_run,
        "client_address": client_address,
        "client_id": client_id,
        "token_id": token_id,
        "request_id": request_id,
        "idempotency_key": key.as_ref().map(|key| &key.key),
    });
    without_nulls(&mut body["asked"]);
    body
}

/// The body of a later one: what is known by then. Where the sessions are all as in `known`, which is on record, none is told;
/// `calls` are those that left and were not told of before.
pub(in crate::audit) fn learned(kill: &Kill, known: &[Session], calls: &[Sent]) -> Value {
    // All of them, or none: somebody else may have written meanwhile, and what is told must fit together.
    let is_new = kill.sessions != known;
    let mut told = HashSet::new();
    // Each once, whatever a vendor named twice.
    let sessions: Vec<&Session> =
        kill.sessions.iter().filter(|session| is_new && told.insert(session.id.replace('\0', "\u{fffd}"))).collect();
    let mut body = json!({ "upstream": kill.upstream, "problem": kill.problem, "sessions": sessions });
    without_nulls(&mut body["upstream"]);
    if let Some(look) = kill.look {
        body["look"] = json!({ "at": unix_millis(look.at), "complete": look.complete });
        if !kill.found.is_empty() {
            body["look"]["found"] = json!(kill.found);
        }
        if !kill.unlisted.is_empty() {
            body["look"]["unlisted"] = json!(kill.unlisted);
        }
    }
    if let Some(matched) = kill.matched {
        body["matched"] = matched.into();
    }
    if let Some(last) = calls.last() {
        body["calls"] = json!(calls);
        body["left_at"] = unix_millis(last.at).into();
    }
    for (name, at) in [("completed_at", kill.completed_at), ("verified_at", kill.verified_at)] {
        if let Some(at) = at {
            body[name] = unix_millis(at).into();
        }
    }
    without_nulls(&mut body);
    body
}

/// How deep what a caller sent may be nested to be kept as JSON: with what is put around it, whoever reads takes no more than
/// 127 levels.
const DEEP: usize = 100;

/// The value, or its text where it is nested so deep that nobody could read it again.
fn readable(value: &Value) -> Value {
    fn is_deep(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|item| is_deep(item, left - 1)),
            Value::Object(members) => left == 0 || members.values().any(|member| is_deep(member, left - 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    if is_deep(value, DEEP) { Value::String(value.to_string()) } else { value.clone() }
}

/// Members without a value say nothing that their absence does not.
fn without_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        *members = std::mem::take(members).into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_as_deep_as_can_be_read_is_kept_so_that_it_can_be_read_again() {
        for levels in [1, DEEP, DEEP + 1, 126] {
            let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let value: Value = serde_json::from_str(&text).unwrap();
            let kept = json!({ "asked": { "target": { "x": readable(&value) } } }).to_string();
            let read: Value = serde_json::from_str(&kept).unwrap();
            let target = &read["asked"]["target"]["x"];
            assert!(*target == value || *target == Value::String(text), "{levels}");
        }
    }
}

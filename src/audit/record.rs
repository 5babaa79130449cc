//! What goes into the record and what comes out of it, the same for every engine.

use std::collections::HashSet;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{timestamp::whole_millis, words::words};
use crate::{
    clock::unix_millis,
    domain::{Kill, KillId, Problem, ProblemCode, Sent, Session, Status},
};

/// What is written before any vendor sees a byte.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The kill as it is now: pending, or final already because it was refused, failed or only tried out.
    ///
    /// The `vendor`, `account`, `alias` and `instance_id` in its `target` are what filters find it by.
    pub kill: Kill,
    /// What the caller sent, compact JSON text; `None` if it could not be read.
    pub request: Option<String>,
    pub client_address: Option<String>,
    /// The client that the token was made for: its `azp` or `client_id`.
    pub client_id: Option<String>,
    /// The token's `jti`; never the token.
    pub token_id: Option<String>,
    pub request_id: Option<String>,
    pub dry_run: bool,
    pub key: Option<IdempotencyKey>,
    /// Which gateway process holds it.
    pub gateway: String,
    /// After this a pending kill is anybody's to settle.
    pub deadline: OffsetDateTime,
    /// The webhooks that will be told of it.
    pub webhooks: Vec<String>,
}

/// The caller's `Idempotency-Key` and what tells a repetition from another request under the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
}

/// Whether an attempt is a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is recorded; the caller may go on.
    New,
    /// The key stands for this kill already; nothing was recorded.
    Existing { kill: Box<Kill>, same_request: bool },
}

/// An open kill that was claimed to be settled or looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub kill: Kill,
    /// What the caller sent.
    pub request: Option<String>,
    pub dry_run: bool,
    /// The moment before the first byte went to a vendor; `None` if surely none did.
    pub sent_at: Option<OffsetDateTime>,
}

/// That bytes of a kill may leave from now on, as it goes to an engine.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) id: KillId,
    pub(super) gateway: String,
    pub(super) at: OffsetDateTime,
    /// By then whatever is still to come of the kill is over; its lease lasts at least so long.
    pub(super) due: OffsetDateTime,
}

/// What became of a kill, as it goes to an engine.
#[derive(Debug)]
pub(super) struct Conclusion {
    pub(super) kill: Kill,
    pub(super) at: OffsetDateTime,
    pub(super) what: String,
    pub(super) look_at: Option<OffsetDateTime>,
    /// The calls of it that left, where that was not said before.
    pub(super) calls: Vec<Sent>,
}

/// What happens to a kill's lease when it is concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    Keep,
    Until(OffsetDateTime),
    End,
}

impl Attempt {
    /// The key to claim: none for a kill that is rate-limited at once, so that the caller may come again with it.
    pub(super) fn claims(&self) -> Option<&IdempotencyKey> {
        self.key.as_ref().filter(|_| self.kill.status != Status::RateLimited)
    }

    /// What its reason is found by, with spaces between; `None` where there is nothing.
    pub(super) fn words(&self) -> Option<String> {
        let words = words(self.kill.reason.as_deref()?);
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// The same, as every engine can keep it.
    pub(super) fn storable(&self) -> Self {
        let mut attempt = self.clone();
        attempt.kill = storable(&self.kill);
        attempt.deadline = whole_millis(self.deadline);
        for text in [
            &mut attempt.request,
            &mut attempt.client_address,
            &mut attempt.client_id,
            &mut attempt.token_id,
            &mut attempt.request_id,
        ] {
            text.iter_mut().for_each(without_nul);
        }
        attempt
    }
}

impl Conclusion {
    pub(super) fn new(kill: &Kill, at: OffsetDateTime, what: &str, look_at: Option<OffsetDateTime>) -> Self {
        let look_at = look_at.map(whole_millis);
        Self { kill: storable(kill), at: whole_millis(at), what: what.to_owned(), look_at, calls: vec![] }
    }

    /// The vendor's answers, or the lack of them, to those calls.
    pub(super) fn answered(kill: &Kill, calls: &[Sent], at: OffsetDateTime, look_at: Option<OffsetDateTime>) -> Self {
        let mut calls = calls.to_vec();
        for call in &mut calls {
            call.ids.iter_mut().chain(&mut call.task_id).for_each(without_nul);
        }
        Self { calls, ..Self::new(kill, at, "answered", look_at) }
    }

    /// The detail of its event. `changed` names the sessions it is about.
    pub(super) fn learned(&self, changed: &[String]) -> Value {
        let mut learned = learned(&self.kill, Some(changed));
        if let Some(last) = self.calls.last() {
            learned["calls"] = json!(self.calls);
            learned["left_at"] = unix_millis(last.at).into();
        }
        learned
    }

    /// A pending kill always stays somebody's, an open one as long as there is something to look for.
    pub(super) fn lease(&self) -> Lease {
        match (self.kill.status.is_open(), self.look_at) {
            (true, Some(at)) => Lease::Until(at),
            (true, None) if self.kill.status == Status::Pending => Lease::Keep,
            _ => Lease::End,
        }
    }

    /// A kill that the vendor turned away for its rate, or we ourselves for the state we are in, did surely nothing and
    /// may be asked for again under the same key.
    pub(super) fn releases_key(&self) -> bool {
        let our_own =
            |problem: &Problem| matches!(problem.code, ProblemCode::AuditUnavailable | ProblemCode::Overloaded);
        let nothing_done = self.calls.iter().all(|call| call.refused);
        nothing_done && (self.kill.status == Status::RateLimited || self.kill.problem.as_ref().is_some_and(our_own))
    }
}

/// The detail of an event: what was learned with it.
pub(super) fn learned(kill: &Kill, changed: Option<&[String]>) -> Value {
    let sessions: Vec<&Session> = match changed {
        None => kill.sessions.iter().collect(),
        Some(ids) => {
            let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
            kill.sessions.iter().filter(|session| ids.contains(session.id.as_str())).collect()
        }
    };
    let mut learned = json!({ "upstream": kill.upstream, "problem": kill.problem, "sessions": sessions });
    if let Some(look) = kill.look {
        learned["look"] = json!({ "at": unix_millis(look.at), "complete": look.complete });
        if !kill.found.is_empty() {
            learned["look"]["found"] = json!(kill.found);
        }
    }
    if let Some(at) = kill.verified_at {
        learned["verified_at"] = unix_millis(at).into();
    }
    learned
}

/// The kill as every engine can keep it: whole milliseconds, a session once, and no NUL, which Postgres has no room
/// for and a vendor's message or a refused request may contain.
fn storable(kill: &Kill) -> Kill {
    let mut kill = kill.clone();
    kill.requested_at = whole_millis(kill.requested_at);
    kill.completed_at = kill.completed_at.map(whole_millis);
    kill.verified_at = kill.verified_at.map(whole_millis);
    without_nul(&mut kill.caller);
    for text in [
        &mut kill.on_behalf_of,
        &mut kill.actor,
        &mut kill.reason,
        &mut kill.upstream.request_id,
        &mut kill.upstream.task_id,
        &mut kill.upstream.evidence_url,
        &mut kill.upstream.error_code,
        &mut kill.upstream.error_message,
    ] {
        text.iter_mut().for_each(without_nul);
    }
    for json in [&mut kill.target, &mut kill.select] {
        json.iter_mut().for_each(json_without_nul);
    }
    if let Some(problem) = &mut kill.problem {
        without_nul(&mut problem.detail);
        problem.field.iter_mut().chain(problem.supported.iter_mut().flatten()).for_each(without_nul);
    }
    for session in &mut kill.sessions {
        without_nul(&mut session.id);
        if let Some(identity) = &mut session.identity {
            identity.user.iter_mut().chain(&mut identity.host).for_each(without_nul);
        }
        if let Some(detail) = &mut session.detail
            && detail.contains('\0')
        {
            *detail = detail.replace('\0', "\u{fffd}").into();
        }
    }
    let mut seen = HashSet::new();
    kill.sessions.retain(|session| seen.insert(session.id.clone()));
    kill
}

fn without_nul(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

fn json_without_nul(value: &mut Value) {
    match value {
        Value::String(text) => without_nul(text),
        Value::Array(items) => items.iter_mut().for_each(json_without_nul),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(mut name, mut value)| {
                    without_nul(&mut name);
                    json_without_nul(&mut value);
                    (name, value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::ProblemCode;

    #[test]
    fn a_key_is_let_go_only_where_surely_nothing_was_done_and_for_our_own_state_or_a_rate() {
        use ProblemCode::{AuditUnavailable, Internal, OutcomeUnknown, Overloaded, UpstreamDenied, UpstreamThrottled};
        let at = datetime!(2026-01-02 12:00 UTC);
        let call = |refused| Sent { at, ids: vec!["7".to_owned()], task_id: None, refused };
        let releases = |status, code: Option<ProblemCode>, calls: &[Sent]| {
            let problem = code.map(|code| Problem::new(code, "why"));
            Conclusion::answered(&Kill { status, problem, ..Kill::sample(at) }, calls, at, None).releases_key()
        };
        for (status, code) in
            [(Status::RateLimited, UpstreamThrottled), (Status::Failed, AuditUnavailable), (Status::Failed, Overloaded)]
        {
            for calls in [vec![], vec![call(true)], vec![call(true), call(true)]] {
                assert!(releases(status, Some(code), &calls), "{status} {calls:?}");
            }
            for calls in [vec![call(false)], vec![call(false), call(true)], vec![call(true), call(false)]] {
                assert!(!releases(status, Some(code), &calls), "{status} {calls:?}");
            }
        }
        for (status, code) in [
            (Status::Succeeded, None),
            (Status::Partial, None),
            (Status::Failed, None),
            (Status::Failed, Some(UpstreamDenied)),
            (Status::Failed, Some(Internal)),
            (Status::Unknown, Some(OutcomeUnknown)),
        ] {
            assert!(!releases(status, code, &[]), "{status} {code:?}");
        }
    }
}

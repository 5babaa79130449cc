//! What goes into the record and what comes out of it, the same for every engine.

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use super::log;
use crate::domain::{Kill, KillId, Problem, ProblemCode, Sent, Session, Status};

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
    /// The token's `jti`, or `certificate:` and the SHA-256 of the certificate that stood for one; never the token.
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
    /// Bytes may leave from the very beginning on: the mark goes with the first entry.
    pub is_marked: bool,
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

/// A kill's first entry, as it goes to an engine.
#[derive(Debug)]
pub(super) struct FirstEntry {
    pub(super) kill: KillId,
    pub(super) at: OffsetDateTime,
    pub(super) status: Status,
    pub(super) gateway: String,
    /// Nothing of it will change: it is settled.
    pub(super) ends: bool,
    /// After this a pending kill is anybody's to settle.
    pub(super) due: OffsetDateTime,
    /// JSON text.
    pub(super) body: String,
    pub(super) webhooks: Vec<String>,
    pub(super) claim: Option<Claim>,
    /// The mark that bytes may leave goes with it.
    pub(super) is_marked: bool,
}

/// A key that a kill is to stand for.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) caller: String,
    pub(super) key: IdempotencyKey,
    pub(super) expires_at: OffsetDateTime,
}

/// A later entry of a kill, as it goes to an engine. It is added only to a kill that has not ended.
#[derive(Debug)]
pub(super) struct NextEntry {
    pub(super) kill: KillId,
    pub(super) at: OffsetDateTime,
    pub(super) kind: String,
    pub(super) status: Status,
    /// Nothing of the kill will change any more.
    pub(super) ends: bool,
    /// How long the kill's lease lasts from then on; as before where that is `None`.
    pub(super) due: Option<OffsetDateTime>,
    /// JSON text.
    pub(super) body: String,
    /// Only to a pending kill that this gateway holds, and its lease never gets shorter.
    pub(super) owner: Option<String>,
    /// The kill lets its key go.
    pub(super) releases: bool,
}

impl FirstEntry {
    pub(super) fn of(attempt: &Attempt, key_ttl: Duration) -> Self {
        let Attempt { kill, gateway, deadline, webhooks, .. } = attempt;
        // None for a kill that is rate-limited at once, so that the caller may come again with it.
        let claimed = attempt.key.as_ref().filter(|_| kill.status != Status::RateLimited);
        let claim = claimed.map(|key| Claim {
            caller: storable_text(&kill.caller),
            key: key.clone(),
            expires_at: kill.requested_at + key_ttl,
        });
        Self {
            kill: kill.id,
            at: kill.requested_at,
            status: kill.status,
            gateway: gateway.clone(),
            ends: !kill.status.is_open(),
            due: *deadline,
            body: text(log::asked(attempt)),
            webhooks: webhooks.clone(),
            claim,
            is_marked: attempt.is_marked && kill.status == Status::Pending,
        }
    }
}

impl NextEntry {
    /// The moment before bytes leave; nobody else settles the kill before `due`.
    pub(super) fn sent(kill: KillId, gateway: &str, at: OffsetDateTime, due: OffsetDateTime) -> Self {
        Self {
            kill,
            at,
            kind: "sent".to_owned(),
            status: Status::Pending,
            ends: false,
            due: Some(due),
            body: "{}".to_owned(),
            owner: Some(gateway.to_owned()),
            releases: false,
        }
    }

    /// What was learned since the sessions were as in `known`, with the calls that left where that was not said before. The kill can be claimed from `look_at` on.
    pub(super) fn learned(
        kill: &Kill,
        known: &[Session],
        calls: &[Sent],
        at: OffsetDateTime,
        kind: &str,
        look_at: Option<OffsetDateTime>,
    ) -> Self {
        let look_at = look_at.filter(|_| kill.status.is_open());
        Self {
            kill: kill.id,
            at,
            kind: kind.to_owned(),
            status: kill.status,
            // A pending kill always stays somebody's, an open one as long as there is something to look for.
            ends: look_at.is_none() && kill.status != Status::Pending,
            due: look_at,
            body: text(log::learned(kill, known, calls)),
            owner: None,
            releases: releases_key(kill, calls),
        }
    }
}

/// A kill that the vendor turned away for its rate, or we ourselves for the state we are in or for what a look or a cap
/// found, did surely nothing, and its key is for whatever is asked for next: the same, or the same with a confirm. The
/// problem of a preview is none of its own.
fn releases_key(kill: &Kill, calls: &[Sent]) -> bool {
    use ProblemCode::{AuditUnavailable, Forbidden, Invalid, Overloaded};
    let our_own = |problem: &Problem| matches!(problem.code, AuditUnavailable | Overloaded | Forbidden | Invalid);
    let nothing_done = calls.iter().all(|call| call.refused) && kill.status != Status::Preview;
    nothing_done && (kill.status == Status::RateLimited || kill.problem.as_ref().is_some_and(our_own))
}

/// A body as every engine can keep it: no NUL, which Postgres has no room for and a vendor's message or a refused request may
/// contain.
fn text(mut body: Value) -> String {
    json_without_nul(&mut body);
    body.to_string()
}

fn storable_text(text: &str) -> String {
    let mut text = text.to_owned();
    without_nul(&mut text);
    text
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
    fn a_key_is_let_go_only_where_surely_nothing_was_done_and_for_a_rate_or_by_our_own_word() {
        use ProblemCode::{
            AuditUnavailable, Forbidden, Internal, Invalid, OutcomeUnknown, Overloaded, UpstreamDenied,
            UpstreamRejected, UpstreamThrottled,
        };
        let at = datetime!(2026-01-02 12:00 UTC);
        let call = |refused| Sent { at, ids: vec!["7".to_owned()], task_id: None, answered: true, refused };
        let releases = |status, code: Option<ProblemCode>, calls: &[Sent]| {
            let problem = code.map(|code| Problem::new(code, "why"));
            releases_key(&Kill { status, problem, ..Kill::sample(at) }, calls)
        };
        for (status, code) in [
            (Status::RateLimited, UpstreamThrottled),
            (Status::Failed, AuditUnavailable),
            (Status::Failed, Overloaded),
            (Status::Refused, Forbidden),
            (Status::Failed, Invalid),
            (Status::Partial, Invalid),
        ] {
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
            (Status::Failed, Some(UpstreamRejected)),
            (Status::Preview, Some(Invalid)),
            (Status::Failed, Some(Internal)),
            (Status::Unknown, Some(OutcomeUnknown)),
        ] {
            assert!(!releases(status, code, &[]), "{status} {code:?}");
        }
    }
}

//! What of a kill never changes again although it is open: what was asked, and the events it has so far.
//!
//! Sealed for itself, it can be held against the kill for ever, whatever the kill learns later. What is learned is left
//! out: the status, the outcomes, what the vendor said, the problem, and all times but that of the request.

use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    line::{Line, LineEvent},
    removal::Removal,
};
use crate::{
    chain::{Hash, check},
    domain::KillId,
};

/// Its line, which cannot be taken for a kill's.
#[derive(Serialize)]
pub(super) struct OpeningLine<'l> {
    pub(super) opening: Opening<'l>,
}

/// The members have the names and the order of [`Line`].
#[derive(Serialize)]
pub(super) struct Opening<'l> {
    id: KillId,
    target: &'l Option<Value>,
    select: &'l Option<Value>,
    caller: &'l str,
    on_behalf_of: &'l Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'l str>,
    reason: &'l Option<String>,
    requested_at: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirms: Option<KillId>,
    dry_run: bool,
    request: &'l Option<String>,
    client_address: &'l Option<String>,
    client_id: &'l Option<String>,
    token_id: &'l Option<String>,
    request_id: &'l Option<String>,
    idempotency_key: &'l Option<String>,
    gateway: &'l str,
    events: &'l [LineEvent],
}

impl check::Opening for Line {
    fn opening(&self, version: i32) -> Option<Hash> {
        Self::opening(self, version)
    }

    fn events_at(&self) -> impl Iterator<Item = OffsetDateTime> {
        self.events.iter().filter_map(|event| OffsetDateTime::parse(&event.at, &Rfc3339).ok())
    }
}

/// A removal has no events.
impl check::Opening for Removal {
    fn opening(&self, _: i32) -> Option<Hash> {
        None
    }

    fn events_at(&self) -> impl Iterator<Item = OffsetDateTime> {
        std::iter::empty()
    }
}

impl<'l> Opening<'l> {
    /// That of the line, with these of its events.
    pub(super) fn of(line: &'l Line, events: &'l [LineEvent]) -> Self {
        // Named one by one, so that whoever adds a member to the line must say here whether it may change.
        let Line {
            id,
            status: _,
            target,
            select,
            sessions: _,
            caller,
            on_behalf_of,
            actor,
            reason,
            upstream: _,
            problem: _,
            requested_at,
            looked_at: _,
            list_complete: _,
            sent_at: _,
            completed_at: _,
            verified_at: _,
            confirms,
            dry_run,
            request,
            client_address,
            client_id,
            token_id,
            request_id,
            idempotency_key,
            gateway,
            events: _,
            closed: _,
        } = line;
        Self {
            id: *id,
            target,
            select,
            caller,
            on_behalf_of,
            actor: actor.as_deref(),
            reason,
            requested_at,
            confirms: *confirms,
            dry_run: *dry_run,
            request,
            client_address,
            client_id,
            token_id,
            request_id,
            idempotency_key,
            gateway,
            events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::hex;

    const LINE: &str = r#"{"id":"01a20145-0be1-7823-a957-937f06d75d66","status":"unknown","target":{"alias":"orders"},"select":{"ids":["7"]},"sessions":[{"id":"7","outcome":"unknown","detail":null}],"caller":"bot","on_behalf_of":null,"reason":"runaway","upstream":{"http_status":200,"request_id":"r","task_id":null,"evidence_url":null,"error_code":null,"error_message":null},"problem":null,"requested_at":"2026-03-04T12:00:00.123Z","sent_at":"2026-03-04T12:00:00.124Z","completed_at":null,"dry_run":false,"request":"{}","client_address":null,"client_id":null,"token_id":null,"request_id":"q","idempotency_key":null,"gateway":"here","events":[{"seq":1,"at":"2026-03-04T12:00:00.123Z","kind":"recorded","status":"pending","gateway":"here","detail":{}},{"seq":2,"at":"2026-03-04T12:00:00.124Z","kind":"sent","status":"pending","gateway":"here","detail":{}}]}"#;

    /// Computed with Python's hashlib over the text that `docs/evidence.md` describes.
    const WITH_ONE_EVENT: &str = "1e892320718283a044d0857408d89c5e8b46827418c41a2a4444c966f170862d";
    const WITH_BOTH: &str = "6f2ba6551ddd2ff5b7eb5075a4701e0a178616ea803282b9cf00d3676d285f5a";

    #[test]
    fn an_opening_is_what_other_programs_make_of_it_and_keeps_to_what_never_changes() {
        let mut line: Line = serde_json::from_str(LINE).unwrap();
        assert_eq!(line.text(), LINE);
        let openings = |line: &Line| [0, 1, 2, 3, -1].map(|version| line.opening(version).map(|hash| hex(&hash)));
        let expected = [None, Some(WITH_ONE_EVENT.to_owned()), Some(WITH_BOTH.to_owned()), None, None];
        assert_eq!(openings(&line), expected);
        line.status = "succeeded".into();
        line.sessions.clear();
        line.upstream.http_status = None;
        line.completed_at = Some("2026-03-04T12:00:02Z".into());
        assert_eq!(openings(&line), expected);
        line.caller = "mallory".into();
        assert!(openings(&line).iter().flatten().all(|hash| hash != WITH_ONE_EVENT && hash != WITH_BOTH));
    }

    #[test]
    fn an_open_kill_has_two_leaves_and_a_settled_or_closed_one_has_one() {
        let mut line: Line = serde_json::from_str(LINE).unwrap();
        assert_eq!(line.leaves().map(|leaf| leaf.version).collect::<Vec<_>>(), [2, -2]);
        line.closed = true;
        assert_eq!(line.leaves().map(|leaf| leaf.version).collect::<Vec<_>>(), [0]);
        (line.closed, line.status) = (false, "succeeded".into());
        assert_eq!(line.leaves().map(|leaf| leaf.version).collect::<Vec<_>>(), [0]);
    }
}

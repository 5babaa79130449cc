//! What is told of one kill: a line, a count and its span.

use std::time::Duration;

use crate::{
    domain::Kill,
    kill::{Gate, handle::Ticket},
    spans::Span,
    upstream,
};

/// Notes which kill it is, and how it stands where there is nothing to be done for it.
pub(super) fn note(span: &mut Span, ticket: &Ticket, is_answered: bool) {
    let kill = ticket.now();
    span.text("killgate.kill.id", kill.id);
    if let Some(target) = &kill.target {
        for (name, key) in [("killgate.vendor", "vendor"), ("killgate.account", "account")] {
            if let Some(value) = target[key].as_str() {
                span.text(name, value);
            }
        }
    }
    if is_answered {
        note_end(span, &kill);
    }
}

/// Notes how a kill was answered.
pub(super) fn note_end(span: &mut Span, kill: &Kill) {
    span.text("killgate.status", kill.status);
    span.number("killgate.sessions", kill.sessions.len());
    if let Some(problem) = &kill.problem {
        span.failed(problem.code.as_str());
    }
}

/// One line and one count for each kill.
pub(super) fn tell(gate: &Gate, kill: &Kill, took: Duration) {
    let vendor = vendor_of(kill);
    // Beyond a limit one record stands for many attempts.
    let attempts = kill.problem.as_ref().and_then(|problem| problem.attempts).unwrap_or(1);
    gate.metrics.kill(vendor, kill.status.as_str(), attempts);
    tracing::info!(
        kill_id = %kill.id,
        status = %kill.status,
        caller = kill.caller,
        on_behalf_of = kill.on_behalf_of,
        actor = kill.actor,
        vendor,
        account = kill.target.as_ref().and_then(|target| target["account"].as_str()),
        sessions = kill.sessions.len(),
        attempts,
        problem = kill.problem.as_ref().map(|problem| problem.code.as_str()),
        upstream_request_id = kill.upstream.request_id,
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "kill"
    );
}

/// The vendor of a kill. A request that was not understood may name anything: a label only where it is one of the table's.
pub(in crate::kill) fn vendor_of(kill: &Kill) -> Option<&'static str> {
    let vendor = kill.target.as_ref().and_then(|target| upstream::find(target["vendor"].as_str()?));
    vendor.map(|vendor| vendor.name().as_str())
}

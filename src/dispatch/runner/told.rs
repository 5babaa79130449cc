//! What is told of a call: a span, a count, and how it ended to the breaker.

use std::time::Duration;

use tokio::time::Instant;

use super::{Run, Runner};
use crate::{
    dispatch::{breaker::Ending, rate::budget::Budget, retry::LONGEST_HOLD},
    spans::Span,
    upstream::{Call, Fault, FaultKind},
};

impl Runner {
    /// What is told of one call.
    pub(super) fn span(&self, call: &Call, run: &Run) -> Span {
        let vendor = self.vendor.name();
        let mut span = run.reader.trace.ask(|| format!("{vendor} {}", call.action).into());
        span.text("killgate.vendor", vendor);
        span.text("killgate.account", self.account.name());
        span.text("killgate.action", call.action);
        span
    }

    /// Counts one exchange, tells the breaker how it ended, and slows down for a vendor that throttles.
    pub(super) fn count(&self, call: &Call, run: &Run, fault: Option<&Fault>, took: Duration) {
        let kind = fault.map(|fault| fault.kind);
        let ending = match kind {
            _ if fault.is_some_and(|fault| fault.before_endpoint) => None,
            Some(FaultKind::NotConnected) => Some(Ending::Unconnected),
            Some(FaultKind::Lost | FaultKind::ServerError) => Some(Ending::Failed),
            Some(FaultKind::TooLate) => None,
            _ => Some(Ending::Well),
        };
        if let Some(ending) = ending {
            self.breaker.ended(&run.instance, run.kind(call), ending, Instant::now());
        }
        if kind == Some(FaultKind::Throttled) {
            let budget = Budget::of(&self.account, self.vendor, call);
            self.limiter.throttled(&budget, &self.limit);
            if let Some(wait) = fault.and_then(|fault| fault.retry_after) {
                self.limiter.hold_until(&budget, Instant::now() + wait.min(LONGEST_HOLD));
            }
        }
        let (account, vendor) = (self.account.name(), self.vendor.name().as_str());
        self.metrics.call(account, vendor, call.action, kind.map_or("ok", FaultKind::as_str), took);
    }
}

/// Ends what is told of a call. An answer that could not be read has a status all the same.
pub(super) fn called(mut span: Span, status: Option<u16>, fault: Option<&Fault>) {
    if let Some(status) = status.or_else(|| fault?.http_status) {
        span.number("http.response.status_code", status);
    }
    if let Some(fault) = fault {
        span.failed(fault.kind.as_str());
    }
}

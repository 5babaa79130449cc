//! How many kills are worked on, so that a stop can wait for them.

use std::sync::Arc;

use super::Inner;

/// Counts one kill as being worked on for as long as it lives.
pub(super) struct InFlight(Arc<Inner>);

impl InFlight {
    pub(super) fn enter(inner: &Arc<Inner>) -> Self {
        inner.in_flight.send_modify(|kills| *kills += 1);
        inner.metrics.in_flight().inc();
        Self(Arc::clone(inner))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.in_flight().dec();
        self.0.in_flight.send_modify(|kills| *kills -= 1);
    }
}

//! How many kills are worked on, so that a stop can wait for them.

use tokio::sync::watch;

use prometheus_client::metrics::gauge::Gauge;

/// The count, here and in the metrics.
#[derive(Debug)]
pub(super) struct InFlight {
    kills: watch::Sender<usize>,
    gauge: Gauge,
}

/// Counts one kill as being worked on for as long as it lives.
#[derive(Debug)]
pub(super) struct UnderWay {
    kills: watch::Sender<usize>,
    gauge: Gauge,
}

impl InFlight {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { kills: watch::Sender::new(0), gauge }
    }

    pub(super) fn enter(&self) -> UnderWay {
        self.kills.send_modify(|kills| *kills += 1);
        self.gauge.inc();
        UnderWay { kills: self.kills.clone(), gauge: self.gauge.clone() }
    }

    /// Waits until there is none.
    pub(super) async fn none(&self) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = self.kills.subscribe().wait_for(|kills| *kills == 0).await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gauge.dec();
        self.kills.send_modify(|kills| *kills -= 1);
    }
}

//! What scrapes ask of the record, asked once for all of them.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::Gate;

/// How old what was asked may be.
const FRESH: Duration = Duration::from_secs(5);
/// How long a scrape waits for the record: less than scrapers wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// When the record was last asked; whoever comes meanwhile waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Freshness(Mutex<Option<Instant>>);

impl Freshness {
    /// Sets the metrics of what is open and owed, unless they are fresh.
    pub(super) async fn ask(&self, gate: &Gate) {
        let mut asked = self.0.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < FRESH) {
            return;
        }
        let owed = timeout(PATIENCE, gate.reading.owed(gate.clock.now())).await;
        *asked = Some(Instant::now());
        let owed = match owed {
            Ok(Ok(mut owed)) => {
                // A name that is not configured any more is no label.
                let (known, unknown): (Vec<_>, Vec<_>) =
                    owed.backlog.into_iter().partition(|(webhook, _)| gate.record.webhooks.knows(webhook));
                owed.backlog = known;
                let others: u64 = unknown.iter().map(|(_, kills)| kills).sum();
                owed.backlog.extend((others > 0).then(|| ("none".to_owned(), others)));
                let missing =
                    gate.record.webhooks.names().filter(|name| owed.backlog.iter().all(|(has, _)| has != name));
                let missing: Vec<_> = missing.map(|name| (name.to_owned(), 0)).collect();
                owed.backlog.extend(missing);
                Some(owed)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "what is open and owed cannot be asked");
                None
            }
            Err(_) => None,
        };
        gate.metrics.owed(owed.as_ref());
    }
}

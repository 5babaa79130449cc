//! What a caller holds while a kill is worked on.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    audit::Audit,
    domain::{Kill, Status},
};

/// How often the record is read while a caller waits for a kill to settle: another gateway may settle it.
const GLANCE: Duration = Duration::from_millis(200);

/// A recorded kill, and the way to its answer.
#[derive(Debug)]
pub struct Ticket {
    updates: watch::Receiver<Arc<Kill>>,
    audit: Audit,
    /// True for the answer to an idempotency key that was used before.
    pub replayed: bool,
}

impl Ticket {
    pub(super) fn new(kill: Arc<Kill>, audit: Audit) -> (watch::Sender<Arc<Kill>>, Self) {
        let (sender, updates) = watch::channel(kill);
        (sender, Self { updates, audit, replayed: false })
    }

    pub(super) fn replayed(kill: Arc<Kill>, audit: Audit) -> Self {
        let (_, updates) = watch::channel(kill);
        Self { updates, audit, replayed: true }
    }

    /// The kill once the vendor has answered, or as it is where its work ended without an answer.
    pub async fn answered(mut self) -> Kill {
        // An error means that the work is over; what is known by then stands in the channel.
        let _ = self.updates.wait_for(|kill| kill.status != Status::Pending).await;
        let kill = Arc::clone(&self.updates.borrow());
        Arc::unwrap_or_clone(kill)
    }

    /// The kill once its outcome is final, or what is known of it after `patience`.
    pub async fn settled(mut self, patience: Duration) -> Kill {
        let until = Instant::now() + patience;
        let _ = timeout_at(until, self.updates.wait_for(|kill| kill.status != Status::Pending)).await;
        let kill = Arc::clone(&self.updates.borrow());
        let mut kill = Arc::unwrap_or_clone(kill);
        while !kill.status.is_final() && Instant::now() < until {
            sleep(GLANCE.min(until - Instant::now())).await;
            // An outcome that is known here may not be written yet.
            if let Ok(Some(now)) = self.audit.find(kill.id).await
                && now.status != Status::Pending
            {
                kill = now;
            }
        }
        kill
    }
}

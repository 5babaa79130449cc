//! What a caller holds while a kill is worked on.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::domain::{Kill, Status};

/// A recorded kill, and the way to its answer.
#[derive(Debug)]
pub struct Ticket {
    updates: watch::Receiver<Arc<Kill>>,
    /// True for the answer to an idempotency key that was used before.
    pub replayed: bool,
}

impl Ticket {
    pub(super) fn new(kill: Arc<Kill>) -> (watch::Sender<Arc<Kill>>, Self) {
        let (sender, updates) = watch::channel(kill);
        (sender, Self { updates, replayed: false })
    }

    pub(super) fn replayed(kill: Arc<Kill>) -> Self {
        let (_, updates) = watch::channel(kill);
        Self { updates, replayed: true }
    }

    /// The kill once the vendor has answered, or as it is where its work ended without an answer.
    pub async fn answered(mut self) -> Kill {
        // An error means that the work is over; what is known by then stands in the channel.
        let _ = self.updates.wait_for(|kill| kill.status != Status::Pending).await;
        self.known()
    }

    /// The same, or the kill as it is by then.
    pub async fn answered_by(mut self, until: Instant) -> Kill {
        let _ = timeout_at(until, self.updates.wait_for(|kill| kill.status != Status::Pending)).await;
        self.known()
    }

    /// The kill as it is known now.
    pub(super) fn now(&self) -> Arc<Kill> {
        Arc::clone(&self.updates.borrow())
    }

    fn known(self) -> Kill {
        let kill = Arc::clone(&self.updates.borrow());
        Arc::unwrap_or_clone(kill)
    }
}

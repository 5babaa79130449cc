//! One caller that waits until a kill has ended: until it is settled, or nobody will look after it any more.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Come, Following};
use crate::{
    domain::{Kill, KillId, Status},
    seats::Seat,
};

/// Waits for one kill; takes up one seat for as long as it lives.
#[derive(Debug)]
pub struct Waiter {
    come: watch::Receiver<Come>,
    stop: watch::Receiver<bool>,
    _seat: Seat,
}

impl Waiter {
    pub(super) fn new(following: &Following, seat: Seat, kill: KillId) -> Self {
        Self { come: following.watch(kill), stop: following.0.stop.subscribe(), _seat: seat }
    }

    /// The kill once it has ended, or as far as it has come by then or when the gateway stops; `None`
    /// where the record has no answer to it yet.
    pub async fn settled(mut self, until: Instant) -> Option<Arc<Kill>> {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => {}
            () = sleep_until(until) => {}
            // Whoever asks the record lives as long as this.
            _ = self.come.wait_for(|come| come.has_ended) => {}
        }
        // An outcome that is known where it was learned may not be written yet.
        self.come.borrow().kill.clone().filter(|kill| kill.status != Status::Pending)
    }
}

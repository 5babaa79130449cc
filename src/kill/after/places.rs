//! How many looks may be under way at once: of each account so many, so that one that does not answer keeps no other waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// Places for looks, as many for each account.
#[derive(Debug)]
pub(super) struct Places {
    each: usize,
    of_accounts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Places {
    pub(super) fn new(each: usize) -> Self {
        Self { each, of_accounts: Mutex::default() }
    }

    /// Waits for a place of that account, which is taken until it is dropped.
    pub(super) async fn take(&self, account: &str) -> Option<OwnedSemaphorePermit> {
        let places = {
            let mut all = lock(&self.of_accounts);
            Arc::clone(all.entry(account.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        // Nobody closes it.
        places.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_account_whose_places_are_taken_keeps_no_other_one_waiting() {
        let places = Places::new(2);
        let taken = [places.take("hung").await, places.take("hung").await];
        assert!(places.take("hung").now_or_never().is_none());
        assert!(places.take("well").now_or_never().flatten().is_some());
        drop(taken);
        assert!(places.take("hung").now_or_never().flatten().is_some());
    }
}

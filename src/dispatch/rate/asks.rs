//! Asks of a shared window that meet: while one is on its way, those that come wait, and go together as the next.
//!
//! The invariants: whoever asks gets one answer, and no permit is given to two.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use tokio::sync::oneshot;

use super::{
    budget::Budget,
    limiter::{Class, Permit},
};
use crate::lock::lock;

/// What is asked for now, by budget and class.
#[derive(Debug, Default)]
pub(super) struct Asks(Mutex<HashMap<(Budget, Class), Waiting>>);

/// Those who wait while somebody asks.
#[derive(Debug, Default)]
struct Waiting {
    is_asking: bool,
    /// How many calls each of them wants to make, and where its permit goes.
    others: VecDeque<(u32, oneshot::Sender<Permit>)>,
}

impl Asks {
    /// The permit that somebody else brought along, or the turn to ask.
    pub(super) async fn join(&self, budget: &Budget, class: Class, many: u32) -> Joined<'_> {
        loop {
            let brought = {
                let mut all = lock(&self.0);
                let waiting = all.entry((budget.clone(), class)).or_default();
                if !waiting.is_asking {
                    waiting.is_asking = true;
                    return Joined::Asks(Turn { asks: self, of: (budget.clone(), class) });
                }
                let (permit, brought) = oneshot::channel();
                waiting.others.push_back((many, permit));
                brought
            };
            // Without one it is asked again, by whoever is first.
            if let Ok(permit) = brought.await {
                return Joined::Has(permit);
            }
        }
    }
}

/// How an ask goes on.
pub(super) enum Joined<'a> {
    Has(Permit),
    Asks(Turn<'a>),
}

/// The turn to ask, for all who wait. When it ends, those who got nothing ask again.
pub(super) struct Turn<'a> {
    asks: &'a Asks,
    of: (Budget, Class),
}

impl Turn<'_> {
    /// How many calls those who wait want to make.
    pub(super) fn wanted(&self) -> u32 {
        let all = lock(&self.asks.0);
        let others = all.get(&self.of).map(|waiting| &waiting.others);
        others.into_iter().flatten().map(|(many, _)| many).fold(0, |all, many| all.saturating_add(*many))
    }

    /// Gives away what is beyond `own`, to those who came first. One who has gone meanwhile takes none.
    pub(super) fn share(self, permit: Permit, own: u32) -> Permit {
        let own = permit.calls.min(own);
        let mut left = permit.calls - own;
        let mut all = lock(&self.asks.0);
        if let Some(waiting) = all.get_mut(&self.of) {
            while left > 0
                && let Some((many, to)) = waiting.others.pop_front()
            {
                let calls = many.min(left);
                if to.send(permit.part(calls)).is_ok() {
                    left -= calls;
                }
            }
        }
        permit.part(own + left)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.asks.0).remove(&self.of);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn permit(calls: u32) -> Permit {
        let now = Instant::now();
        let slot = crate::dispatch::rate::window::Slot { taken: calls, wait: 0, left: 9 };
        Permit::given(slot, now, 20).unwrap()
    }

    async fn turn(asks: &Asks, many: u32) -> Turn<'_> {
        match asks.join(&Budget::sample(), Class::Kill, many).await {
            Joined::Asks(turn) => turn,
            Joined::Has(permit) => panic!("{permit:?}"),
        }
    }

    async fn calls(asks: &Asks, many: u32) -> u32 {
        match asks.join(&Budget::sample(), Class::Kill, many).await {
            Joined::Has(permit) => permit.calls,
            Joined::Asks(_) => 0,
        }
    }

    #[tokio::test]
    async fn those_who_come_while_somebody_asks_get_what_is_brought_along_and_the_last_of_them_ask_again() {
        let asks = Asks::default();
        let first = turn(&asks, 2).await;
        let asker = async {
            tokio::task::yield_now().await;
            assert_eq!(first.wanted(), 1 + 3 + 1);
            first.share(permit(5), 2).calls
        };
        let (own, one, three, last) = tokio::join!(asker, calls(&asks, 1), calls(&asks, 3), calls(&asks, 1));
        assert_eq!((own, one, three, last), (2, 1, 2, 0), "the last one's turn to ask has come");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_stays_with_who_asked_and_another_class_does_not_wait() {
        let asks = Asks::default();
        let first = turn(&asks, 1).await;
        assert!(matches!(asks.join(&Budget::sample(), Class::Urgent, 1).await, Joined::Asks(_)));
        assert_eq!(first.share(permit(4), 1).calls, 4);
        drop(turn(&asks, 1).await);
        drop(turn(&asks, 1).await);
    }
}

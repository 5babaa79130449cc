//! Asks of a shared window: those that meet go together, and where calls come fast and the budget has room, one brings along
//! what those who come next will want.
//!
//! The invariants: whoever asks gets one answer, in the time that one ask may take, and no permit is given to two.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{
    budget::Budget,
    limiter::{Class, Permit},
};
use crate::{audit::AuditError, lock::lock};

/// For how long ahead is asked: less than a permit lasts.
const AHEAD: Duration = Duration::from_millis(35);
/// How much time must be left to use what was brought along.
const IN_TIME: Duration = Duration::from_millis(5);

/// What is asked for, by budget and class.
#[derive(Debug, Default)]
pub(super) struct Asks(Mutex<HashMap<(Budget, Class), Asked>>);

#[derive(Debug, Default)]
struct Asked {
    is_asking: bool,
    /// Those who wait meanwhile: how many calls each of them wants to make, and where its answer goes.
    others: VecDeque<(u32, Answer)>,
    /// What was brought along and nobody has taken yet.
    spare: Option<Permit>,
    last: Option<Last>,
}

type Answer = oneshot::Sender<Result<Permit, AuditError>>;

/// What is known of the last ask.
#[derive(Debug)]
struct Last {
    at: Instant,
    had_room: bool,
    /// For how many calls permits were given since.
    given: u32,
}

impl Asked {
    /// A part of what was brought along.
    fn take(&mut self, many: u32) -> Option<Permit> {
        let spare = self.spare.filter(|spare| spare.calls > 0 && Instant::now() + IN_TIME < spare.begin_by)?;
        let calls = many.min(spare.calls);
        self.spare = Some(spare.part(spare.calls - calls));
        self.gave(calls);
        Some(spare.part(calls))
    }

    fn gave(&mut self, calls: u32) {
        if let Some(last) = &mut self.last {
            last.given = last.given.saturating_add(calls);
        }
    }

    /// How many calls will be wanted before long, going by those since the last ask; none where the budget is short.
    fn expected(&self) -> u32 {
        let Some(last) = self.last.as_ref().filter(|last| last.had_room) else { return 0 };
        let since = last.at.elapsed().max(Duration::from_millis(1));
        let expected = u128::from(last.given) * AHEAD.as_micros() / since.as_micros();
        u32::try_from(expected).unwrap_or(u32::MAX)
    }
}

impl Asks {
    /// The permit that somebody brought along, or the turn to ask.
    ///
    /// # Errors
    /// Somebody asked for both, and the window cannot be reached.
    pub(super) async fn join(&self, budget: &Budget, class: Class, many: u32) -> Result<Joined<'_>, AuditError> {
        loop {
            let brought = {
                let mut all = lock(&self.0);
                let asked = all.entry((budget.clone(), class)).or_default();
                if let Some(permit) = asked.take(many) {
                    return Ok(Joined::Has(permit));
                }
                if !asked.is_asking {
                    asked.is_asking = true;
                    return Ok(Joined::Asks(Turn { asks: self, of: (budget.clone(), class) }));
                }
                let (permit, brought) = oneshot::channel();
                asked.others.push_back((many, permit));
                brought
            };
            // Without one it is asked again, by whoever is first.
            if let Ok(answer) = brought.await {
                return answer.map(Joined::Has);
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
    /// How many calls are wanted: one's own, those of all who wait, and those that will be before long.
    pub(super) fn wanted(&self, own: u32) -> u32 {
        let mut all = lock(&self.asks.0);
        let asked = all.entry(self.of.clone()).or_default();
        let expected = asked.expected();
        asked.others.iter().map(|(many, _)| *many).fold(own.saturating_add(expected), u32::saturating_add)
    }

    /// Gives away what is beyond `own`, to those who came first, and keeps the rest for those who come.
    pub(super) fn share(self, permit: Permit, own: u32) -> Permit {
        let own = permit.calls.min(own);
        let mut left = permit.calls - own;
        let mut all = lock(&self.asks.0);
        let asked = all.entry(self.of.clone()).or_default();
        asked.last = Some(Last { at: Instant::now(), had_room: !permit.is_short(), given: own });
        while left > 0
            && let Some((many, to)) = asked.others.pop_front()
        {
            let calls = many.min(left);
            // Who has gone meanwhile takes none.
            if to.send(Ok(permit.part(calls))).is_ok() {
                left -= calls;
                asked.gave(calls);
            }
        }
        asked.spare = Some(permit.part(left));
        permit.part(own)
    }

    /// Tells all who wait that the window cannot be reached: each would only wait for the same.
    pub(super) fn fail(self, error: &AuditError) {
        let mut all = lock(&self.asks.0);
        let others = all.get_mut(&self.of).map(|asked| std::mem::take(&mut asked.others));
        for (_, to) in others.into_iter().flatten() {
            // Whoever has gone is not told.
            let _ = to.send(Err(error.clone()));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(asked) = lock(&self.asks.0).get_mut(&self.of) {
            asked.is_asking = false;
            asked.others.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Slot;

    fn permit(calls: u32) -> Permit {
        Permit::given(Slot { taken: calls, wait: 0, left: 15 }, Instant::now(), 20).unwrap()
    }

    fn short(calls: u32) -> Permit {
        Permit::given(Slot { taken: calls, wait: 0, left: 9 }, Instant::now(), 20).unwrap()
    }

    async fn turn(asks: &Asks, many: u32) -> Turn<'_> {
        match asks.join(&Budget::sample(), Class::Kill, many).await.unwrap() {
            Joined::Asks(turn) => turn,
            Joined::Has(permit) => panic!("{permit:?}"),
        }
    }

    async fn calls(asks: &Asks, many: u32) -> u32 {
        match asks.join(&Budget::sample(), Class::Kill, many).await.unwrap() {
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
            assert_eq!(first.wanted(2), 2 + 1 + 3 + 1);
            first.share(permit(5), 2).calls
        };
        let (own, one, three, last) = tokio::join!(asker, calls(&asks, 1), calls(&asks, 3), calls(&asks, 1));
        assert_eq!((own, one, three, last), (2, 1, 2, 0), "the last one's turn to ask has come");
    }

    #[tokio::test]
    async fn where_the_window_cannot_be_reached_all_who_wait_are_told_at_once() {
        let asks = Asks::default();
        let first = turn(&asks, 1).await;
        let asker = async {
            tokio::task::yield_now().await;
            first.fail(&AuditError::Unavailable { operation: "take_permits", why: "it is away".into() });
        };
        let is_told = async || asks.join(&Budget::sample(), Class::Kill, 1).await.is_err();
        let ((), one, two) = tokio::join!(asker, is_told(), is_told());
        assert!(one && two);
        drop(turn(&asks, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_brought_along_serves_those_who_come_in_time() {
        let asks = Asks::default();
        assert_eq!(turn(&asks, 1).await.share(permit(4), 1).calls, 1);
        assert_eq!((calls(&asks, 2).await, calls(&asks, 2).await), (2, 1));
        assert_eq!(turn(&asks, 1).await.share(permit(4), 1).calls, 1);
        tokio::time::advance(Duration::from_millis(46)).await;
        drop(turn(&asks, 1).await);
        assert!(matches!(asks.join(&Budget::sample(), Class::Urgent, 1).await, Ok(Joined::Asks(_))), "another class");
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_asked_for_ahead_as_were_wanted_lately_unless_the_budget_is_short() {
        let asks = Asks::default();
        let first = turn(&asks, 1).await;
        assert_eq!(first.wanted(1), 1, "nothing is known yet");
        first.share(permit(1), 1);
        tokio::time::advance(Duration::from_millis(7)).await;
        let next = turn(&asks, 1).await;
        assert_eq!(next.wanted(1), 1 + 35 / 7);
        next.share(short(1), 1);
        tokio::time::advance(Duration::from_millis(7)).await;
        assert_eq!(turn(&asks, 1).await.wanted(1), 1);
    }
}

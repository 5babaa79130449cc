//! Rounds of kills that wait for the same list: who gathers, whose list is being read, and who reads it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use super::shared::Seen;
use crate::{
    dispatch::rate::limiter::Class,
    domain::{Problem, Target},
    lock::lock,
    upstream::ListFilter,
};

/// For how long nobody must have come before a round goes on, where others were there before.
const A_MOMENT: Duration = Duration::from_millis(20);

/// What is listed, for kills of which class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) target: Target,
    pub(super) filter: ListFilter,
    pub(super) class: Class,
}

/// The rounds of all places.
#[derive(Debug, Default)]
pub(in crate::kill) struct Rounds {
    places: Mutex<HashMap<Wanted, Place>>,
    coming: Arc<Mutex<HashMap<Target, usize>>>,
}

/// A kill that is being recorded and will want a list of its target, for as long as it lives.
#[derive(Debug)]
pub(in crate::kill) struct Coming {
    all: Arc<Mutex<HashMap<Target, usize>>>,
    target: Target,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        if let Some(many) = all.get_mut(&self.target) {
            *many -= 1;
            if *many == 0 {
                all.remove(&self.target);
            }
        }
    }
}

/// The rounds of one place.
#[derive(Debug, Default)]
struct Place {
    /// The one that gathers.
    gathering: Option<Arc<Round>>,
    /// The last whose list was asked for and is not read yet.
    asked: Option<Arc<Round>>,
}

/// Kills that wait for the same list.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) state: watch::Sender<State>,
    /// How many are in it.
    members: AtomicUsize,
}

#[derive(Debug)]
pub(super) enum State {
    Gathering,
    /// One of them reads the list.
    Led,
    Read(Result<Arc<Seen>, Problem>),
}

impl Round {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: watch::Sender::new(State::Gathering), members: AtomicUsize::new(0) })
    }

    /// Waits until its list was read, or nobody reads it any more.
    pub(super) async fn is_over(&self) {
        // The sender lives in `self`.
        let _ = self.state.subscribe().wait_for(|state| !matches!(state, State::Led)).await;
    }

    /// Whether more than one is in it.
    pub(super) fn is_company(&self) -> bool {
        self.members.load(Ordering::Relaxed) > 1
    }

    /// Waits until nobody has come for a moment, and nobody is on the way.
    pub(super) async fn is_gathered(&self, anybody_comes: impl Fn() -> bool) {
        let mut before = 0;
        while before != self.members.load(Ordering::Relaxed) || anybody_comes() {
            before = self.members.load(Ordering::Relaxed);
            sleep(A_MOMENT).await;
        }
    }
}

impl Rounds {
    /// Notes that a kill will want a list of that target in a moment: whoever wants one before it waits for it.
    pub(in crate::kill) fn comes(&self, target: &Target) -> Coming {
        let target = Target { alias: None, ..target.clone() };
        *lock(&self.coming).entry(target.clone()).or_default() += 1;
        Coming { all: Arc::clone(&self.coming), target }
    }

    pub(super) fn anybody_comes(&self, target: &Target) -> bool {
        lock(&self.coming).contains_key(target)
    }

    /// Joins the round that gathers for that list; and the one whose list is being read.
    pub(super) fn join(&self, wanted: Wanted) -> (Member<'_>, Option<Arc<Round>>) {
        let mut places = lock(&self.places);
        let place = places.entry(wanted.clone()).or_default();
        let round = Arc::clone(place.gathering.get_or_insert_with(Round::new));
        round.members.fetch_add(1, Ordering::Relaxed);
        (Member { rounds: self, wanted, round, is_leading: false }, place.asked.clone())
    }

    /// One of a round is in it no more; the last one takes it along.
    fn leave(&self, wanted: &Wanted, round: &Arc<Round>) {
        let mut places = lock(&self.places);
        let is_last = round.members.fetch_sub(1, Ordering::Relaxed) == 1;
        if let Some(place) = places.get_mut(wanted) {
            let is_read = !matches!(&*round.state.borrow(), State::Led);
            place.asked.take_if(|asked| is_read && Arc::ptr_eq(asked, round));
            place.gathering.take_if(|gathering| is_last && Arc::ptr_eq(gathering, round));
            if place.gathering.is_none() && place.asked.is_none() {
                places.remove(wanted);
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        lock(&self.places).is_empty()
    }
}

/// Whoever is in a round, for as long as it is.
pub(super) struct Member<'r> {
    rounds: &'r Rounds,
    pub(super) wanted: Wanted,
    pub(super) round: Arc<Round>,
    is_leading: bool,
}

impl Member<'_> {
    /// Takes it upon itself to read the list, unless somebody does.
    pub(super) fn lead(&mut self) -> bool {
        self.is_leading = self.round.state.send_if_modified(|state| {
            let is_free = matches!(state, State::Gathering);
            if is_free {
                *state = State::Led;
            }
            is_free
        });
        self.is_leading
    }

    /// The list is being asked for: whoever comes now is too late for it.
    pub(super) fn asks(&self) {
        let mut places = lock(&self.rounds.places);
        let place = places.entry(self.wanted.clone()).or_default();
        place.gathering.take_if(|gathering| Arc::ptr_eq(gathering, &self.round));
        place.asked = Some(Arc::clone(&self.round));
    }

    /// Tells all of them what came of the list.
    pub(super) fn tell(mut self, read: Result<Arc<Seen>, Problem>) {
        self.is_leading = false;
        self.round.state.send_replace(State::Read(read));
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if self.is_leading {
            // Another one reads it.
            self.round.state.send_replace(State::Gathering);
        }
        self.rounds.leave(&self.wanted, &self.round);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use time::OffsetDateTime;

    use super::*;
    use crate::{domain::VendorName, upstream::List};

    fn wanted() -> Wanted {
        let target =
            Target { alias: None, vendor: VendorName("dcdb"), account: "tencent".into(), coordinates: [].into() };
        Wanted { target, filter: ListFilter::default(), class: Class::Kill }
    }

    fn member(rounds: &Rounds) -> Member<'_> {
        rounds.join(wanted()).0
    }

    fn nothing() -> Arc<Seen> {
        let list = List::of_place(vec![], true);
        Arc::new(Seen::new(list, wanted().target, OffsetDateTime::UNIX_EPOCH))
    }

    fn is_read(member: &Member<'_>) -> bool {
        matches!(&*member.round.state.borrow(), State::Read(Ok(_)))
    }

    #[test]
    fn one_of_a_round_reads_for_all_and_whoever_comes_later_is_in_the_next_one() {
        let rounds = Rounds::default();
        let (mut first, mut second) = (member(&rounds), member(&rounds));
        assert!(first.lead() && !second.lead());
        let third = member(&rounds);
        first.asks();
        let late = member(&rounds);
        let asked = lock(&rounds.places)[&wanted()].asked.clone().unwrap();
        assert!(asked.is_over().now_or_never().is_none(), "the next one gathers while this is read");
        first.tell(Ok(nothing()));
        assert!(is_read(&second) && is_read(&third) && !is_read(&late));
        assert!(asked.is_over().now_or_never().is_some());
        drop((second, third, late, asked));
        assert!(rounds.is_empty());
    }

    #[test]
    fn where_the_one_who_reads_goes_away_another_one_reads() {
        let rounds = Rounds::default();
        let (mut first, mut second) = (member(&rounds), member(&rounds));
        assert!(first.lead());
        drop(first);
        assert!(second.lead());
        second.asks();
        drop(second);
        assert!(rounds.is_empty());
    }
}

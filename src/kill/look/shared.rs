//! Lists that several kills wait for: one serves every kill that was waiting when it was asked for.
//!
//! Whoever wants a list of a place joins the round that gathers for it. One of the round reads the list for all of them: the
//! first whose turn it is in its caller's row, so that nobody waits behind the reads of whom he joined. While a list of the
//! same place is being read the next round gathers, though not for long. The invariant: no kill rests on a list that was asked
//! for before it wanted one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    dispatch::{
        rate::{
            limiter::{Class, SPAN},
            rows::First,
        },
        report::Stop,
        runner::{Reader, Runner},
    },
    domain::{Problem, ProblemCode, Target, masked},
    kill::look::{Looks, list::unread},
    lock::lock,
    upstream::{List, ListFilter, Listing},
};

/// How long a round gathers behind a list of the same place that is being read.
const GATHERING: Duration = Duration::from_millis(500);
/// For how long nobody must have come before it goes on, where others were there before.
const A_MOMENT: Duration = Duration::from_millis(20);

/// A list that was read.
#[derive(Debug)]
pub(in crate::kill) struct Seen {
    list: List,
    masked: OnceLock<List>,
    /// Where the sessions live, which may be known more exactly than before: on which node.
    pub(in crate::kill) place: Target,
    /// When it was asked for.
    pub(in crate::kill) at: OffsetDateTime,
    /// Whether several kills rest on it.
    pub(in crate::kill) in_company: bool,
}

impl Seen {
    pub(in crate::kill) const fn new(list: List, place: Target, at: OffsetDateTime) -> Self {
        Self { list, masked: OnceLock::new(), place, at, in_company: false }
    }

    /// The list, with statements as somebody may see them who may see their literals or not.
    pub(in crate::kill) fn list(&self, literals: bool) -> &List {
        if literals {
            return &self.list;
        }
        self.masked.get_or_init(|| {
            let mut list = self.list.clone();
            for session in &mut list.sessions {
                session.statement = session.statement.as_deref().map(masked);
            }
            list
        })
    }

    /// What several lists of one place show together.
    pub(in crate::kill) fn of_all(mut lists: Vec<Arc<Self>>) -> Option<Arc<Self>> {
        if lists.len() <= 1 {
            return lists.pop();
        }
        let at = lists.iter().map(|seen| seen.at).min()?;
        let place = lists.first()?.place.clone();
        let list = List::of_all(lists.iter().map(|seen| seen.list.clone()).collect());
        let in_company = lists.iter().any(|seen| seen.in_company);
        Some(Arc::new(Self { in_company, ..Self::new(list, place, at) }))
    }
}

/// What is listed, for kills of which class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    target: Target,
    filter: ListFilter,
    class: Class,
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
struct Round {
    state: watch::Sender<State>,
    /// How many are in it.
    members: AtomicUsize,
}

#[derive(Debug)]
enum State {
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
    async fn is_over(&self) {
        // The sender lives in `self`.
        let _ = self.state.subscribe().wait_for(|state| !matches!(state, State::Led)).await;
    }
}

impl Round {
    /// Waits until nobody has come for a moment, and nobody is on the way.
    async fn is_gathered(&self, anybody_comes: impl Fn() -> bool) {
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

    fn anybody_comes(&self, target: &Target) -> bool {
        lock(&self.coming).contains_key(target)
    }

    /// The round that gathers for that list, and the one whose list is being read.
    fn join(&self, wanted: &Wanted) -> (Arc<Round>, Option<Arc<Round>>) {
        let mut places = lock(&self.places);
        let place = places.entry(wanted.clone()).or_default();
        let round = place.gathering.get_or_insert_with(Round::new);
        round.members.fetch_add(1, Ordering::Relaxed);
        (Arc::clone(round), place.asked.clone())
    }

    /// The list is being asked for: whoever comes now is too late for it.
    fn asked(&self, wanted: &Wanted, round: &Arc<Round>) {
        let mut places = lock(&self.places);
        let place = places.entry(wanted.clone()).or_default();
        place.gathering.take_if(|gathering| Arc::ptr_eq(gathering, round));
        place.asked = Some(Arc::clone(round));
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
struct Member<'r> {
    rounds: &'r Rounds,
    wanted: Wanted,
    round: Arc<Round>,
    is_leading: bool,
}

impl Member<'_> {
    /// Takes it upon itself to read the list, unless somebody does.
    fn lead(&mut self) -> bool {
        self.is_leading = self.round.state.send_if_modified(|state| {
            let is_free = matches!(state, State::Gathering);
            if is_free {
                *state = State::Led;
            }
            is_free
        });
        self.is_leading
    }

    /// Tells all of them what came of the list.
    fn tell(mut self, read: Result<Arc<Seen>, Problem>) {
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

impl Looks {
    /// Every session that the vendor lists of these, for a kill that waits for it.
    ///
    /// # Errors
    /// What kept the vendor from listing.
    pub(in crate::kill) async fn shared(
        &self,
        runner: &Runner,
        target: &Target,
        filters: &[ListFilter],
        reader: &Reader,
    ) -> Result<Arc<Seen>, Problem> {
        let mut lists = Vec::with_capacity(filters.len());
        for filter in filters {
            lists.push(self.shared_list(runner, target, filter, reader).await?);
        }
        Seen::of_all(lists).ok_or_else(|| Problem::new(ProblemCode::Internal, "no list was asked for"))
    }

    async fn shared_list(
        &self,
        runner: &Runner,
        target: &Target,
        filter: &ListFilter,
        reader: &Reader,
    ) -> Result<Arc<Seen>, Problem> {
        let until = Instant::now() + runner.limit.max_wait + runner.limit.timeout;
        let (target, class) = (Target { alias: None, ..target.clone() }, reader.purpose.class());
        let wanted = Wanted { target, filter: filter.clone(), class };
        let (round, asked) = self.rounds.join(&wanted);
        let mut member = Member { rounds: &self.rounds, wanted, round, is_leading: false };
        let mut state = member.round.state.subscribe();
        if asked.is_some() || self.rounds.anybody_comes(&member.wanted.target) {
            // In vain or not.
            let _ = timeout(GATHERING, async {
                if let Some(asked) = asked {
                    asked.is_over().await;
                }
                member.round.is_gathered(|| self.rounds.anybody_comes(&member.wanted.target)).await;
            })
            .await;
        }
        let listing = Listing::new(runner.vendor, member.wanted.target.clone(), filter.clone());
        loop {
            let is_free = match &*state.borrow_and_update() {
                State::Read(read) => return read.clone(),
                State::Led => false,
                State::Gathering => true,
            };
            tokio::select! {
                biased;
                // The sender lives in the round.
                changed = timeout_at(until, state.changed()) => {
                    changed.map_err(|_| unread(&Stop::StillRunning))?.ok();
                }
                first = runner.first(&listing, reader, until), if is_free => {
                    let first = first.ok_or_else(|| unread(&Stop::NoPermit(SPAN)))?;
                    if member.lead() {
                        return self.read_for_all(runner, listing, reader, (until, first), member).await;
                    }
                }
            }
        }
    }

    /// Reads the list of a round. Where it could not be asked for, that is this kill's own misfortune.
    async fn read_for_all(
        &self,
        runner: &Runner,
        mut listing: Listing,
        reader: &Reader,
        (until, first): (Instant, First),
        member: Member<'_>,
    ) -> Result<Arc<Seen>, Problem> {
        let mut asked_at = None;
        let leaves = || {
            self.rounds.asked(&member.wanted, &member.round);
            asked_at = Some(self.clock.now());
        };
        let read = timeout_at(until, runner.list_first(&mut listing, reader, until, first, leaves)).await;
        let begun = listing.has_begun();
        let read = match (read, asked_at) {
            (Ok(Err(stop)), None) => return Err(unread(&stop)),
            (Err(_), None) => return Err(unread(&Stop::NoPermit(SPAN))),
            (Ok(Ok(())), at) => Ok(at),
            // What was read in time is told, and that it is not all.
            (Ok(Err(Stop::NoPermit(_))) | Err(_), at) if begun => Ok(at),
            (Ok(Err(stop)), Some(_)) => Err(unread(&stop)),
            (Err(_), Some(_)) => Err(unread(&Stop::StillRunning)),
        };
        let read = read.map(|at| {
            let (place, at) = (listing.target().clone(), at.unwrap_or_else(|| self.clock.now()));
            let in_company = member.round.members.load(Ordering::Relaxed) > 1;
            Arc::new(Seen { in_company, ..Seen::new(listing.into_list(), place, at) })
        });
        member.tell(read.clone());
        read
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::VendorName;

    fn wanted() -> Wanted {
        let target =
            Target { alias: None, vendor: VendorName("dcdb"), account: "tencent".into(), coordinates: [].into() };
        Wanted { target, filter: ListFilter::default(), class: Class::Kill }
    }

    fn member(rounds: &Rounds) -> Member<'_> {
        let (round, _) = rounds.join(&wanted());
        Member { rounds, wanted: wanted(), round, is_leading: false }
    }

    fn nothing() -> Arc<Seen> {
        let list = List { sessions: vec![], complete: true };
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
        rounds.asked(&first.wanted, &first.round);
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
        rounds.asked(&second.wanted, &second.round);
        drop(second);
        assert!(rounds.is_empty());
    }
}

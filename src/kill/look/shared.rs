//! Lists that several kills wait for: one serves every kill that was waiting when it was asked for.
//!
//! Whoever wants a list of a place joins the round that gathers for it. One of the round reads the list for all of them: the
//! first whose turn it is in its caller's row, so that nobody waits behind the reads of whom he joined. While a list of the
//! same place is being read the next round gathers, though not for long. The invariant: no kill rests on a list that was asked
//! for before it wanted one.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    dispatch::{
        rate::{limiter::SPAN, rows::First},
        report::Stop,
        runner::{Reader, Runner},
        unread::unread,
    },
    domain::{Problem, ProblemCode, Target, masked},
    kill::look::{
        Looks,
        rounds::{Member, State, Wanted},
    },
    upstream::{List, ListFilter, Listing},
};

/// How long a round gathers behind a list of the same place that is being read.
const GATHERING: Duration = Duration::from_millis(500);

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

    /// What the lists of one place show together, of which there is one at least.
    ///
    /// # Errors
    /// `internal` where there is none.
    pub(in crate::kill) fn of_all(mut lists: Vec<Arc<Self>>) -> Result<Arc<Self>, Problem> {
        let [first, others @ ..] = lists.as_slice() else {
            return Err(Problem::new(ProblemCode::Internal, "no list was asked for"));
        };
        if others.is_empty() {
            return Ok(lists.swap_remove(0));
        }
        let at = others.iter().map(|seen| seen.at).fold(first.at, OffsetDateTime::min);
        let place = first.place.clone();
        let list = List::of_all(lists.iter().map(|seen| seen.list.clone()).collect());
        let in_company = lists.iter().any(|seen| seen.in_company);
        Ok(Arc::new(Self { in_company, ..Self::new(list, place, at) }))
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
        Seen::of_all(lists)
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
        let (mut member, asked) = self.rounds.join(wanted);
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
            member.asks();
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
            let in_company = member.round.is_company();
            Arc::new(Seen { in_company, ..Seen::new(listing.into_list(), place, at) })
        });
        member.tell(read.clone());
        read
    }
}

//! Watching over kills: taking those that are due from the record, reading their targets' lists, noting who came back.
//!
//! A watch is recorded before its kill is sent, so it outlives a gateway that dies on the way; whoever takes it sees from
//! the kill's own record what became of it. Lists take turns in the reads' share of a budget, which yields to kills that
//! wait. Nothing is ever sent from here, and no kill depends on it.

mod rules;

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    audit::{Audit, Returned, Watch},
    clock::Clock,
    dispatch::{
        runner::{Reader, Runner},
        upstreams::Upstreams,
    },
    domain::{Kill, Target},
    seats::Seats,
    upstream::{List, ListFilter, Listing},
};

use super::order_of;
use rules::Step;

/// How long a watch is left to the gateway that took it: a list and its record.
const LEASE: Duration = Duration::from_secs(30);
/// How long one list may take, with the wait for its place.
const LIST: Duration = Duration::from_secs(15);
/// Most lists at once of each account: nobody waits for them.
const LISTS: usize = 2;
/// Most watches taken at once.
const TAKEN: u32 = 64;

/// A list, and the watches that it serves: each with its kill and whether this look is its last.
struct Shared {
    target: Target,
    filters: Vec<ListFilter>,
    watches: Vec<(Watch, Kill, bool)>,
}

/// Looks for sessions that come back.
#[derive(Debug)]
pub(in crate::kill) struct Recurrence {
    pub(in crate::kill) audit: Audit,
    pub(in crate::kill) upstreams: Arc<Upstreams>,
    pub(in crate::kill) clock: Clock,
    /// The name under which this gateway holds watches.
    pub(in crate::kill) gateway: String,
    /// For how long after a kill is looked; zero is not at all.
    pub(in crate::kill) watch_for: Duration,
    seats: Seats,
}

impl Recurrence {
    pub(in crate::kill) fn new(
        audit: Audit,
        upstreams: Arc<Upstreams>,
        clock: Clock,
        gateway: String,
        watch_for: Duration,
    ) -> Self {
        Self { audit, upstreams, clock, gateway, watch_for, seats: Seats::for_each(LISTS) }
    }

    /// Whether sessions that come back are looked for at all.
    pub(in crate::kill) const fn is_on(&self) -> bool {
        !self.watch_for.is_zero()
    }

    /// Records that the sessions of a kill that is about to be sent will be looked for afterwards, where they can be
    /// recognised. A watch that cannot be recorded keeps no kill from being sent.
    pub(in crate::kill) async fn watch(&self, runner: &Runner, kill: &Kill, list: &List, asked: &[ListFilter]) {
        if !self.is_on() {
            return;
        }
        let Some(sightings) = rules::sightings(runner.vendor, kill, list, asked) else { return };
        let due_at = rules::first_due(self.clock.now(), self.watch_for);
        let watch = Watch { kill_id: kill.id, gateway: self.gateway.clone(), due_at, looks: 0, sightings };
        if let Err(error) = self.audit.watch(&watch).await {
            tracing::warn!(kill_id = %kill.id, %error, "a kill cannot be watched, so nobody will look who comes back");
        }
    }

    /// Takes the watches that are due and begins to look.
    pub(in crate::kill) async fn take_due(self: &Arc<Self>, watching: &mut JoinSet<()>) {
        // A full hand may leave others that are due.
        while self.take_some(watching).await == TAKEN as usize {}
    }

    async fn take_some(self: &Arc<Self>, watching: &mut JoinSet<()>) -> usize {
        while watching.try_join_next().is_some() {}
        let taken = match self.audit.claim_watches(&self.gateway, self.clock.now(), LEASE, TAKEN).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "watched kills cannot be looked for");
                return 0;
            }
        };
        let count = taken.len();
        if count > 0 {
            let recurrence = Arc::clone(self);
            watching.spawn(async move { recurrence.look_who_came(taken).await });
        }
        count
    }

    async fn look_who_came(self: Arc<Self>, taken: Vec<Watch>) {
        let mut lists = vec![];
        for watch in taken {
            if let Some(due) = self.due(watch).await {
                share(&mut lists, due);
            }
        }
        let mut reading = JoinSet::new();
        for shared in lists {
            let recurrence = Arc::clone(&self);
            reading.spawn(async move { recurrence.look_for(shared).await });
        }
        reading.join_all().await;
    }

    /// Looks at the kill of a watch: the list that it needs now, where it needs one.
    async fn due(&self, watch: Watch) -> Option<Shared> {
        let now = self.clock.now();
        let kill = match self.audit.find(watch.kill_id).await {
            Ok(found) => found,
            // The lease runs out and some gateway takes it again.
            Err(error) => {
                tracing::warn!(kill_id = %watch.kill_id, %error, "a watched kill cannot be read");
                return None;
            }
        };
        let step = kill.as_ref().map_or(Step::End, |kill| rules::step(kill, watch.looks, now, self.watch_for));
        let due_at = match (step, kill) {
            (Step::Look { is_last }, Some(kill)) => match self.list_wanted(&kill) {
                Some((target, filters)) => {
                    return Some(Shared { target, filters, watches: vec![(watch, kill, is_last)] });
                }
                // This gateway cannot reach it; another one may.
                None => rules::next(&kill, is_last, true, now, self.watch_for),
            },
            (Step::Wait(until), _) => Some(until),
            (Step::End | Step::Look { .. }, _) => None,
        };
        self.note(&watch, None, due_at.map(|due_at| Watch { due_at, ..watch.clone() })).await;
        None
    }

    /// Where and what to list for a kill.
    fn list_wanted(&self, kill: &Kill) -> Option<(Target, Vec<ListFilter>)> {
        // Of several places those where sessions were ended: whoever was on another one before nobody may have seen.
        let target = order_of(kill)?.place();
        let filters = rules::wanted(self.upstreams.runner(&target).ok()?.vendor, kill)?;
        Some((target, filters))
    }

    /// Reads one list and notes what it says of every kill that it serves.
    async fn look_for(&self, shared: Shared) {
        let asked_at = self.clock.now();
        let list = self.list_for(&shared).await;
        let now = self.clock.now();
        for (watch, kill, is_last) in shared.watches {
            let due_at = rules::next(&kill, is_last, list.is_none(), asked_at, self.watch_for);
            let mut on = Watch { looks: watch.looks + 1, ..watch.clone() };
            if let Some(list) = &list {
                rules::learn(&mut on, &kill, list, now);
            }
            let count = u32::try_from(on.sightings.came.len()).unwrap_or(u32::MAX);
            // None before the end is not the end.
            let found = list.as_ref().filter(|_| is_last || count > 0).map(|list| Returned {
                look: if is_last { 2 } else { 1 },
                at: now,
                count,
                complete: list.complete,
            });
            self.note(&watch, found, due_at.map(|due_at| Watch { due_at, ..on })).await;
        }
    }

    /// The list as far as it can be read in time; `None` where nothing of it can, at one of its places or at all.
    async fn list_for(&self, shared: &Shared) -> Option<List> {
        let until = Instant::now() + LIST;
        let _seat = self.seats.wait(&shared.target.account, LIST).await.ok()?;
        let runner = self.upstreams.runner(&shared.target).ok()?;
        let mut lists = vec![];
        for filter in &shared.filters {
            let mut listing = Listing::new(runner.vendor, shared.target.clone(), filter.clone());
            let read = timeout_at(until, runner.list(&mut listing, &Reader::SETTLE, until)).await;
            if !matches!(read, Ok(Ok(()))) {
                tracing::debug!(target = ?shared.target, ?read, "a look for who came back got no whole list");
            }
            // Of a list that nothing is known of, or nothing at one of its places, nobody can say who is on it.
            lists.push(listing.has_begun_everywhere().then(|| listing.into_list())?);
        }
        Some(List::of_all(lists))
    }

    async fn note(&self, watch: &Watch, found: Option<Returned>, on: Option<Watch>) {
        let kill_id = watch.kill_id;
        match self.audit.note_look(kill_id, found, on.as_ref()).await {
            Ok(()) => {
                if let Some(Returned { count, complete, .. }) = found {
                    tracing::info!(%kill_id, returned = count, complete, "looked who came back");
                }
            }
            // The lease runs out and some gateway takes it again.
            Err(error) => tracing::warn!(%kill_id, %error, "who came back cannot be noted yet"),
        }
    }
}

/// Adds a list, or its watches to one that is the same.
fn share(lists: &mut Vec<Shared>, due: Shared) {
    let same = |list: &&mut Shared| list.target.is_named_like(&due.target) && list.filters == due.filters;
    match lists.iter_mut().find(same) {
        Some(list) => list.watches.extend(due.watches),
        None => lists.push(due),
    }
}

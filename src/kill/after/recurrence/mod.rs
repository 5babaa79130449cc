//! Watching over kills: taking those that are due from the record, reading their targets' lists, noting who came back.
//!
//! A watch is recorded before its kill is sent, so it outlives a gateway that dies on the way; whoever takes it sees from
//! the kill's own record what became of it. Lists take turns in the reads' share of a budget, which yields to kills that
//! wait. Nothing is ever sent from here, and no kill depends on it.

mod rules;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    audit::{Returned, Watch},
    dispatch::{rate::limiter::Class, runner::Runner},
    domain::{Kill, Match, Target},
    kill::{
        Kills,
        after::{reconcile::order_of, recurrence::rules::Step},
    },
    upstream::{List, Listing},
};

/// How long a watch is left to the gateway that took it: a list and its record.
const LEASE: Duration = Duration::from_secs(30);
/// How long one list may take, with the wait for its place.
const LIST: Duration = Duration::from_secs(15);
/// Most lists at once: nobody waits for them.
pub(in crate::kill) const LISTS: usize = 4;
/// Most watches taken at once.
pub(in crate::kill) const TAKEN: u32 = 64;

/// A list, and the watches that it serves: each with its kill and whether this look is its last.
struct Shared {
    target: Target,
    wanted: Match,
    watches: Vec<(Watch, Kill, bool)>,
}

impl Kills {
    /// Records that the sessions of a kill that is about to be sent will be looked for afterwards, where they can be
    /// recognised. A watch that cannot be recorded keeps no kill from being sent.
    pub(in crate::kill) async fn watch(&self, driver: &Runner, kill: &Kill, list: &List, wanted: &Match) {
        let inner = &*self.0;
        if inner.watch_for.is_zero() {
            return;
        }
        let Some(sightings) = rules::sightings(driver.vendor, kill, list, wanted) else { return };
        let due_at = rules::first_due(inner.clock.now(), inner.watch_for);
        let watch = Watch { kill_id: kill.id, gateway: inner.gateway.clone(), due_at, looks: 0, sightings };
        if let Err(error) = inner.audit.watch(&watch).await {
            tracing::warn!(kill_id = %kill.id, %error, "a kill cannot be watched, so nobody will look who comes back");
        }
    }

    /// Takes some of the watches that are due and begins to look; answers how many.
    pub(in crate::kill) async fn take_watches(&self, watching: &mut JoinSet<()>, places: &Arc<Semaphore>) -> usize {
        let inner = &*self.0;
        while watching.try_join_next().is_some() {}
        let taken = match inner.audit.claim_watches(&inner.gateway, inner.clock.now(), LEASE, TAKEN).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "watched kills cannot be looked for");
                return 0;
            }
        };
        let count = taken.len();
        if count > 0 {
            let (kills, places) = (self.clone(), Arc::clone(places));
            watching.spawn(async move { kills.look_who_came(taken, &places).await });
        }
        count
    }

    async fn look_who_came(&self, taken: Vec<Watch>, places: &Arc<Semaphore>) {
        let mut lists = vec![];
        for watch in taken {
            if let Some(due) = self.due(watch).await {
                share(&mut lists, due);
            }
        }
        let mut reading = JoinSet::new();
        for shared in lists {
            let (kills, places) = (self.clone(), Arc::clone(places));
            reading.spawn(async move { kills.look_for(shared, &places).await });
        }
        reading.join_all().await;
    }

    /// Looks at the kill of a watch: the list that it needs now, where it needs one.
    async fn due(&self, watch: Watch) -> Option<Shared> {
        let (inner, now) = (&*self.0, self.0.clock.now());
        let kill = match inner.audit.find(watch.kill_id).await {
            Ok(found) => found,
            // The lease runs out and some gateway takes it again.
            Err(error) => {
                tracing::warn!(kill_id = %watch.kill_id, %error, "a watched kill cannot be read");
                return None;
            }
        };
        let step = kill.as_ref().map_or(Step::End, |kill| rules::step(kill, watch.looks, now, inner.watch_for));
        let due_at = match (step, kill) {
            (Step::Look { is_last }, Some(kill)) => match self.list_wanted(&kill) {
                Some((target, wanted)) => {
                    return Some(Shared { target, wanted, watches: vec![(watch, kill, is_last)] });
                }
                // This gateway cannot reach it; another one may.
                None => rules::next(&kill, is_last, true, now, inner.watch_for),
            },
            (Step::Wait(until), _) => Some(until),
            (Step::End | Step::Look { .. }, _) => None,
        };
        self.note(&watch, None, due_at.map(|due_at| Watch { due_at, ..watch.clone() })).await;
        None
    }

    /// Where and what to list for a kill.
    fn list_wanted(&self, kill: &Kill) -> Option<(Target, Match)> {
        let target = order_of(kill)?.target;
        let wanted = rules::wanted(self.0.upstreams.runner(&target).ok()?.vendor, kill)?;
        Some((target, wanted))
    }

    /// Reads one list and notes what it says of every kill that it serves.
    async fn look_for(&self, shared: Shared, places: &Semaphore) {
        let inner = &*self.0;
        let asked_at = inner.clock.now();
        let list = self.list_for(&shared, places).await;
        let now = inner.clock.now();
        for (watch, kill, is_last) in shared.watches {
            let due_at = rules::next(&kill, is_last, list.is_none(), asked_at, inner.watch_for);
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

    /// The list as far as it can be read in time; `None` where nothing of it can.
    async fn list_for(&self, shared: &Shared, places: &Semaphore) -> Option<List> {
        let until = Instant::now() + LIST;
        let _place = timeout_at(until, places.acquire()).await.ok()?.ok()?;
        let driver = self.0.upstreams.runner(&shared.target).ok()?;
        let mut listing = Listing::new(driver.vendor, shared.target.clone(), shared.wanted.clone());
        let read = timeout_at(until, driver.list(&mut listing, Class::Read, until)).await;
        if !matches!(read, Ok(Ok(()))) {
            tracing::debug!(target = ?shared.target, ?read, "a look for who came back got no whole list");
        }
        listing.has_begun().then(|| listing.into_list())
    }

    async fn note(&self, watch: &Watch, found: Option<Returned>, on: Option<Watch>) {
        let kill_id = watch.kill_id;
        match self.0.audit.note_look(kill_id, found, on.as_ref()).await {
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
    let same = |list: &&mut Shared| list.target.is_named_like(&due.target) && list.wanted == due.wanted;
    match lists.iter_mut().find(same) {
        Some(list) => list.watches.extend(due.watches),
        None => lists.push(due),
    }
}

//! Reading: the pages of a list, and what the database would pick.

use std::collections::HashSet;

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::{Reader, Run, Runner};
use crate::{
    dispatch::{
        rate::{budget::Budget, rows::First},
        report::Stop,
        unread::unread,
        wait::wait_until,
    },
    domain::{SessionId, Target},
    upstream::{Fault, FaultKind, Listing, OfPlace},
};

/// How many places are read at once.
const AT_ONCE: usize = 8;

impl Runner {
    /// Reads one page after another until the list has ended; of several places, those of a few at once. Each page may wait for
    /// its permit as long as any call may, but none beyond `until`. A place that cannot be read is told so in the list, unless
    /// none can.
    pub(crate) async fn list(&self, listing: &mut Listing, reader: &Reader, until: Instant) -> Result<(), Stop> {
        self.rest(listing, reader, until, None).await
    }

    /// The same where a place may have failed before.
    async fn rest(
        &self,
        listing: &mut Listing,
        reader: &Reader,
        until: Instant,
        failed: Option<Stop>,
    ) -> Result<(), Stop> {
        self.pages(listing, reader, until).await?;
        let mut reading = Vec::new();
        for place in listing.of_places() {
            if place.why.is_none() {
                reading.push(self.place(place, reader, until));
            }
        }
        let ended: Vec<Option<Stop>> = stream::iter(reading).buffered(AT_ONCE).collect().await;
        let is_any_read = ended.iter().any(Option::is_none);
        let stops = failed.into_iter().chain(ended.into_iter().flatten());
        // What keeps from every place goes before what is wrong at one of them.
        match stops.min_by_key(is_of_one_place) {
            Some(stop) if !is_any_read => Err(stop),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads the list of one of several places; what kept it from its end is noted there too.
    async fn place(&self, place: &mut OfPlace, reader: &Reader, until: Instant) -> Option<Stop> {
        let stop = self.pages(&mut place.listing, reader, until).await.err();
        place.why = stop.as_ref().map(|stop| unread(stop).detail);
        stop
    }

    async fn pages(&self, listing: &mut Listing, reader: &Reader, until: Instant) -> Result<(), Stop> {
        while let Some(call) = listing.call().filter(|_| !listing.is_of_places()) {
            if let Some(moment) = listing.pause().map(|pause| Instant::now() + pause) {
                if moment > until {
                    return Err(Stop::StillRunning);
                }
                wait_until(moment).await;
            }
            let mut run = self.page(listing, reader, until);
            self.exchange(&call, &mut run, |reply| listing.read(reply)).await?;
        }
        Ok(())
    }

    /// The same for whoever is the first in its row. `leaves` is called when the list is about to be asked for.
    pub(crate) async fn list_first(
        &self,
        listing: &mut Listing,
        reader: &Reader,
        until: Instant,
        first: First,
        leaves: impl FnOnce() + Send,
    ) -> Result<(), Stop> {
        let mut failed = None;
        if let Some(call) = listing.call() {
            let mut run = self.page(listing, reader, until);
            run.permit = Some(self.permit_for(&call, &run).await?);
            drop(first);
            leaves();
            failed = self.exchange(&call, &mut run, |reply| listing.read(reply)).await.err();
        }
        if let Some(stop) = failed.take() {
            if !listing.leave_out(|| unread(&stop).detail) {
                return Err(stop);
            }
            failed = Some(stop);
        }
        self.rest(listing, reader, until, failed).await
    }

    /// Waits to be the first of that reader's reads that wait for the permit of a list; `None` where it is not by `until`.
    pub(crate) async fn first(&self, listing: &Listing, reader: &Reader, until: Instant) -> Option<First> {
        let (call, caller) = (listing.call()?, reader.caller.as_ref()?);
        let patience = until.min(Instant::now() + self.limit.max_wait);
        self.limiter.rows.first(&Budget::of(&self.account, self.vendor, &call), caller, patience).await
    }

    fn page(&self, listing: &Listing, reader: &Reader, until: Instant) -> Run {
        let patience = until.min(Instant::now() + self.limit.max_wait);
        Run::new(self.instance(listing.asked()), reader.clone(), patience)
    }

    /// The sessions that the database would pick now if it were left to it, each once; `None` where the vendor cannot be
    /// asked.
    pub(crate) async fn pick(
        &self,
        target: &Target,
        reader: &Reader,
        until: Instant,
    ) -> Result<Option<Vec<SessionId>>, Stop> {
        let Some(call) = self.vendor.pick(target) else { return Ok(None) };
        let mut run = Run::new(self.instance(target), reader.clone(), until);
        let ids = self.exchange(&call, &mut run, |reply| self.vendor.picked(reply)).await?;
        Ok(Some(each_once(ids)))
    }
}

/// Whether it is the place that does not answer as it should: at another one it may be otherwise.
const fn is_of_one_place(stop: &Stop) -> bool {
    matches!(stop, Stop::Fault(Fault { kind: FaultKind::TargetNotFound | FaultKind::TargetBusy, .. }))
}

/// Each id once, in the order in which they were named.
fn each_once(ids: Vec<SessionId>) -> Vec<SessionId> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

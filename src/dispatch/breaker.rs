//! What fails is left alone for a while, and probed until it is back: an endpoint, or one instance behind it.
//!
//! An endpoint is where calls connect to, whatever the accounts are called that do. It is to blame where no connection is
//! made, or where one instance after another fails; otherwise the instance is. The invariants: calls of one kind are kept
//! back by failures of that kind alone, so whoever reads keeps no kill from being sent; what is left alone is probed by a
//! call of the same kind after each rest, so a kill may always be the probe; a kill that goes well ends it for all; and
//! whoever hammers at broken instances does not close the endpoint to those that are well: one that has not failed is let
//! through every second.

mod circuit;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use circuit::{Circuit, FAILURES};

use crate::{
    domain::{Target, VendorName},
    lock::lock,
    upstream::{Vendor, account::Endpoint},
};

/// How often an instance that has not failed is tried while its endpoint is left alone.
const TRY: Duration = Duration::from_secs(1);
/// For how long failures of an instance are remembered.
const MEMORY: Duration = Duration::from_mins(10);

/// The breakers of every endpoint, by where it is.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<Endpoint, Arc<Breaker>>>);

impl Breakers {
    /// The breaker of that endpoint.
    pub(crate) fn of(&self, endpoint: Endpoint) -> Arc<Breaker> {
        Arc::clone(lock(&self.0).entry(endpoint).or_default())
    }
}

/// What calls are counted apart by: that lists are answered does not say that kills are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Kill,
    /// A read that a kill waits for.
    Look,
    /// A read that somebody wants to see.
    List,
    /// A read of what became of a kill.
    Settle,
}

/// How a call ended, as far as it tells whether its endpoint and its instance are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was answered, if only with a refusal.
    Well,
    /// Without an answer, or with one that says that the vendor failed.
    Failed,
    /// No connection was made.
    Unconnected,
}

/// A place behind an endpoint that can fail by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Instance {
    vendor: VendorName,
    id: String,
    /// Each of its shards or nodes can fail, and leaves the others well.
    place: Option<String>,
}

impl Instance {
    /// The instance of a target: the first coordinate that tells places apart names it.
    pub(crate) fn of(vendor: &dyn Vendor, target: &Target) -> Self {
        let name = vendor.capabilities().tells_apart.first().copied().unwrap_or_default();
        let one = vendor.capabilities().division().and_then(|division| target.coordinates.get(division.one()));
        let place = one.map(|place| place.to_ascii_lowercase());
        Self { vendor: vendor.name(), id: target.coordinate(name).to_ascii_lowercase(), place }
    }

    /// The whole of it, which is to blame where one place of it after another fails.
    fn whole(&self) -> Self {
        Self { place: None, ..self.clone() }
    }

    /// What is kept back where it, or the whole of it, is.
    fn and_whole(&self) -> impl Iterator<Item = Self> {
        let whole = self.place.as_ref().map(|_| self.whole());
        [Some(self.clone()), whole].into_iter().flatten()
    }
}

/// What is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Endpoint(Duration),
    Instance(Duration),
}

impl Rest {
    pub(crate) const fn time(self) -> Duration {
        match self {
            Self::Endpoint(time) | Self::Instance(time) => time,
        }
    }

    /// One clause for the caller.
    pub(crate) const fn clause(self) -> &'static str {
        match self {
            Self::Endpoint(_) => "the vendor's endpoint is failing and is left alone for a while",
            Self::Instance(_) => "the vendor fails at this instance, shard or node, which is left alone for a while",
        }
    }
}

/// The breaker of one endpoint and of the instances behind it.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    endpoint: Circuits,
    /// Instances that failed since the last call that went well, by kind of call.
    failed: [HashSet<Instance>; KINDS],
    /// When an instance that has not failed was last let through to an endpoint that is left alone.
    tried: [Option<Instant>; KINDS],
    /// Those of the instances that failed lately, and when they last did.
    instances: HashMap<Instance, (Circuits, Instant)>,
}

/// How many kinds of calls there are.
const KINDS: usize = 4;

/// One for each kind of call.
type Circuits = [Circuit; KINDS];

impl Breaker {
    /// Whether a call may go now; otherwise what is left alone. A call that goes to what was left alone is its probe, and
    /// no other one of its kind goes until the probe has ended or another rest has passed.
    pub(crate) fn admit(&self, instance: &Instance, kind: Kind, now: Instant) -> Result<(), Rest> {
        let mut state = lock(&self.0);
        if let Some(rest) = state.rest(instance, kind, now) {
            return Err(rest);
        }
        if state.endpoint[kind as usize].rest(now).is_some() {
            state.tried[kind as usize] = Some(now);
        } else {
            state.endpoint[kind as usize].probed(now);
        }
        for place in instance.and_whole() {
            if let Some((circuits, _)) = state.instances.get_mut(&place) {
                circuits[kind as usize].probed(now);
            }
        }
        Ok(())
    }

    /// What is left alone of where a call would go, and for how long; the next call after that is a probe.
    pub(crate) fn rest(&self, instance: &Instance, kind: Kind, now: Instant) -> Option<Rest> {
        lock(&self.0).rest(instance, kind, now)
    }

    /// A call of that kind has ended.
    pub(crate) fn ended(&self, instance: &Instance, kind: Kind, ending: Ending, now: Instant) {
        let mut state = lock(&self.0);
        match ending {
            Ending::Well if kind == Kind::Kill => {
                (state.endpoint, state.failed) = <_>::default();
                state.instances.retain(|place, _| instance.and_whole().all(|well| well != *place));
            }
            Ending::Well => {
                state.endpoint[kind as usize] = Circuit::default();
                state.failed[kind as usize].clear();
                for place in instance.and_whole() {
                    if let Some((circuits, _)) = state.instances.get_mut(&place) {
                        circuits[kind as usize] = Circuit::default();
                    }
                }
            }
            Ending::Failed => state.failed_at(instance, kind, now),
            Ending::Unconnected => state.endpoint[kind as usize].failed(now),
        }
    }

    /// True while the endpoint is left alone, or kills are only let through to probe it.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        let endpoint = &lock(&self.0).endpoint;
        // Kills are tried again as soon as anybody has one; who listed once may never list again.
        endpoint[Kind::Kill as usize].is_open() || endpoint.iter().any(|circuit| circuit.rest(now).is_some())
    }
}

impl State {
    fn rest(&self, instance: &Instance, kind: Kind, now: Instant) -> Option<Rest> {
        let of_place = |place: Instance| self.instances.get(&place)?.0[kind as usize].rest(now);
        let of_instance = || instance.and_whole().find_map(of_place);
        let of_endpoint = self.endpoint[kind as usize].rest(now).filter(|_| !self.may_try(instance, kind, now));
        of_endpoint.map(Rest::Endpoint).or_else(|| of_instance().map(Rest::Instance))
    }

    /// Whether an endpoint that is left alone because of other instances may be tried at this one.
    fn may_try(&self, instance: &Instance, kind: Kind, now: Instant) -> bool {
        let has_failed =
            |place| self.instances.get(&place).is_some_and(|(circuits, _)| circuits[kind as usize].failures > 0);
        let is_broken = instance.and_whole().any(has_failed);
        let was_tried = self.tried[kind as usize].is_some_and(|at| now.saturating_duration_since(at) < TRY);
        self.failed[kind as usize].len() >= FAILURES as usize && !is_broken && !was_tried
    }

    fn failed_at(&mut self, instance: &Instance, kind: Kind, now: Instant) {
        self.instances.retain(|_, (_, at)| now.saturating_duration_since(*at) < MEMORY);
        if instance.place.is_some() {
            let (circuits, at) = self.instances.entry(instance.clone()).or_insert_with(|| (<_>::default(), now));
            *at = now;
            circuits[kind as usize].failed(now);
            if circuits[kind as usize].failures > 1 {
                return; // The instance is not to blame for what one place does again and again.
            }
        }
        let instance = &instance.whole();
        let (circuits, at) = self.instances.entry(instance.clone()).or_insert_with(|| (<_>::default(), now));
        *at = now;
        let was_known = circuits[kind as usize].is_open();
        circuits[kind as usize].failed(now);
        // The endpoint is not to blame for what one instance does again and again.
        let failed = &mut self.failed[kind as usize];
        if !was_known && failed.len() < FAILURES as usize && failed.insert(instance.clone()) {
            self.endpoint[kind as usize].failed(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{circuit::REST, *};

    const ALL: [Kind; KINDS] = [Kind::Kill, Kind::Look, Kind::List, Kind::Settle];

    fn instance(id: &str) -> Instance {
        Instance { vendor: VendorName("dcdb"), id: id.to_owned(), place: None }
    }

    /// Who may go where now.
    fn admitted(breaker: &Breaker, id: &str, now: Instant) -> [Option<Rest>; KINDS] {
        ALL.map(|kind| breaker.rest(&instance(id), kind, now))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_probe_that_goes_well() {
        let (breaker, start, one) = (Breaker::default(), Instant::now(), instance("one"));
        let ended = |ending| breaker.ended(&one, Kind::Kill, ending, start);
        (1..FAILURES).for_each(|_| ended(Ending::Unconnected));
        ended(Ending::Well);
        (0..FAILURES).for_each(|_| ended(Ending::Unconnected));
        let resting = Rest::Endpoint(REST);
        assert_eq!((breaker.admit(&one, Kind::Kill, start), breaker.is_open(start)), (Err(resting), true));
        assert_eq!(admitted(&breaker, "other", start), [Some(resting), None, None, None]);
        let later = start + REST;
        assert_eq!(breaker.admit(&one, Kind::Kill, later), Ok(()));
        assert_eq!(breaker.admit(&one, Kind::Kill, later), Err(resting), "one probe at a time");
        breaker.ended(&one, Kind::Kill, Ending::Well, later);
        assert_eq!((breaker.admit(&one, Kind::Kill, later), breaker.is_open(later)), (Ok(()), false));
    }

    #[test]
    fn a_broken_instance_is_left_alone_and_no_other_one() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..3 * FAILURES {
            breaker.ended(&instance("broken"), Kind::Kill, Ending::Failed, start);
        }
        assert_eq!(admitted(&breaker, "broken", start), [Some(Rest::Instance(REST)), None, None, None]);
        assert_eq!((admitted(&breaker, "healthy", start), breaker.is_open(start)), ([None; KINDS], false));
        breaker.ended(&instance("healthy"), Kind::Kill, Ending::Well, start);
        assert!(breaker.rest(&instance("broken"), Kind::Kill, start).is_some());
        let later = start + REST;
        assert_eq!(breaker.admit(&instance("broken"), Kind::Kill, later), Ok(()));
        breaker.ended(&instance("broken"), Kind::Kill, Ending::Well, later);
        assert_eq!(admitted(&breaker, "broken", later), [None; KINDS]);
    }

    #[test]
    fn a_broken_place_leaves_the_others_well_and_many_of_one_instance_are_no_broken_endpoint() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let of = |place: u32| Instance { place: Some(place.to_string()), ..instance("one") };
        (0..3 * FAILURES).for_each(|_| breaker.ended(&of(0), Kind::Look, Ending::Failed, start));
        let rest = |place: u32| breaker.rest(&of(place), Kind::Look, start);
        assert_eq!((rest(0), rest(1)), (Some(Rest::Instance(REST)), None));
        (1..FAILURES).for_each(|it| breaker.ended(&of(it), Kind::Look, Ending::Failed, start));
        assert_eq!(rest(FAILURES), Some(Rest::Instance(REST)), "one after another: the instance is broken");
        breaker.ended(&of(FAILURES), Kind::Look, Ending::Well, start);
        assert_eq!((rest(0), rest(1)), (Some(Rest::Instance(REST)), None));
        (0..3 * FAILURES).for_each(|it| breaker.ended(&of(it), Kind::Look, Ending::Failed, start));
        assert_eq!((admitted(&breaker, "healthy", start), breaker.is_open(start)), ([None; KINDS], false));
    }

    #[test]
    fn where_one_instance_after_another_fails_the_endpoint_does() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for id in 0..FAILURES {
            assert_eq!(admitted(&breaker, "healthy", start), [None; KINDS]);
            breaker.ended(&instance(&id.to_string()), Kind::Kill, Ending::Failed, start);
        }
        assert_eq!(admitted(&breaker, "0", start), [Some(Rest::Endpoint(REST)), None, None, None]);
        assert!(breaker.is_open(start));
    }

    #[test]
    fn an_endpoint_that_is_left_alone_is_tried_at_what_has_not_failed_once_a_second() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        let failed = |now| {
            for id in 0..FAILURES {
                breaker.ended(&instance(&id.to_string()), Kind::Kill, Ending::Failed, now);
            }
        };
        failed(now);
        for _ in 0..3 {
            assert_eq!(breaker.admit(&instance("healthy"), Kind::Kill, now), Ok(()));
            let rest = breaker.admit(&instance("other"), Kind::Kill, now).unwrap_err();
            assert!(matches!(rest, Rest::Endpoint(_)), "one try at a time");
            assert!(breaker.admit(&instance("0"), Kind::Kill, now).is_err());
            now += TRY;
        }
        breaker.ended(&instance("healthy"), Kind::Kill, Ending::Failed, now);
        assert!(breaker.rest(&instance("healthy"), Kind::Kill, now).is_some(), "it is the endpoint");
        breaker.ended(&instance("other"), Kind::Kill, Ending::Well, now);
        assert_eq!(admitted(&breaker, "healthy", now), [None; KINDS]);
    }

    #[test]
    fn what_is_known_to_be_broken_does_not_speak_against_its_endpoint_again() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            for id in 0..FAILURES {
                breaker.ended(&instance(&id.to_string()), Kind::Kill, Ending::Failed, start);
            }
        }
        breaker.ended(&instance("healthy"), Kind::Kill, Ending::Well, start);
        for id in 0..FAILURES {
            breaker.ended(&instance(&id.to_string()), Kind::Kill, Ending::Failed, start + REST);
        }
        assert_eq!(admitted(&breaker, "healthy", start + REST), [None; KINDS]);
    }

    #[test]
    fn where_no_connection_is_made_no_instance_is_tried() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            breaker.ended(&instance("one"), Kind::Kill, Ending::Unconnected, start);
        }
        assert_eq!(breaker.rest(&instance("healthy"), Kind::Kill, start), Some(Rest::Endpoint(REST)));
    }

    #[test]
    fn reads_keep_no_kill_back_and_a_kill_that_goes_well_ends_it_for_all() {
        let (breaker, start, one) = (Breaker::default(), Instant::now(), instance("one"));
        for ending in [Ending::Failed, Ending::Unconnected] {
            for _ in 0..FAILURES {
                breaker.ended(&one, Kind::List, ending, start);
            }
        }
        assert_eq!(admitted(&breaker, "one", start), [None, None, Some(Rest::Endpoint(REST)), None]);
        breaker.ended(&one, Kind::Look, Ending::Well, start);
        assert!(breaker.rest(&one, Kind::List, start).is_some());
        breaker.ended(&one, Kind::Kill, Ending::Well, start);
        assert_eq!(admitted(&breaker, "one", start), [None; KINDS]);
    }
}

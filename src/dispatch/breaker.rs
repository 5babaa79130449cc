//! What fails is left alone for a while, and probed until it is back: an endpoint, or one instance behind it.
//!
//! An endpoint is where calls connect to, whatever the accounts are called that do. It is to blame where no connection is
//! made, or where one instance after another fails; otherwise the instance is. The invariants: calls of one kind are kept
//! back by failures of that kind alone, so whoever reads keeps no kill from being sent; what is left alone is probed by a
//! call of the same kind after each rest, so a kill may always be the probe; and a kill that goes well ends it for all.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::{Target, VendorName},
    lock::lock,
    upstream::{Vendor, account::Endpoint},
};

/// Failures in a row after which something is left alone.
const FAILURES: u32 = 5;
/// How long nothing is sent, before one call probes.
const REST: Duration = Duration::from_secs(5);
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
    /// Any other read.
    Read,
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
}

impl Instance {
    /// The instance of a target: the first coordinate that tells places apart names it.
    pub(crate) fn of(vendor: &dyn Vendor, target: &Target) -> Self {
        let name = vendor.capabilities().tells_apart.first().copied().unwrap_or_default();
        Self { vendor: vendor.name(), id: target.coordinate(name).to_ascii_lowercase() }
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
            Self::Instance(_) => "the vendor fails at this instance, which is left alone for a while",
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
    failed: [HashSet<Instance>; 3],
    /// Those of the instances that failed lately, and when they last did.
    instances: HashMap<Instance, (Circuits, Instant)>,
}

/// One for each kind of call.
type Circuits = [Circuit; 3];

impl Breaker {
    /// Whether a call may go now; otherwise what is left alone. A call that goes to what was left alone is its probe, and
    /// no other one of its kind goes until the probe has ended or another rest has passed.
    pub(crate) fn admit(&self, instance: &Instance, kind: Kind, now: Instant) -> Result<(), Rest> {
        let mut state = lock(&self.0);
        if let Some(rest) = state.rest(instance, kind, now) {
            return Err(rest);
        }
        state.endpoint[kind as usize].probed(now);
        if let Some((circuits, _)) = state.instances.get_mut(instance) {
            circuits[kind as usize].probed(now);
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
                state.instances.remove(instance);
            }
            Ending::Well => {
                state.endpoint[kind as usize] = Circuit::default();
                state.failed[kind as usize].clear();
                if let Some((circuits, _)) = state.instances.get_mut(instance) {
                    circuits[kind as usize] = Circuit::default();
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
        endpoint[Kind::Kill as usize].open_until.is_some() || endpoint.iter().any(|circuit| circuit.rest(now).is_some())
    }
}

impl State {
    fn rest(&self, instance: &Instance, kind: Kind, now: Instant) -> Option<Rest> {
        let of_instance = || self.instances.get(instance)?.0[kind as usize].rest(now);
        self.endpoint[kind as usize].rest(now).map(Rest::Endpoint).or_else(|| of_instance().map(Rest::Instance))
    }

    fn failed_at(&mut self, instance: &Instance, kind: Kind, now: Instant) {
        self.instances.retain(|_, (_, at)| now.saturating_duration_since(*at) < MEMORY);
        let (circuits, at) = self.instances.entry(instance.clone()).or_insert_with(|| (<_>::default(), now));
        *at = now;
        circuits[kind as usize].failed(now);
        // The endpoint is not to blame for what one instance does again and again.
        let failed = &mut self.failed[kind as usize];
        if failed.len() < FAILURES as usize && failed.insert(instance.clone()) {
            self.endpoint[kind as usize].failed(now);
        }
    }
}

/// Failures in a row, and what follows from them.
#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    /// When the next probe may go, where it is open.
    open_until: Option<Instant>,
}

impl Circuit {
    fn rest(&self, now: Instant) -> Option<Duration> {
        self.open_until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    fn probed(&mut self, now: Instant) {
        self.open_until = self.open_until.map(|_| now + REST);
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.open_until = Some(now + REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Kill, Kind::Look, Kind::Read];

    fn instance(id: &str) -> Instance {
        Instance { vendor: VendorName("dcdb"), id: id.to_owned() }
    }

    /// Who may go where now.
    fn admitted(breaker: &Breaker, id: &str, now: Instant) -> [Option<Rest>; 3] {
        KINDS.map(|kind| breaker.rest(&instance(id), kind, now))
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
        assert_eq!(admitted(&breaker, "other", start), [Some(resting), None, None]);
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
        assert_eq!(admitted(&breaker, "broken", start), [Some(Rest::Instance(REST)), None, None]);
        assert_eq!((admitted(&breaker, "healthy", start), breaker.is_open(start)), ([None; 3], false));
        breaker.ended(&instance("healthy"), Kind::Kill, Ending::Well, start);
        assert!(breaker.rest(&instance("broken"), Kind::Kill, start).is_some());
        let later = start + REST;
        assert_eq!(breaker.admit(&instance("broken"), Kind::Kill, later), Ok(()));
        breaker.ended(&instance("broken"), Kind::Kill, Ending::Well, later);
        assert_eq!(admitted(&breaker, "broken", later), [None; 3]);
    }

    #[test]
    fn where_one_instance_after_another_fails_the_endpoint_does() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for id in 0..FAILURES {
            assert_eq!(admitted(&breaker, "healthy", start), [None; 3]);
            breaker.ended(&instance(&id.to_string()), Kind::Kill, Ending::Failed, start);
        }
        assert_eq!(admitted(&breaker, "healthy", start), [Some(Rest::Endpoint(REST)), None, None]);
    }

    #[test]
    fn reads_keep_no_kill_back_and_a_kill_that_goes_well_ends_it_for_all() {
        let (breaker, start, one) = (Breaker::default(), Instant::now(), instance("one"));
        for ending in [Ending::Failed, Ending::Unconnected] {
            for _ in 0..FAILURES {
                breaker.ended(&one, Kind::Read, ending, start);
            }
        }
        assert_eq!(admitted(&breaker, "one", start), [None, None, Some(Rest::Endpoint(REST))]);
        breaker.ended(&one, Kind::Look, Ending::Well, start);
        assert!(breaker.rest(&one, Kind::Read, start).is_some());
        breaker.ended(&one, Kind::Kill, Ending::Well, start);
        assert_eq!(admitted(&breaker, "one", start), [None; 3]);
    }
}

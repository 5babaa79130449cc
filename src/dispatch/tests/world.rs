//! A vendor account without a network: a window for the permits, and a plan for what becomes of each call.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use crate::{
    dispatch::{rate::window::Window, tests::*},
    domain::{Outcome, Session, Status, Upstream, VendorName},
};

/// When every world begins.
pub(super) const DAWN: OffsetDateTime = time::macros::datetime!(2026-01-02 12:00 UTC);

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The vendor answers, or refuses the call for an id that it does not take.
    Answered,
    Throttled(Option<Duration>),
    Denied,
    ServerError,
    Lost,
    NotConnected,
    TooLate,
    /// The token was not taken, and there is a new one.
    Renewed,
}

impl Fate {
    fn fault(self, order: &Order, bad: &BTreeSet<u8>) -> Option<FaultKind> {
        let has_bad = order.selector.ids().iter().any(|id| bad.contains(&id.0.parse().unwrap()));
        match self {
            Self::Answered => has_bad.then_some(FaultKind::Rejected),
            Self::Throttled(_) => Some(FaultKind::Throttled),
            Self::Denied => Some(FaultKind::Denied),
            Self::ServerError => Some(FaultKind::ServerError),
            Self::Lost => Some(FaultKind::Lost),
            Self::NotConnected => Some(FaultKind::NotConnected),
            Self::TooLate => Some(FaultKind::TooLate),
            Self::Renewed => Some(FaultKind::TokenExpired),
        }
    }
}

/// One call as the vendor account saw it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) order: Order,
    pub(super) at: Instant,
    pub(super) fault: Option<FaultKind>,
}

impl Call {
    /// Whether the vendor may have ended sessions.
    pub(super) fn may_have_acted(&self) -> bool {
        self.fault.is_none_or(|kind| kind.outcome() == Outcome::Unknown)
    }

    /// Whether it is the last that is heard of its kills.
    pub(super) fn is_final(&self) -> bool {
        self.fault.is_none_or(|kind| kind.replay() == Replay::Never)
    }

    /// What it says of a session. It depends on the call, so that no other call's answer looks the same.
    pub(super) fn outcome(&self, number: usize, id: &SessionId) -> Outcome {
        match self.fault {
            Some(kind) => kind.outcome(),
            None if (number + id.0.len() + usize::from(id.0.as_bytes()[0])).is_multiple_of(2) => Outcome::Killed,
            None => Outcome::NotFound,
        }
    }
}

/// Clones are the same account.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) limit: Limit,
    pub(super) latency: Duration,
    /// The way to the window and back.
    pub(super) round_trip: Duration,
    /// Ids that the vendor refuses, and every other id of their call with them.
    pub(super) bad: BTreeSet<u8>,
    /// For the first calls; all others are answered.
    pub(super) fates: Arc<Mutex<VecDeque<Fate>>>,
    pub(super) resting: Option<Rest>,
    pub(super) window: Arc<Mutex<Window>>,
    pub(super) calls: Arc<Mutex<Vec<Call>>>,
    /// How many permits each ask of the window got.
    pub(super) asked: Arc<Mutex<Vec<u32>>>,
    pub(super) started: Instant,
}

impl World {
    pub(super) fn new(requests_per_second: u32, fates: impl IntoIterator<Item = Fate>) -> Self {
        let limit = Limit {
            requests_per_second: requests_per_second.try_into().unwrap(),
            requests_per_minute: None,
            max_ids_per_call: 5,
            max_wait: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            reserved_percent: 20,
            max_waiting: 1000,
            look_max_age: Duration::from_secs(2),
            steps: 1,
            look: true,
        };
        Self {
            limit,
            latency: Duration::from_millis(50),
            round_trip: Duration::from_millis(1),
            bad: BTreeSet::new(),
            fates: Arc::new(Mutex::new(fates.into_iter().collect())),
            resting: None,
            window: Arc::default(),
            calls: Arc::default(),
            asked: Arc::default(),
            started: Instant::now(),
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// How many permits were taken.
    pub(super) fn permits(&self) -> u32 {
        self.asked.lock().unwrap().iter().sum()
    }

    /// How often the window was asked.
    pub(super) fn asks(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The ids of each call.
    pub(super) fn sent(&self) -> Vec<Vec<String>> {
        let ids = |call: &Call| call.order.selector.ids().iter().map(|id| id.0.clone()).collect();
        self.calls().iter().map(ids).collect()
    }
}

impl Calls for World {
    fn limit(&self) -> &Limit {
        &self.limit
    }

    fn now(&self) -> OffsetDateTime {
        DAWN + self.started.elapsed()
    }

    fn waits(&self, _: &Budget, _: bool) {}

    fn rest(&self, _: &Target) -> Option<Rest> {
        self.resting
    }

    async fn warm(&self, _: u32) {}

    async fn permit(&self, _: &Budget, class: Class, many: u32, patience: Duration) -> Result<Permit, Stop> {
        let (asked, all) = (Instant::now(), self.limit.requests_per_second.get());
        let now = i64::try_from((asked - self.started).as_micros()).unwrap();
        let ask = class.ask(all, self.limit.reserved_percent, many, patience);
        let slot = self.window.lock().unwrap().take(now, ask);
        self.asked.lock().unwrap().push(slot.taken);
        sleep(self.round_trip).await;
        Permit::given(slot, asked, all).map_err(|too_long| Stop::NoPermit(too_long.0))
    }

    async fn kill(&self, order: &Order, _: Class, permit: Permit, _: &Trace) -> Result<Report, Stop> {
        assert!(!permit.is_past());
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Answered);
        let fault = fate.fault(order, &self.bad);
        let call = Call { order: order.clone(), at: Instant::now(), fault };
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call.clone());
            calls.len() - 1
        };
        sleep(self.latency).await;
        let request_id = Some(number.to_string());
        if let Some(kind) = fault.filter(|kind| kind.replay() == Replay::Never) {
            let fault = Fault { request_id, ..Fault::new(kind, "kill") };
            return Ok(Report::failed(order, &fault).sent(order, self.now()));
        }
        if let Some(kind) = fault {
            let retry_after = if let Fate::Throttled(after) = fate { after } else { None };
            let fault = Fault { request_id, retry_after, ..Fault::new(kind, "kill") };
            return Err(if kind == FaultKind::TokenExpired { Stop::Renewed(fault) } else { Stop::Fault(fault) });
        }
        let ids = order.selector.ids();
        let sessions: Vec<_> = ids.iter().map(|id| Session::new(id, call.outcome(number, id))).collect();
        let status = if sessions.is_empty() { Status::Accepted } else { Status::of(&sessions) };
        let upstream = Upstream { request_id, ..Upstream::default() };
        Ok(Report { status, sessions, upstream, ..Report::nothing() }.sent(order, self.now()))
    }
}

/// An order for a place of that number.
pub(super) fn order(place: u8, selector: Selector) -> Order {
    let coordinates = [("instance_id", place.to_string())].into();
    let target = Target { alias: None, vendor: VendorName("dcdb"), account: "tencent".into(), coordinates };
    Order::new(target, selector)
}

pub(super) fn ids(ids: impl IntoIterator<Item = u8>) -> Selector {
    Selector::Ids(ids.into_iter().map(|id| SessionId(id.to_string())).collect())
}

//! Each vendor's rate limit, kept for the whole fleet: who may send, and when.
//!
//! A budget is what the vendor counts together: the calls under one set of credentials to one endpoint, and to one action
//! where it counts so. Accounts with the same credentials share it.
//!
//! A call takes a permit: a slot in time, given out in one place. With Postgres that place is a row, so any number
//! of gateways share one budget; with SQLite it is this process. The invariant: in no window of one second do
//! more calls of a budget reach the vendor than its limit.
//!
//! A vendor counts when calls arrive, and a call arrives later than its permit: the permit has to be heard of, a task and
//! a thread have to get a processor, the network takes its time. Of two calls whose permits are a span apart, the first
//! may be late while the second is not, so a span is a second and the most by which lateness can differ. [`SPAN`] has
//! 100 ms for that, of which the grain of a large budget takes 5.5. `LATEST` bounds by 50 ms what happens here, from the moment
//! the permit was given out to the moment the first byte leaves; later, the permit is given up and another one taken. The
//! rest is left to what comes after that and cannot be taken back: writing, and what the way to the vendor differs
//! from call to call. A longer span would use less of the limit, a stricter bound would give up permits on a busy
//! machine. A connection is made before the permit is taken; where that took longer the permit is given up, and the connection
//! serves the next one.
//!
//! The shared window lives by the database's clock, which may be stepped. Each gateway has one that cannot be: by it a
//! step is noticed and taken out of the shared window's time, and each keeps to the limit by itself too. What it was given
//! sooner than that allows it uses later, or not.

use std::{collections::HashMap, num::NonZeroU32, sync::Mutex, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    adaptive::Pace,
    asks::{Asks, Joined},
};
use crate::{
    audit::{Ask, Audit, AuditError, Heard, Rate, Slot},
    dispatch::rate::{budget::Budget, rows::Rows, window::Window},
    lock::lock,
    upstream::{Vendor, account::Account},
};

/// The time over which permits are counted: 90.9 % of a limit is used while somebody always waits.
pub const SPAN: Duration = Duration::from_millis(1100);
/// The same for what is counted by the minute.
pub const LONG_SPAN: Duration = Duration::from_millis(60_100);
/// The part of a limit that is taken at once: what the vendor takes in 20 ms.
const AT_ONCE: u32 = 50;
/// How long after it was to be a permit may be used.
const LATEST: Duration = Duration::from_millis(50);

/// What one vendor account may be asked, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Calls in any one second, of the whole fleet.
    pub requests_per_second: NonZeroU32,
    /// Calls in any one minute, of the whole fleet, where the vendor counts so.
    pub requests_per_minute: Option<NonZeroU32>,
    pub max_ids_per_call: usize,
    /// How many calls one after another those ids take.
    pub steps: u32,
    /// Longest wait for a permit.
    pub max_wait: Duration,
    /// Longest time for one call, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The part of the budget that only urgent kills may use, in per cent: 0 to 90.
    pub reserved_percent: u32,
    /// Most kills that may wait at once, for each target's account and action.
    pub max_waiting: usize,
    /// How old a look may be when a kill leaves that rests on it.
    pub look_max_age: Duration,
    /// Whether kills by ids are looked at first.
    pub look: bool,
}

/// What a permit is for. Urgent kills may use the whole budget; what others use, reads included, leaves a part of it
/// to them; and reads have a small share of that, which they leave alone while kills wait here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Urgent,
    Kill,
    Read,
}

impl Class {
    /// What is asked of the window of a budget of `all`.
    pub(crate) fn ask(self, all: u32, reserved_percent: u32, many: u32, patience: Duration) -> Ask {
        let class = match self {
            Self::Urgent => 0,
            Self::Kill => 1,
            Self::Read => 2,
        };
        let most = shares(all, reserved_percent, 5);
        Ask { class, most, many, patience: micros(patience), span: micros(SPAN), longer: None }
    }
}

/// What each class and those after it may have together of a budget, of which reads get a part: one of so many.
fn shares(all: u32, reserved_percent: u32, reads: u32) -> [u32; 3] {
    let not_urgent = all - all * reserved_percent.min(90) / 100;
    [all, not_urgent, all / reads].map(|permits| permits.max(1))
}

/// A permit that was taken, or several for one moment.
#[derive(Debug, Clone, Copy)]
pub struct Permit {
    /// How many calls may be made with it.
    pub calls: u32,
    /// When it is, as seen from here.
    pub at: Instant,
    /// When the call must have begun: it would not count where it stands if it began later.
    pub begin_by: Instant,
    /// How many permits of the budget were left within the span, and of how many.
    left: u32,
    all: u32,
}

impl Permit {
    /// What a window gave that was asked at `asked` and heard now.
    pub(crate) fn given(slot: Slot, asked: Instant, all: u32) -> Result<Self, TooLong> {
        let wait = Duration::from_micros(u64::try_from(slot.wait).unwrap_or(0));
        // Somewhere between the two the window looked at its clock.
        let (at, begin_by) = (Instant::now() + wait, asked + wait + LATEST);
        let permit = Self { calls: slot.taken, at, begin_by, left: slot.left, all };
        if slot.taken > 0 { Ok(permit) } else { Err(TooLong(wait)) }
    }

    /// A part of it, for so many calls.
    pub(crate) const fn part(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }

    /// Whether less than half of the budget was left.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.left < self.all / 2
    }

    /// Whether it is too late to use it.
    #[must_use]
    pub fn is_past(&self) -> bool {
        Instant::now() > self.begin_by
    }
}

/// No permit within the time that the call may wait; this long it would have been. Nothing is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong(pub Duration);

/// The permits of every vendor account.
#[derive(Debug)]
pub struct Limiter {
    limits: HashMap<(String, &'static str), Limit>,
    audit: Audit,
    /// Of this gateway alone: all there is for a record that cannot be shared, and beside it for one that can.
    windows: Mutex<HashMap<Budget, Window>>,
    /// What was heard of the shared window the last time, by budget.
    heard: Mutex<HashMap<Budget, Heard>>,
    asks: Asks,
    paces: Mutex<HashMap<Budget, Pace>>,
    /// How many accounts have kills that wait here for permits of a budget.
    waiting: Mutex<HashMap<Budget, watch::Sender<usize>>>,
    /// Until when the vendor has asked to be left alone.
    holds: Mutex<HashMap<Budget, Instant>>,
    pub(crate) rows: Rows,
    started: Instant,
}

impl Limiter {
    /// The permits for the given limits, by account and vendor.
    #[must_use]
    pub fn new(limits: HashMap<(String, &'static str), Limit>, audit: Audit) -> Self {
        Self {
            limits,
            audit,
            windows: Mutex::default(),
            heard: Mutex::default(),
            asks: Asks::default(),
            paces: Mutex::default(),
            waiting: Mutex::default(),
            holds: Mutex::default(),
            rows: Rows::default(),
            started: Instant::now(),
        }
    }

    /// The limit of a vendor account.
    #[must_use]
    pub fn limit(&self, account: &str, vendor: &dyn Vendor) -> Option<Limit> {
        self.limits.get(&(account.to_owned(), vendor.name().as_str())).copied()
    }

    /// The limits of all vendor accounts.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        self.limits.values().copied()
    }

    /// Takes the next permit of a budget that comes within `patience`, and up to `many` calls' worth of it where nobody
    /// has to wait for it. Whoever takes it waits until it is there.
    ///
    /// # Errors
    /// The shared window cannot be reached: then nobody may send.
    pub async fn take(
        &self,
        budget: &Budget,
        limit: &Limit,
        class: Class,
        many: u32,
        patience: Duration,
    ) -> Result<Result<Permit, TooLong>, AuditError> {
        let all = self.pace(budget, limit);
        // Calls that leave together arrive one after the other, and that must not use up what a span has for lateness.
        let most = (all / AT_ONCE).max(1);
        let many = many.clamp(1, most);
        // Half of what is counted by the minute is for reads: a kill that looks first needs as many of them as of its own.
        let longer = limit.requests_per_minute.map(|most| {
            let slowed = u64::from(most.get()) * u64::from(all) / u64::from(limit.requests_per_second.get());
            let most = shares(u32::try_from(slowed).unwrap_or(u32::MAX).max(1), limit.reserved_percent, 2);
            Rate { most, span: micros(LONG_SPAN) }
        });
        let ask = Ask { longer, ..class.ask(all, limit.reserved_percent, many, patience) };
        if !self.audit.is_shared() {
            let mut windows = lock(&self.windows);
            let now = Instant::now();
            let slot = windows.entry(budget.clone()).or_default().take(micros(now - self.started), ask);
            return Ok(Permit::given(slot, now, all));
        }
        let turn = match self.asks.join(budget, class, many).await? {
            Joined::Has(permit) => return Ok(Ok(permit)),
            Joined::Asks(turn) => turn,
        };
        let ask = Ask { many: turn.wanted(many).min(most), ..ask };
        let before = lock(&self.heard).get(budget).copied();
        let (heard, slot) = match self.audit.take_permits(&budget.to_string(), ask, before).await {
            Ok(taken) => taken,
            Err(error) => {
                turn.fail(&error);
                return Err(error);
            }
        };
        lock(&self.heard).insert(budget.clone(), heard);
        let slot = self.as_this_clock_allows(budget, limit, ask, heard.asked, slot);
        Ok(Permit::given(slot, heard.asked, all).map(|permit| turn.share(permit, many)))
    }

    /// What of a permit from the shared window may be used by this gateway's own clock, and when.
    fn as_this_clock_allows(&self, budget: &Budget, limit: &Limit, ask: Ask, asked: Instant, given: Slot) -> Slot {
        if given.taken == 0 {
            return given;
        }
        let all = |most: NonZeroU32, span| Rate { most: [most.get(); 3], span: micros(span) };
        let Rate { most, span } = all(limit.requests_per_second, SPAN);
        let longer = limit.requests_per_minute.map(|most| all(most, LONG_SPAN));
        let own = Ask { class: 0, most, span, longer, many: given.taken, patience: ask.patience };
        let now = micros(asked - self.started);
        let slot = lock(&self.windows).entry(budget.clone()).or_default().take_from(now, now + given.wait, own);
        Slot { left: slot.left.min(given.left), ..slot }
    }

    /// Nothing of a budget is to be sent before that moment.
    pub fn hold_until(&self, budget: &Budget, at: Instant) {
        let mut holds = lock(&self.holds);
        let hold = holds.entry(budget.clone()).or_insert(at);
        *hold = at.max(*hold);
    }

    /// For how long nothing of a budget is to be sent from now on; zero where anything may.
    #[must_use]
    pub fn held(&self, budget: &Budget) -> Duration {
        let hold = lock(&self.holds).get(budget).copied();
        hold.map_or(Duration::ZERO, |hold| hold.saturating_duration_since(Instant::now()))
    }

    /// Tells reads whether kills wait here for permits of a budget.
    pub fn waits(&self, budget: &Budget, any: bool) {
        let mut waiting = lock(&self.waiting);
        let accounts = waiting.entry(budget.clone()).or_default();
        accounts.send_modify(|accounts| *accounts = if any { *accounts + 1 } else { accounts.saturating_sub(1) });
    }

    /// Waits until no kill waits here for a permit of a budget; false where some do until then.
    pub async fn quiet(&self, budget: &Budget, until: Instant) -> bool {
        let mut waiting = {
            let mut all = lock(&self.waiting);
            all.entry(budget.clone()).or_default().subscribe()
        };
        // The sender lives as long as this.
        timeout_at(until, waiting.wait_for(|accounts| *accounts == 0)).await.is_ok()
    }

    /// Calls a second that this gateway asks for now: the limit, or less after the vendor has throttled.
    fn pace(&self, budget: &Budget, limit: &Limit) -> u32 {
        let new = || Pace::new(limit.requests_per_second.get());
        lock(&self.paces).entry(budget.clone()).or_insert_with(new).now(Instant::now())
    }

    /// The vendor has throttled below its limit: slow down, and recover slowly.
    pub fn throttled(&self, budget: &Budget, limit: &Limit) {
        let new = || Pace::new(limit.requests_per_second.get());
        lock(&self.paces).entry(budget.clone()).or_insert_with(new).throttled(Instant::now());
    }

    /// Calls a second that this gateway asks for now of the slowest of a vendor account's budgets.
    #[must_use]
    pub fn slowest(&self, account: &Account, vendor: &dyn Vendor, limit: &Limit) -> u32 {
        let paces = self.paces_of(account, vendor);
        paces.into_iter().map(|(_, pace)| pace).min().unwrap_or_else(|| limit.requests_per_second.get())
    }

    /// The paces of a vendor account's budgets, by the names under which they are shown.
    #[must_use]
    pub fn paces_of(&self, account: &Account, vendor: &dyn Vendor) -> Vec<(String, u32)> {
        let now = Instant::now();
        let paces = lock(&self.paces);
        let own = paces.iter().filter(|(budget, _)| budget.is_of(account, vendor.name()));
        own.map(|(budget, pace)| (budget.shown_of(account), pace.now(now))).collect()
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

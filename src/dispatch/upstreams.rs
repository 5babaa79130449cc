//! Every vendor account that calls can be made at.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use super::{
    Dispatcher,
    breaker::Breakers,
    rate::{
        budget::Budget,
        limiter::{Limit, Limiter},
    },
    runner::Runner,
};
use crate::{
    audit::Audit,
    clock::Clock,
    domain::{Problem, ProblemCode, Target},
    lock::lock,
    metrics::Metrics,
    upstream::{self, Vendor, account::Account},
};

/// By account and budget.
type Dispatchers = HashMap<(String, Budget), Arc<Dispatcher<Runner>>>;

/// The accounts, the limits of their vendors, and where kills wait for their turns there.
#[derive(Debug)]
pub struct Upstreams {
    accounts: BTreeMap<String, Arc<Account>>,
    limiter: Arc<Limiter>,
    breakers: Breakers,
    dispatchers: Mutex<Dispatchers>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Upstreams {
    /// The accounts by name, and the limits by account and vendor. `audit` is where gateways share their turns.
    #[must_use]
    pub fn new(
        accounts: BTreeMap<String, Arc<Account>>,
        limits: HashMap<(String, &'static str), Limit>,
        audit: Audit,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let limiter = Arc::new(Limiter::new(limits, audit));
        Self { accounts, limiter, breakers: Breakers::default(), dispatchers: Mutex::default(), clock, metrics }
    }

    /// What makes the calls of a vendor for a target.
    ///
    /// # Errors
    /// `unknown_target` where no account is configured for it.
    pub(crate) fn runner(&self, target: &Target) -> Result<Runner, Problem> {
        let unknown =
            || Problem::new(ProblemCode::UnknownTarget, "no account is configured for this target").at("target");
        let vendor = upstream::find(target.vendor.as_str()).ok_or_else(unknown)?;
        let account = Arc::clone(self.accounts.get(&target.account).ok_or_else(unknown)?);
        let limit = self.limiter.limit(account.name(), vendor).ok_or_else(unknown)?;
        let breaker = self.breakers.of(account.endpoint(vendor.name(), target.node()));
        let able = vendor.capabilities_at(account.site());
        let (limiter, clock, metrics) = (Arc::clone(&self.limiter), self.clock.clone(), Arc::clone(&self.metrics));
        Ok(Runner { vendor, able, account, limiter, limit, breaker, clock, metrics })
    }

    /// Where an account's kills of the same budget wait for their turn. Another account that shares the budget has a
    /// dispatcher of its own: its calls go to other places.
    pub(crate) fn dispatcher(&self, runner: &Runner, target: &Target) -> Arc<Dispatcher<Runner>> {
        let budget = Budget::of_kills(&runner.account, runner.vendor, target);
        let mut dispatchers = lock(&self.dispatchers);
        let of_account = (runner.account.name().to_owned(), budget);
        let new = |(_, budget): &(String, Budget)| Dispatcher::start(runner.clone(), budget.clone());
        Arc::clone(dispatchers.entry(of_account).or_insert_with_key(new))
    }

    /// The limits of all vendor accounts.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        self.limiter.limits()
    }

    /// The limit of a vendor account.
    #[must_use]
    pub fn limit(&self, account: &str, vendor: &dyn Vendor) -> Option<Limit> {
        self.limiter.limit(account, vendor)
    }

    /// Calls a second that this gateway asks for of a vendor account now: less than its limit after throttling.
    #[must_use]
    pub fn pace(&self, account: &str, vendor: &dyn Vendor, limit: &Limit) -> u32 {
        let all = limit.requests_per_second.get();
        self.accounts.get(account).map_or(all, |account| self.limiter.slowest(account, vendor, limit))
    }

    /// True while a vendor account's endpoint is failing and only probed.
    #[must_use]
    pub fn is_down(&self, account: &str, vendor: &dyn Vendor) -> bool {
        let account = self.accounts.get(account);
        account.is_some_and(|account| self.breakers.of(account.endpoint(vendor.name(), None)).is_open(Instant::now()))
    }

    /// Sets the metrics of how fast every budget is used.
    pub fn measure(&self) {
        for account in self.accounts.values() {
            for vendor in upstream::TABLE {
                for (budget, pace) in self.limiter.paces_of(account, *vendor) {
                    self.metrics.pace(&budget, pace);
                }
            }
        }
    }
}

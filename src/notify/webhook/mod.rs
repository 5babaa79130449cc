//! Telling others what became of kills: posts to configured addresses, signed as the Standard Webhooks specification has
//! it.
//!
//! Which kills are to be told is decided and recorded with their intent, see [`crate::audit::Delivery`]; so nothing is
//! forgotten when a gateway dies, and any other gateway tells it. One task for each webhook takes what is due and posts
//! it. Nobody waits for it: a receiver that hangs keeps neither kills nor other receivers.
//!
//! It refuses to follow redirects, to hold the record while it waits, and to show a secret. The invariant: what is told
//! of a kill, and its id, are the same at every try, whoever makes it.

mod chat;
mod courier;
mod message;
mod pause;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    audit::{Audit, Unwanted},
    clock::Clock,
    config::Webhook,
    domain::Target,
    metrics::Metrics,
    spans::Tracer,
    upstream::transport::Ways,
};

use courier::Courier;

/// How long deliveries under way may take once the gateway stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often is looked for what nobody will deliver.
const TIDY: Duration = Duration::from_mins(10);
/// How long a delivery may be due whose webhook is not configured here. While gateways are started anew with another
/// configuration, some of them know it and some do not.
const UNKNOWN_FOR: Duration = Duration::from_mins(10);
/// How long a delivery may be due that nobody takes, while gateways run: its receiver takes fewer than there are.
const OVERDUE: Duration = Duration::from_hours(24);
/// How long this gateway must have run to say so: before, nobody may have been there to take it.
const SETTLED_IN: Duration = Duration::from_hours(1);

/// The webhooks of a gateway.
#[derive(Debug, Clone, Default)]
pub struct Webhooks(Arc<[Webhook]>);

impl Webhooks {
    #[must_use]
    pub fn new(configured: &[Webhook]) -> Self {
        Self(configured.into())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they are called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|webhook| webhook.name.as_str())
    }

    /// Whether one is called so.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// The names of those that are to be told of that caller's kills there.
    #[must_use]
    pub fn concerned(&self, caller: &str, target: &Target) -> Vec<String> {
        let concerned =
            self.0.iter().filter(|webhook| webhook.concerns(caller, target.vendor.as_str(), &target.account));
        concerned.map(|webhook| webhook.name.clone()).collect()
    }
}

/// What each of the tasks needs.
#[derive(Debug, Clone)]
pub struct Dependencies {
    pub audit: Audit,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub tracer: Tracer,
    pub ways: Ways,
}

/// The tasks that deliver, under way.
#[derive(Debug)]
pub struct Couriers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Couriers {
    /// Starts delivering. Without webhooks it only drops what was meant for some.
    #[must_use]
    pub fn start(webhooks: &Webhooks, dependencies: &Dependencies) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for webhook in webhooks.0.iter() {
            tasks.spawn(Courier::new(webhook, dependencies.clone()).run(stopped.clone()));
        }
        let names = webhooks.0.iter().map(|webhook| webhook.name.clone()).collect();
        tasks.spawn(tidy(dependencies.clone(), names, stopped));
        Self { stop, tasks }
    }

    /// Takes nothing more, and gives what is under way a moment. What is not delivered by then is another gateway's.
    pub async fn stop(self) {
        let Self { stop, mut tasks } = self;
        stop.send_replace(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("stopping with deliveries to webhooks under way; they are made again");
        }
    }
}

/// Drops now and then what nobody will deliver, so that it does not pile up.
async fn tidy(dependencies: Dependencies, webhooks: Vec<String>, mut stop: watch::Receiver<bool>) {
    let started = dependencies.clock.now();
    let mut ticks = interval(TIDY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let now = dependencies.clock.now();
        let is_settled_in = now - started >= SETTLED_IN;
        let unwanted = Unwanted {
            webhooks: webhooks.clone(),
            unknown_since: now - UNKNOWN_FOR,
            overdue_since: is_settled_in.then(|| now - OVERDUE),
        };
        drop_deliveries(&dependencies, &unwanted).await;
    }
}

async fn drop_deliveries(dependencies: &Dependencies, unwanted: &Unwanted) {
    let dropped = match dependencies.audit.drop_deliveries(unwanted).await {
        Ok(dropped) => dropped,
        Err(error) => {
            tracing::warn!(%error, "deliveries that nobody makes any more could not be dropped yet");
            return;
        }
    };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (webhook, kill_id) in dropped {
        tracing::debug!(webhook, %kill_id, "a delivery was dropped");
        *counts.entry(webhook).or_default() += 1;
    }
    for (webhook, kills) in counts {
        let is_known = unwanted.webhooks.contains(&webhook);
        let why = if is_known { "its receiver takes fewer than there are" } else { "it is not configured any more" };
        // A name that is not configured any more is no label.
        dependencies.metrics.dropped(is_known.then_some(webhook.as_str()), kills);
        tracing::warn!(webhook, kills, why, "deliveries to a webhook were dropped");
    }
}

/// That long after a time.
fn after(at: OffsetDateTime, pause: Duration) -> OffsetDateTime {
    at.saturating_add(time::Duration::try_from(pause).unwrap_or(time::Duration::MAX))
}

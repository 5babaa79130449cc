//! How the record stands: what is open, what is owed, and how its connections are used.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Labels of kills that are open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgeLabels {
    age: &'static str,
}

/// Labels of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    webhook: String,
}

/// Labels of connections to the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    pool: &'static str,
    state: &'static str,
}

/// Labels of connections for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// How connections for one purpose are used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolUse {
    /// The purpose.
    pub pool: &'static str,
    pub in_use: u32,
    pub idle: u32,
    pub most: u32,
    /// How often work waited for one, and for how many seconds, since the start.
    pub waits: u64,
    pub waited: f64,
}

/// What of the record is open and owed, at all gateways together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Owed {
    /// How many kills are open that are so old: a word of the label `age`, and how many.
    pub open: Vec<(&'static str, u64)>,
    /// The age of the oldest of them, in seconds; 0 where none is open.
    pub oldest: f64,
    /// How many kills each webhook is still to be told of.
    pub backlog: Vec<(String, u64)>,
}

#[derive(Debug)]
pub(super) struct Standing {
    open: Family<AgeLabels, Gauge>,
    oldest: Seconds,
    backlog: Family<WebhookLabels, Gauge>,
    connections: Family<ConnectionLabels, Gauge>,
    most: Family<PoolLabels, Gauge>,
    waits: Family<PoolLabels, Counter>,
    waited: Family<PoolLabels, Counter<f64, AtomicU64>>,
}

impl Standing {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (open, oldest, backlog) = (Family::default(), Seconds::default(), Family::default());
        registry.register("open_kills", "Kills of the record that are not over, by how old they are", open.clone());
        let help = "Age of the oldest kill of the record that is not over; 0 if all are, NaN if nobody can tell";
        registry.register("oldest_open_kill_seconds", help, oldest.clone());
        let help = "Kills of the record that a webhook is still to be told of";
        registry.register("webhook_backlog", help, backlog.clone());
        let (connections, most) = (Family::default(), Family::default());
        registry.register("db_connections", "Connections to the database by purpose and state", connections.clone());
        registry.register("db_connections_limit", "Most connections to the database by purpose", most.clone());
        let (waits, waited) = (Family::default(), Family::default());
        registry.register("db_waits", "Work that had to wait for a connection, by purpose", waits.clone());
        let help = "Time that work has waited for a connection, by purpose, in seconds";
        registry.register("db_wait_seconds", help, waited.clone());
        Self { open, oldest, backlog, connections, most, waits, waited }
    }

    /// What is open and owed now; `None` where nobody can tell.
    pub(super) fn owed(&self, owed: Option<&Owed>) {
        self.open.clear();
        self.backlog.clear();
        self.oldest.set(f64::NAN);
        let Some(Owed { open, oldest, backlog }) = owed else { return };
        for (age, kills) in open {
            self.open.get_or_create(&AgeLabels { age }).set(i64::try_from(*kills).unwrap_or(i64::MAX));
        }
        self.oldest.set(*oldest);
        for (webhook, kills) in backlog {
            let labels = WebhookLabels { webhook: webhook.clone() };
            self.backlog.get_or_create(&labels).set(i64::try_from(*kills).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn pools(&self, pools: &[PoolUse]) {
        for PoolUse { pool, in_use, idle, most, waits, waited } in pools {
            for (state, many) in [("in_use", in_use), ("idle", idle)] {
                self.connections.get_or_create(&ConnectionLabels { pool, state }).set((*many).into());
            }
            let labels = PoolLabels { pool };
            self.most.get_or_create(&labels).set((*most).into());
            let counted = self.waits.get_or_create(&labels);
            counted.inc_by(waits.saturating_sub(counted.get()));
            let counted = self.waited.get_or_create(&labels);
            counted.inc_by((waited - counted.get()).max(0.0));
        }
    }
}

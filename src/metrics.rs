//! What `GET /metrics` tells: counts and times, never names of people, sessions or secrets.

mod exposition;
mod key_sets;
mod process;
mod requests;
mod standing;

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::version;
pub use exposition::Exposition;
use key_sets::KeySets;
use requests::Requests;
use standing::Standing;
pub use standing::{Owed, PoolUse};

/// Labels of a kill.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KillLabels {
    vendor: &'static str,
    status: &'static str,
}

/// Labels of a call to a vendor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    account: String,
    vendor: &'static str,
    action: &'static str,
    result: &'static str,
}

/// Labels of what a vendor counts together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: String,
}

/// Labels of a delivery to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    webhook: String,
    result: &'static str,
}

/// Labels of a token that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

/// Labels of a read of the record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadLabels {
    route: &'static str,
}

/// Labels of spans that have ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    result: &'static str,
}

/// Labels of kills at one vendor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VendorLabels {
    vendor: &'static str,
}

/// Labels of the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    commit: &'static str,
}

/// Every metric of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    standing: Standing,
    kills: Family<KillLabels, Counter>,
    kill_seconds: Family<VendorLabels, Histogram, fn() -> Histogram>,
    spans: Family<SpanLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Histogram,
    pace: Family<BudgetLabels, Gauge>,
    audit_failures: Counter,
    outcomes_lost: Counter,
    sealed: Counter,
    seal_failures: Counter,
    seal_held_off: Counter,
    unsealed_seconds: Gauge,
    index_lag_seconds: Gauge<f64, AtomicU64>,
    checkpoint_failures: Counter,
    deliveries: Family<DeliveryLabels, Counter>,
    streams: Gauge,
    refused_tokens: Family<RefusalLabels, Counter>,
    key_sets: KeySets,
    reads: Family<ReadLabels, Counter>,
    unknown_paths: Counter,
    certificate_not_after_seconds: Gauge,
    bodies: Gauge,
    in_flight: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("killgate");
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: version::NUMBER, commit: version::COMMIT }).set(1);
        registry.register("build_info", "Which killgate this is, always 1", build);
        let (requests, standing) = (Requests::new(&mut registry), Standing::new(&mut registry));
        // From 20 ms to 22 min: longer than any kill is looked after.
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.02, 2.0, 17));
        let kill_seconds = Family::new_with_constructor(buckets);
        let help = "Time from a kill's request until it was over, by vendor";
        registry.register("kill_seconds", help, kill_seconds.clone());
        let spans = Family::default();
        registry.register("spans", "Spans that have ended, by whether the collector has them", spans.clone());
        let (kills, calls) = (Family::default(), Family::default());
        let call_seconds = Histogram::new(exponential_buckets(0.005, 2.0, 12));
        let pace = Family::default();
        let (audit_failures, in_flight) = (Counter::default(), Gauge::default());
        registry.register("kills", "Kills by vendor and the status they were answered with", kills.clone());
        registry.register("calls", "Calls to vendors by account, action and result", calls.clone());
        registry.register("call_seconds", "Time of one call to a vendor", call_seconds.clone());
        registry.register("pace", "Calls a second asked for: the limit, or less after throttling", pace.clone());
        registry.register("audit_failures", "Records that could not be written in time", audit_failures.clone());
        let outcomes_lost = Counter::default();
        registry.register(
            "outcomes_lost",
            "Outcomes of kills that will never be on record; the log has them",
            outcomes_lost.clone(),
        );
        let (sealed, seal_failures, checkpoint_failures) = (Counter::default(), Counter::default(), Counter::default());
        registry.register("sealed", "Entries of the record that this gateway sealed", sealed.clone());
        registry.register("seal_failures", "Blocks that could not be sealed yet", seal_failures.clone());
        let seal_held_off = Counter::default();
        registry.register(
            "seal_held_off",
            "Rounds in which somebody kept this gateway from sealing, 5 s or longer, while no block came",
            seal_held_off.clone(),
        );
        let unsealed_seconds = Gauge::default();
        registry.register(
            "unsealed_seconds",
            "For how long the oldest entry that is to be sealed next has waited; 0 if none waits",
            unsealed_seconds.clone(),
        );
        let index_lag_seconds = Gauge::<f64, AtomicU64>::default();
        registry.register(
            "index_lag_seconds",
            "For how long the oldest kill that has ended and is not indexed has waited for that; 0 if all are indexed",
            index_lag_seconds.clone(),
        );
        registry.register(
            "checkpoint_failures",
            "Checkpoints that could not be delivered yet, or contradict the record",
            checkpoint_failures.clone(),
        );
        let (deliveries, streams) = (Family::default(), Gauge::default());
        registry.register("webhook_deliveries", "Deliveries to webhooks by what came of each try", deliveries.clone());
        registry.register("streams", "Callers that follow a kill", streams.clone());
        registry.register("kills_in_flight", "Kills being worked on", in_flight.clone());
        let (refused_tokens, bodies) = (Family::default(), Gauge::default());
        registry.register("refused_tokens", "Tokens that were refused, by reason", refused_tokens.clone());
        let key_sets = KeySets::new(&mut registry);
        let (reads, unknown_paths) = (Family::default(), Counter::default());
        registry.register("reads", "Answers to callers that read the record, by route", reads.clone());
        registry.register("unknown_paths", "Requests for paths that there are not", unknown_paths.clone());
        let certificate_not_after_seconds = Gauge::default();
        registry.register(
            "certificate_not_after_seconds",
            "When the gateway's own certificate ends, in seconds since 1970; 0 where it has none",
            certificate_not_after_seconds.clone(),
        );
        registry.register("bodies", "Bodies of requests that are being received", bodies.clone());
        Self {
            registry,
            requests,
            standing,
            kills,
            kill_seconds,
            spans,
            calls,
            call_seconds,
            pace,
            audit_failures,
            outcomes_lost,
            sealed,
            seal_failures,
            seal_held_off,
            unsealed_seconds,
            index_lag_seconds,
            checkpoint_failures,
            deliveries,
            streams,
            refused_tokens,
            key_sets,
            reads,
            unknown_paths,
            certificate_not_after_seconds,
            bodies,
            in_flight,
        }
    }
}

impl Metrics {
    /// A kill was answered; `vendor` is one of the vendor table, if any.
    pub fn kill(&self, vendor: Option<&'static str>, status: &'static str, attempts: u32) {
        let vendor = vendor.unwrap_or("none");
        self.kills.get_or_create(&KillLabels { vendor, status }).inc_by(attempts.into());
    }

    /// A kill is over that was asked for so long ago.
    pub fn kill_over(&self, vendor: &'static str, took: Duration) {
        self.kill_seconds.get_or_create(&VendorLabels { vendor }).observe(took.as_secs_f64());
    }

    /// A request was answered; `route` is a template, or `none` where there is no such path.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.requests.answered(method, route, status, took);
    }

    /// So many spans were `delivered`, `failed` to be, or were `dropped` since too many waited.
    pub fn spans(&self, result: &'static str, spans: usize) {
        self.spans.get_or_create(&SpanLabels { result }).inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
    }

    /// How the connections to the database are used at the moment of a scrape.
    pub fn pools(&self, pools: &[PoolUse]) {
        self.standing.pools(pools);
    }

    /// What of the record is open and owed; `None` where nobody can tell.
    pub fn owed(&self, owed: Option<&Owed>) {
        self.standing.owed(owed);
    }

    /// A call to a vendor ended; `result` is `ok` or the kind of fault.
    pub fn call(
        &self,
        account: &str,
        vendor: &'static str,
        action: &'static str,
        result: &'static str,
        took: Duration,
    ) {
        self.calls.get_or_create(&CallLabels { account: account.to_owned(), vendor, action, result }).inc();
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// Calls a second that are asked for of a budget at the moment of a scrape.
    pub fn pace(&self, budget: &str, calls: u32) {
        self.pace.get_or_create(&BudgetLabels { budget: budget.to_owned() }).set(calls.into());
    }

    /// A record could not be written in time.
    pub fn audit_failure(&self) {
        self.audit_failures.inc();
    }

    /// What became of a kill will never be on record.
    pub fn outcome_lost(&self) {
        self.outcomes_lost.inc();
    }

    /// A block was sealed with so many entries.
    pub fn sealed(&self, entries: i64) {
        self.sealed.inc_by(u64::try_from(entries).unwrap_or(0));
    }

    /// A block could not be sealed yet.
    pub fn seal_failure(&self) {
        self.seal_failures.inc();
    }

    /// Somebody keeps this gateway from sealing, and nobody seals.
    pub fn held_off(&self) {
        self.seal_held_off.inc();
    }

    /// Sets for how long the oldest ended kill has waited to be indexed.
    pub fn index_lag(&self, seconds: f64) {
        self.index_lag_seconds.set(seconds);
    }

    /// For how many seconds the oldest entry that is to be sealed next has waited.
    pub fn unsealed(&self, seconds: i64) {
        self.unsealed_seconds.set(seconds);
    }

    /// A checkpoint could not be delivered yet, or contradicts the record.
    pub fn checkpoint_failure(&self) {
        self.checkpoint_failures.inc();
    }

    /// A delivery to a webhook was tried, or is not tried any more.
    pub fn delivery(&self, webhook: &str, result: &'static str) {
        self.deliveries.get_or_create(&DeliveryLabels { webhook: webhook.to_owned(), result }).inc();
    }

    /// So many deliveries to a webhook were dropped; `None` for one that is not configured.
    pub fn dropped(&self, webhook: Option<&str>, deliveries: u64) {
        let labels = DeliveryLabels { webhook: webhook.unwrap_or("none").to_owned(), result: "dropped" };
        self.deliveries.get_or_create(&labels).inc_by(deliveries);
    }

    /// Callers that follow a kill.
    #[must_use]
    pub const fn streams(&self) -> &Gauge {
        &self.streams
    }

    /// A token was refused; `reason` is one of the words of [`crate::auth::AuthError`].
    pub fn refused_token(&self, reason: &'static str) {
        self.refused_tokens.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// How the keys of an issuer are: whether there are none, else how old they are, and how often they were fetched in vain.
    pub fn key_set(&self, issuer: &str, is_missing: bool, age: Option<Duration>, failures: u64) {
        self.key_sets.are(issuer, is_missing, age, failures);
    }

    /// Nothing is known of any issuer's keys, until it is told anew.
    pub fn forget_key_sets(&self) {
        self.key_sets.forget();
    }

    /// When the gateway's own certificate ends.
    pub fn certificate(&self, not_after: time::OffsetDateTime) {
        self.certificate_not_after_seconds.set(not_after.unix_timestamp());
    }

    /// A caller that reads the record was answered; `route` is one of those that there are.
    pub fn read(&self, route: &'static str) {
        self.reads.get_or_create(&ReadLabels { route }).inc();
    }

    /// Somebody asked for a path that there is not.
    pub fn unknown_path(&self) {
        self.unknown_paths.inc();
    }

    /// Bodies of requests that are being received.
    #[must_use]
    pub const fn bodies(&self) -> &Gauge {
        &self.bodies
    }

    /// Kills being worked on.
    #[must_use]
    pub const fn in_flight(&self) -> &Gauge {
        &self.in_flight
    }

    /// The text that a scraper reads.
    #[must_use]
    pub fn text(&self, format: Exposition) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode_registry(&mut text, &process::registry())
            .and_then(|()| encode_registry(&mut text, &self.registry))
            .and_then(|()| encode_eof(&mut text));
        format.write(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_what_was_counted() {
        let metrics = Metrics::default();
        metrics.kill(Some("dcdb"), "accepted", 1);
        metrics.call("tencent-prod", "dcdb", "KillSession", "ok", Duration::from_millis(7));
        let text = metrics.text(Exposition::OpenMetrics);
        assert!(text.contains(r#"killgate_kills_total{vendor="dcdb",status="accepted"} 1"#), "{text}");
        assert!(text.contains(r#"action="KillSession",result="ok"} 1"#), "{text}");
    }
}

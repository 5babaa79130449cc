//! How the keys of each issuer are.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Labels of an issuer that publishes its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    issuer: String,
}

#[derive(Debug)]
pub(super) struct KeySets {
    missing: Family<IssuerLabels, Gauge>,
    age_seconds: Family<IssuerLabels, Gauge<f64, AtomicU64>>,
    failures: Family<IssuerLabels, Counter>,
}

impl KeySets {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (missing, age_seconds, failures) = (Family::default(), Family::default(), Family::default());
        let help = "Whether there are no keys to check an issuer's tokens with, 1 or 0";
        registry.register("key_sets_missing", help, missing.clone());
        let help = "For how long the keys of an issuer are held, as long as they are good";
        registry.register("key_set_age_seconds", help, age_seconds.clone());
        registry.register("key_set_failures", "Fetches of an issuer's keys in vain", failures.clone());
        Self { missing, age_seconds, failures }
    }

    pub(super) fn are(&self, issuer: &str, is_missing: bool, age: Option<Duration>, failures: u64) {
        let labels = IssuerLabels { issuer: issuer.to_owned() };
        self.missing.get_or_create(&labels).set(is_missing.into());
        match age {
            Some(age) => drop(self.age_seconds.get_or_create(&labels).set(age.as_secs_f64())),
            None => drop(self.age_seconds.remove(&labels)),
        }
        let counted = self.failures.get_or_create(&labels);
        counted.inc_by(failures.saturating_sub(counted.get()));
    }

    pub(super) fn forget(&self) {
        self.missing.clear();
        self.age_seconds.clear();
        self.failures.clear();
    }
}

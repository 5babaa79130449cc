//! Requests by route, and how long they took.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Labels of an answer. None of them is what a caller wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    method: &'static str,
    route: String,
    status: u16,
}

/// Labels of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

/// What was asked for and answered.
#[derive(Debug)]
pub(super) struct Requests {
    answers: Family<AnswerLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answers = Family::default();
        // From 2 ms to 65 s.
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.002, 2.0, 16));
        let seconds = Family::new_with_constructor(buckets);
        registry.register("http_requests", "Requests by method, route and status of the answer", answers.clone());
        let help = "Time from a request's head to its answer's";
        registry.register("http_request_seconds", help, seconds.clone());
        Self { answers, seconds }
    }

    /// A request was answered; `route` is a template, or `none` where there is no such path.
    pub(super) fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.answers.get_or_create(&AnswerLabels { method, route: route.clone(), status }).inc();
        self.seconds.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
    }
}

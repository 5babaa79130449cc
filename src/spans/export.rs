//! Bringing spans to a collector: OTLP over HTTP, protobuf, over the transport that everything else takes.
//!
//! OpenTelemetry's own exporter is not used: it reads the environment by itself, past what the configuration says, and wants
//! a client of another kind.
//!
//! The invariant: so many spans wait at most, and what is beyond that is dropped and counted. A batch that could not be
//! delivered is not tried again.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::http::Method;
use opentelemetry::Context;
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use prost::Message as _;
use url::Url;

use crate::{
    config::{self, Secret},
    lock::lock,
    metrics::Metrics,
    upstream::transport::{Request, Transport, Ways},
};

/// How many spans wait to be delivered, those that are being delivered included.
const MOST: usize = 4096;
/// How many go at once.
const BATCH: usize = 512;
/// How long a span waits for others to go with.
const GATHERING: Duration = Duration::from_secs(1);
/// Longest time for the collector's answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// A collector that fails is told of no more often than this.
const TOLD: Duration = Duration::from_mins(1);

/// What takes spans that have ended, and has a thread of its own deliver them.
pub(super) fn processor(
    endpoint: &Url,
    traces: &config::Traces,
    ways: &Ways,
    metrics: Arc<Metrics>,
) -> impl SpanProcessor + 'static {
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter = Exporter {
        url: endpoint.clone(),
        headers: traces.headers.clone(),
        transport: ways.of(traces.authorities.as_deref()).clone(),
        resource: ResourceAttributesWithSchema::default(),
        waiting: Arc::clone(&waiting),
        metrics: Arc::clone(&metrics),
        failing: Mutex::default(),
    };
    // Said here, so that no variable of the environment says otherwise.
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(MOST)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(GATHERING)
        .build();
    let inner = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Bounded { inner, waiting, metrics }
}

/// Takes spans as long as there is room. The library's own bound tells nobody what it drops.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= MOST {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.metrics.spans("dropped", 1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Delivers batches.
struct Exporter {
    url: Url,
    headers: Vec<(String, Secret)>,
    transport: Transport,
    resource: ResourceAttributesWithSchema,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    failing: Mutex<Failing>,
}

/// Whether the collector takes nothing, as far as the log tells.
#[derive(Debug, Default)]
struct Failing {
    /// When it was last said that it does not.
    said: Option<Instant>,
    is_told: bool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let many = batch.len();
        let request =
            ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(batch, &self.resource) };
        let delivered = self.deliver(request.encode_to_vec()).await;
        self.waiting.fetch_sub(many, Ordering::AcqRel);
        let refused = match &delivered {
            Ok(refused) => many.min(*refused),
            Err(_) => many,
        };
        self.metrics.spans("delivered", many - refused);
        self.metrics.spans("failed", refused);
        self.tell(delivered.err());
        // It has been told.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl Exporter {
    /// Delivers a batch; how many of its spans the collector refused.
    async fn deliver(&self, body: Vec<u8>) -> Result<usize, String> {
        let said = self.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let headers = std::iter::once(("Content-Type".to_owned(), "application/x-protobuf".to_owned())).chain(said);
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            headers: headers.collect(),
            body,
            timeout: TIMEOUT,
            longest: LONGEST,
        };
        let answer = self.transport.send(request).await.map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("HTTP {}", answer.status.as_u16()));
        }
        // Some collectors answer with a text, which refuses nothing.
        let answer = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(refused).unwrap_or(0))
    }

    fn tell(&self, why: Option<String>) {
        let mut failing = lock(&self.failing);
        match why {
            Some(why) if failing.said.is_none_or(|said| said.elapsed() >= TOLD) && !failing.is_told => {
                *failing = Failing { said: Some(Instant::now()), is_told: true };
                tracing::warn!(why, "spans could not be delivered; killgate_spans_total counts what is lost");
            }
            None if failing.is_told => {
                failing.is_told = false;
                tracing::info!("spans are delivered again");
            }
            _ => {}
        }
    }
}

/// Where, and none of the headers.
impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::parse, metrics::Exposition, spans::Tracer};

    #[test]
    fn what_is_beyond_those_that_may_wait_is_dropped_and_counted() {
        // Whoever connects is never answered.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!("[traces]\nendpoint = 'http://{}'", nobody.local_addr().unwrap());
        let configured = parse(&text, [].into()).unwrap().traces;
        let (ways, metrics) = (Ways::new(Transport::start(TIMEOUT).unwrap()), Arc::new(Metrics::default()));
        let tracer = Tracer::start(&configured, &ways, Arc::clone(&metrics));
        let trace = tracer.incoming(None);
        let dropped = || {
            let text = metrics.text(Exposition::Prometheus);
            text.lines().find_map(|line| line.strip_prefix("killgate_spans_total{result=\"dropped\"} ")?.parse().ok())
        };
        // A batch that failed meanwhile makes room for as many.
        while dropped().is_none_or(|dropped: u64| dropped < 100) {
            (0..=MOST).for_each(|_| drop(trace.step("a step")));
        }
    }
}

//! Spans: what OpenTelemetry tells of a request, of each step of its kill and of the work that comes later.
//!
//! Who works is handed a [`Trace`], where the work stands, and begins a [`Span`] for what takes time; it ends when it is
//! dropped. Where nobody collects spans a trace is nothing, or the `traceparent` that a caller sent, and nothing is allocated,
//! noted or sent.
//!
//! The invariants: a span names routes, accounts, vendors, actions, statuses, callers and kills, and never a statement, a user
//! of a database, a token or anything of one; and whatever becomes of the collector, no kill waits for it.

mod export;
mod kept;
mod traceparent;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    trace::{Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanLimits},
};
use uuid::Uuid;

use crate::{
    config::{self, Sampling},
    domain::KillId,
    metrics::Metrics,
    upstream::transport::Ways,
    version,
};

use kept::Kept;
pub(crate) use traceparent::TRACEPARENT;

/// How long the last spans may take to be delivered once the gateway stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// Begins traces, and knows those of kills. Clones are the same; by default nobody collects spans.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    collecting: Option<(SdkTracer, SdkTracerProvider)>,
    kept: Kept,
}

impl Tracer {
    /// One whose spans go where the configuration says, if it says so.
    #[must_use]
    pub fn start(traces: &config::Traces, ways: &Ways, metrics: Arc<Metrics>) -> Self {
        let collecting = traces.endpoint.as_ref().map(|endpoint| {
            let provider = SdkTracerProvider::builder()
                .with_sampler(sampler(traces.sampling))
                // Else variables of the environment count.
                .with_span_limits(SpanLimits::default())
                .with_resource(resource(traces))
                .with_span_processor(export::processor(endpoint, traces, ways, metrics))
                .build();
            let scope = InstrumentationScope::builder("killgate").with_version(version::NUMBER).build();
            (provider.tracer_with_scope(scope), provider)
        });
        Self(Arc::new(Inner { collecting, kept: Kept::default() }))
    }

    /// Where a request stands that came with that `traceparent`, which counts where it is well formed.
    #[must_use]
    pub fn incoming(&self, traceparent: Option<&str>) -> Trace {
        let context = traceparent.and_then(traceparent::parse);
        let tracer = self.0.collecting.as_ref().map(|(tracer, _)| tracer.clone());
        if context.is_none() && tracer.is_none() {
            return Trace::NONE;
        }
        Trace(Some(Arc::new(Place { tracer, context: context.unwrap_or(SpanContext::NONE) })))
    }

    /// Remembers where a kill stands, for what comes later. That is in this process alone, and of the last kills alone.
    pub fn keep(&self, kill: KillId, trace: &Trace) {
        if trace.ids().is_some() {
            self.0.kept.keep(kill, trace.clone());
        }
    }

    /// Where that kill stands, as far as that is known here; else at the beginning of a trace.
    #[must_use]
    pub fn of_kill(&self, kill: KillId) -> Trace {
        self.0.kept.of(kill).unwrap_or_else(|| self.incoming(None))
    }

    /// Delivers the spans that have ended, as far as that can be done in a moment. What ends later is not delivered.
    pub async fn stop(&self) {
        let Some((_, provider)) = self.0.collecting.clone() else { return };
        // It waits for the thread that delivers.
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FAREWELL)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::warn!("stopping with spans that were not delivered");
        }
    }
}

fn sampler(sampling: Sampling) -> Sampler {
    let own = Sampler::TraceIdRatioBased(sampling.ratio);
    if sampling.by_parent { Sampler::ParentBased(Box::new(own)) } else { own }
}

/// What is told of the gateway itself.
fn resource(traces: &config::Traces) -> Resource {
    let own = [
        ("service.version", version::NUMBER.to_owned()),
        ("service.instance.id", Uuid::now_v7().to_string()),
        ("telemetry.sdk.language", "rust".to_owned()),
        ("telemetry.sdk.name", "opentelemetry".to_owned()),
    ];
    let said = traces.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(own.map(|(name, value)| KeyValue::new(name, value)))
        .with_attributes(said)
        .with_service_name(traces.service_name.clone())
        .build()
}

/// Where work stands in a trace; nothing where nobody wants to know. Clones are the same place.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Place>>);

struct Place {
    /// What begins spans; `None` where nobody collects them, and somebody said where he stands.
    tracer: Option<SdkTracer>,
    /// Not valid at the beginning of a trace.
    context: SpanContext,
}

impl Trace {
    pub const NONE: Self = Self(None);

    /// Begins a step of the work.
    #[must_use]
    pub fn step(&self, name: &'static str) -> Span {
        self.begin(SpanKind::Internal, || name.into(), &[])
    }

    /// Begins what somebody asked this gateway for.
    #[must_use]
    pub fn serve(&self, name: impl FnOnce() -> String) -> Span {
        self.begin(SpanKind::Server, || name().into(), &[])
    }

    /// Begins what this gateway asks somebody for.
    #[must_use]
    pub fn ask(&self, name: impl FnOnce() -> Cow<'static, str>) -> Span {
        self.begin(SpanKind::Client, name, &[])
    }

    /// Begins what is done for several at once: a step of the first of them whose trace is collected, with a link to each.
    #[must_use]
    pub fn of_several<'t>(name: &'static str, all: &(impl Iterator<Item = &'t Self> + Clone)) -> Span {
        let contexts: Vec<_> = all.clone().filter_map(|trace| trace.known().cloned()).collect();
        let parent = all.clone().find(|trace| trace.known().is_some_and(SpanContext::is_sampled));
        let parent = parent.or_else(|| all.clone().next()).cloned().unwrap_or_default();
        parent.begin(SpanKind::Internal, || name.into(), &contexts)
    }

    fn begin(&self, kind: SpanKind, name: impl FnOnce() -> Cow<'static, str>, linked: &[SpanContext]) -> Span {
        let Some(tracer) = self.0.as_ref().and_then(|place| place.tracer.as_ref()) else {
            return Span { begun: None, trace: self.clone() };
        };
        let parent = match self.known() {
            Some(context) => Context::new().with_remote_span_context(context.clone()),
            None => Context::new(),
        };
        let links = linked.iter().map(|context| Link::with_context(context.clone())).collect();
        let builder = tracer.span_builder(name()).with_kind(kind).with_links(links);
        let span = tracer.build_with_context(builder, &parent);
        let place = Place { tracer: Some(tracer.clone()), context: span.span_context().clone() };
        Span { begun: span.is_recording().then(|| Box::new(span)), trace: Self(Some(Arc::new(place))) }
    }

    fn known(&self) -> Option<&SpanContext> {
        self.0.as_ref().map(|place| &place.context).filter(|context| context.is_valid())
    }

    /// The ids of the trace and of the span in it, where there are any, as they are told in log lines.
    #[must_use]
    pub fn ids(&self) -> Option<(impl fmt::Display, impl fmt::Display)> {
        self.known().map(|context| (context.trace_id(), context.span_id()))
    }

    /// What others are told of where the work stands that they are asked for.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.known().map(traceparent::written)
    }

    /// What puts the ids into log lines of work that has no request's lines around it.
    #[must_use]
    pub fn lines(&self) -> tracing::Span {
        match self.ids() {
            Some((trace_id, span_id)) => tracing::info_span!("trace", %trace_id, %span_id),
            None => tracing::Span::none(),
        }
    }
}

/// Says where, in words for logs.
impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.traceparent()).finish()
    }
}

/// What takes time, from its making until it is dropped.
pub struct Span {
    /// `None` where nobody will be told of it.
    begun: Option<Box<opentelemetry_sdk::trace::Span>>,
    trace: Trace,
}

impl Span {
    /// Where its own steps stand; also after it has ended.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Notes a text, which is made only where somebody will be told.
    pub fn text(&mut self, name: &'static str, value: impl fmt::Display) {
        if let Some(span) = &mut self.begun {
            span.set_attribute(KeyValue::new(name, value.to_string()));
        }
    }

    /// The same, of one that is being made.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.text(name, value);
        self
    }

    /// Notes a number.
    pub fn number(&mut self, name: &'static str, value: impl TryInto<i64>) {
        if let (Some(span), Ok(value)) = (&mut self.begun, value.try_into()) {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Notes that it did not go well, and how: by one of a small set of words.
    pub fn failed(&mut self, kind: impl fmt::Display) {
        self.text("error.type", kind);
        if let Some(span) = &mut self.begun {
            span.set_status(Status::error(""));
        }
    }

    /// The work that it is about, as a part of it.
    pub async fn around<T>(self, work: impl Future<Output = T>) -> T {
        let done = work.await;
        drop(self);
        done
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn where_nobody_collects_spans_a_trace_is_what_a_caller_said_and_nothing_else() {
        let tracer = Tracer::default();
        let nowhere = tracer.incoming(None);
        assert!(nowhere.0.is_none() && tracer.incoming(Some("00-canary")).0.is_none());
        let mut span = nowhere.step("look");
        span.text("killgate.account", format_args!("{}", panics()));
        assert!(span.begun.is_none() && span.trace().0.is_none());
        let told = tracer.incoming(Some(PARENT));
        let step = told.ask(|| panic!("a name that nobody is told"));
        assert_eq!(step.trace().traceparent().as_deref(), Some(PARENT));
    }

    /// What would be noted of a span that nobody is told of.
    fn panics() -> impl fmt::Display {
        struct Never;
        impl fmt::Display for Never {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("an attribute that nobody is told")
            }
        }
        Never
    }

    #[test]
    fn the_trace_of_a_kill_is_known_later() {
        let (tracer, kill) = (Tracer::default(), KillId::from_u128(7));
        tracer.keep(kill, &tracer.incoming(Some(PARENT)));
        assert_eq!(tracer.of_kill(kill).traceparent().as_deref(), Some(PARENT));
        assert!(tracer.of_kill(KillId::from_u128(8)).0.is_none());
    }
}

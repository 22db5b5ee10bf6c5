//! Traces: which steps one request took, through all processes, told to a collector (OTLP over HTTP).
//!
//! Off unless `telemetry.otlp_endpoint` is set; then every function here costs a look at an empty cell. The way of a trace: a request
//! of the private listener may bring a `traceparent` (W3C Trace Context), whose decision holds; others are sampled by
//! `telemetry.sample`. Jobs and asks carry it through the broker; an accepted message keeps it in its row, so that each of its
//! attempts, by whatever process and however late, joins it; webhooks are sent it. Other nodes are not: their wire stays as it was.
//!
//! Spans hold words, numbers and ids of ours, as logs do: no addresses, bodies, codes, paths.

mod transport;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use crate::config::Config;
use transport::Transport;

/// Longest wait for the collector.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same while this process ends.
const FAREWELL: Duration = Duration::from_secs(3);

struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

static TRACING: OnceLock<Tracing> = OnceLock::new();

/// Where a span belongs, fit to be carried to another process: the trace, and the span it comes from. Only of what is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: TraceId,
    span: SpanId,
}

/// What kind of step a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A request is answered.
    Answer,
    /// A job is given to the broker.
    Publish,
    /// A job, or an ask, is taken from it.
    Take,
    /// A call of somebody else.
    Call,
}

/// A span that is going on, or none; it ends when this is dropped.
#[must_use]
pub struct Span(Option<Context>);

/// Begins to trace, where the settings say so. Call it inside the runtime, once.
///
/// # Errors
/// When the exporter cannot be made.
pub fn begin(config: &Config, role: &'static str) -> anyhow::Result<()> {
    let settings = &config.telemetry;
    if settings.otlp_endpoint.is_empty() {
        return Ok(());
    }
    let header = settings.header().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Transport::new(PATIENCE)?)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_endpoint(format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/')))
        .with_headers(header.into_iter().collect::<HashMap<_, _>>())
        .build()?;
    let about = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.namespace", config.domain.clone()),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("handfast.role", role),
    ];
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample))))
        .with_resource(Resource::builder_empty().with_service_name("handfast").with_attributes(about).build())
        .build();
    let tracer = provider.tracer("handfast");
    let _ = TRACING.set(Tracing { provider, tracer });
    tracing::info!(sample = settings.sample, "tracing");
    Ok(())
}

/// Sends what is left to be sent.
pub async fn end() {
    if let Some(tracing) = TRACING.get() {
        let provider = tracing.provider.clone();
        // It blocks, and what it waits for runs on this runtime.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FAREWELL)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::debug!("the last spans could not be sent");
        }
    }
}

/// Whether anything is traced at all.
pub fn is_on() -> bool {
    TRACING.get().is_some()
}

/// The span of the code that calls this, if it is sampled.
pub fn current() -> Option<Parent> {
    if !is_on() {
        return None;
    }
    Context::map_current(parent_in)
}

/// The beginning of this node's part of a trace: of the caller's, if it brought a good `traceparent`, else of a new one.
pub fn root(name: impl Into<Cow<'static, str>>, traceparent: Option<&str>) -> Span {
    let Some(tracing) = TRACING.get() else { return Span(None) };
    let remote = traceparent
        .and_then(parse)
        .map_or_else(Context::new, |context| Context::new().with_remote_span_context(context));
    Span::build(tracing, name.into(), Step::Answer, &remote)
}

/// A step of a trace that is known and sampled; nothing where there is none.
pub fn step(name: impl Into<Cow<'static, str>>, step: Step, parent: Option<Parent>) -> Span {
    let (Some(tracing), Some(parent)) = (TRACING.get(), parent) else { return Span(None) };
    let remote = Context::new().with_remote_span_context(parent.context());
    Span::build(tracing, name.into(), step, &remote)
}

impl Span {
    /// Nothing.
    pub fn none() -> Self {
        Self(None)
    }

    fn build(tracing: &Tracing, name: Cow<'static, str>, step: Step, parent: &Context) -> Self {
        let kind = match step {
            Step::Answer => SpanKind::Server,
            Step::Publish => SpanKind::Producer,
            Step::Take => SpanKind::Consumer,
            Step::Call => SpanKind::Client,
        };
        let span = tracing.tracer.span_builder(name).with_kind(kind).start_with_context(&tracing.tracer, parent);
        Self(Some(parent.with_span(span)))
    }

    /// Notes something of it.
    pub fn note(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// It went wrong.
    pub fn failed(&self, why: impl Into<Cow<'static, str>>) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(why));
        }
    }

    /// Does `work` as part of it.
    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(context) => work.with_context(context.clone()).await,
            None => work.await,
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

impl Parent {
    /// As `traceparent` says it.
    pub fn header(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.span)
    }

    /// From that, if it is whole and sampled.
    pub fn from_header(text: &str) -> Option<Self> {
        let context = parse(text).filter(SpanContext::is_sampled)?;
        Some(Self { trace: context.trace_id(), span: context.span_id() })
    }

    /// As stored.
    pub fn bytes(&self) -> Vec<u8> {
        [self.trace.to_bytes().as_slice(), self.span.to_bytes().as_slice()].concat()
    }

    /// As read.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace, span) = bytes.split_at_checked(16)?;
        let parent = Self {
            trace: TraceId::from_bytes(trace.try_into().ok()?),
            span: SpanId::from_bytes(span.try_into().ok()?),
        };
        Some(parent)
    }

    fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, true, TraceState::NONE)
    }
}

fn parent_in(context: &Context) -> Option<Parent> {
    let span = context.span();
    let context = span.span_context();
    let told = context.is_valid() && context.is_sampled();
    told.then(|| Parent { trace: context.trace_id(), span: context.span_id() })
}

/// `00-TRACE-SPAN-FLAGS` (W3C Trace Context, 3.2); of a later version what stands in the same places.
fn parse(text: &str) -> Option<SpanContext> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags, more @ ..] = parts.as_slice() else { return None };
    let lower =
        |part: &str, length| part.len() == length && part.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let good = lower(version, 2) && lower(trace, 32) && lower(span, 16) && lower(flags, 2);
    if !good || *version == "ff" || (*version == "00" && !more.is_empty()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE)).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_good_header_is_read_and_told_again() {
        let parent = Parent::from_header(GOOD).unwrap();
        assert_eq!(parent.header(), GOOD);
        assert_eq!(Parent::from_bytes(&parent.bytes()), Some(parent));
        assert_eq!(parent.bytes().len(), 24);
        // What comes later in the same form, and flags of later versions.
        assert!(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more").unwrap().is_sampled());
        assert!(!parse(&GOOD.replace("-01", "-00")).unwrap().is_sampled());
    }

    #[test]
    fn what_is_no_header_is_none() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
        assert!(Parent::from_header(&GOOD.replace("-01", "-00")).is_none());
        assert!(Parent::from_bytes(&[1; 23]).is_none() && Parent::from_bytes(&[1; 25]).is_none());
    }

    #[tokio::test]
    async fn without_a_collector_nothing_is_traced() {
        let span = root("test", Some(GOOD));
        assert!(span.0.is_none() && !is_on());
        assert_eq!(span.around(async { current() }).await, None);
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text: String) {
            let _ = parse(&text);
        }
    }
}

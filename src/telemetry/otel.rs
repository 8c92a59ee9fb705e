//! OpenTelemetry traces: [`Tracing`]. A span for a request, one for its turn, one for each attempt at a model and each
//! call of a tool, by the conventions of OpenTelemetry for HTTP and for generative AI.
//!
//! There is no `tracing` in between. A request's context is attached to the thread while its work is polled, as its id is
//! for the log; the ports are wrapped, and find their parent there. What is told to others (`traceparent`) the adapters
//! ask for while they are polled.

mod collector;
mod contents;
mod llm;
mod request;
mod span;
mod tools;
mod turn;

use std::{sync::Arc, time::Duration};

use chat_domain::ports::{BoxError, Propagation, llm::LlmPort, tools::ToolPort};
use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    propagation::{Injector, TextMapPropagator},
    trace::{SpanKind, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use poem::http::request::Parts;

pub(super) use self::request::Attached;
use self::{collector::Collector, llm::TracedLlm, span::Running, tools::TracedTools};
pub use self::{request::RequestSpan, turn::TurnStream};
use super::LlmNames;
use crate::config::{Sampling, Traces};

/// How many spans may wait for the collector. Beyond it they are dropped: a collector that is away costs no turn.
const QUEUE: usize = 2048;

/// The same where they hold contents, of which one can have [`contents::MOST`] twice: 32 MiB at the most.
const QUEUE_WITH_CONTENTS: usize = 512;

/// How long the last spans may take to be delivered at the end.
const LAST_EXPORT: Duration = Duration::from_secs(3);

/// The version of the conventions that names follow.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.37.0";

/// The traces of this process. Cloning gives the same; by default there are none.
#[derive(Clone, Default)]
pub struct Tracing(Option<Arc<Inner>>);

struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    contents: bool,
}

impl Tracing {
    /// Begins to deliver spans to the configured collector, if there is one. Needs a tokio runtime.
    ///
    /// # Errors
    /// When no HTTP client can be made for it.
    pub fn start(traces: &Traces) -> Result<Self, BoxError> {
        let Some(endpoint) = &traces.endpoint else { return Ok(Self(None)) };
        let collector = Collector::new(endpoint, &traces.headers)?;
        let queue = if traces.contents { QUEUE_WITH_CONTENTS } else { QUEUE };
        let queue = BatchConfigBuilder::default().with_max_queue_size(queue).build();
        let resource = Resource::builder()
            .with_service_name(traces.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(collector).with_batch_config(queue).build())
            .with_sampler(sampler(traces.sampling))
            .with_resource(resource)
            .build();
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(CONVENTIONS);
        let tracer = provider.tracer_with_scope(scope.build());
        if traces.contents {
            tracing::warn!("traces hold what is said: OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is on");
        }
        Ok(Self(Some(Arc::new(Inner { provider, tracer, contents: traces.contents }))))
    }

    /// What calls tell whoever they call, asked while the call is polled.
    pub fn propagation(&self) -> Propagation {
        if self.0.is_none() {
            return Propagation::default();
        }
        Propagation::new(|| {
            let mut told = Told(Vec::with_capacity(2));
            TraceContextPropagator::new().inject_context(&Context::current(), &mut told);
            told.0
        })
    }

    /// A model each of whose calls has a span.
    pub fn llm(&self, llm: Arc<dyn LlmPort>, names: LlmNames) -> Arc<dyn LlmPort> {
        match &self.0 {
            Some(inner) => Arc::new(TracedLlm::new(llm, inner.clone(), names)),
            None => llm,
        }
    }

    /// Tools each of whose calls has a span.
    pub fn tools(&self, tools: Arc<dyn ToolPort>) -> Arc<dyn ToolPort> {
        match &self.0 {
            Some(inner) => Arc::new(TracedTools::new(tools, inner.clone())),
            None => tools,
        }
    }

    /// The span of a request that has come in. Only what `route` knows and what does some work has one: no health checks,
    /// and nothing that somebody only tries out.
    pub fn request<'a>(&self, head: &Parts, route: impl FnOnce() -> Option<&'a str>) -> RequestSpan {
        self.0.as_ref().map_or_else(RequestSpan::default, |inner| RequestSpan::begin(inner, head, route()))
    }

    /// Delivers what is left, within a bounded time.
    pub async fn stop(&self) {
        let Some(inner) = self.0.clone() else { return };
        // It waits on the thread that calls it.
        let stopped = tokio::task::spawn_blocking(move || inner.provider.shutdown_with_timeout(LAST_EXPORT)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be delivered");
        }
    }
}

impl Inner {
    /// Begins a span below the one that is current here.
    fn begin(self: &Arc<Self>, kind: SpanKind, name: String, attributes: Vec<KeyValue>) -> Running {
        Running::begin(&self.tracer, &Context::current(), kind, name, attributes)
    }
}

fn sampler(sampling: Sampling) -> Sampler {
    let share = match sampling.share {
        share if share >= 1.0 => Sampler::AlwaysOn,
        share if share <= 0.0 => Sampler::AlwaysOff,
        share => Sampler::TraceIdRatioBased(share),
    };
    if sampling.follow_parent { Sampler::ParentBased(Box::new(share)) } else { share }
}

/// Names and values as the propagator writes them.
struct Told(Vec<(&'static str, String)>);

impl Injector for Told {
    fn set(&mut self, key: &str, value: String) {
        let known = ["traceparent", "tracestate"].into_iter().find(|known| *known == key);
        if let Some(name) = known.filter(|_| !value.is_empty()) {
            self.0.push((name, value));
        }
    }
}

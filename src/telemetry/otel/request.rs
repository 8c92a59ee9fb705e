//! A request: [`RequestSpan`].

use std::sync::Arc;

use chat_domain::{agent::events::TurnEvents, chat::error::ChatError, session::SessionId};
use opentelemetry::{
    Array, Context, ContextGuard, KeyValue, StringValue, Value,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use poem::http::{HeaderMap, Method, request::Parts};

use super::{
    Inner,
    span::ERROR_TYPE,
    turn::{self, TurnStream},
};

/// Others' state that is longer is not passed on: every span would carry it, and anybody can send it. The standard asks
/// for no more.
const LONGEST_STATE: usize = 512;

/// The span of a request, from its first byte to its last; none if it has none. Cloning gives the same span.
#[derive(Clone, Default)]
pub struct RequestSpan(Option<Traced>);

#[derive(Clone)]
struct Traced {
    tracing: Arc<Inner>,
    context: Context,
}

/// A thread's stay in a request's context.
pub(in crate::telemetry) struct Attached(#[expect(dead_code, reason = "held for its drop")] Option<ContextGuard>);

impl RequestSpan {
    pub(super) fn begin(tracing: &Arc<Inner>, head: &Parts, route: Option<&str>) -> Self {
        let Some(route) = route.filter(|route| ["/sessions", "/admin"].iter().any(|root| route.starts_with(root)))
        else {
            return Self(None);
        };
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(&head.headers));
        let method = method(&head.method);
        let attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            // With the names of its ids in their place: who knows a session's id can speak in it.
            KeyValue::new("url.path", route.to_owned()),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("network.protocol.version", "1.1"),
        ];
        let name = format!("{method} {route}");
        let span = tracing.tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = tracing.tracer.build_with_context(span, &parent);
        Self(Some(Traced { tracing: tracing.clone(), context: parent.with_span(span) }))
    }

    /// From now on, and until what it gives is dropped, spans that begin on this thread are below this one.
    pub(in crate::telemetry) fn attach(&self) -> Attached {
        Attached(self.0.as_ref().map(|traced| traced.context.clone().attach()))
    }

    /// The trace it belongs to, as text.
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|traced| traced.context.span().span_context().trace_id().to_string())
    }

    /// A turn in this session, with a span of its own from before it has its place in the session's order.
    ///
    /// # Errors
    /// Those of `opening`.
    pub async fn turn(
        &self,
        session: SessionId,
        opening: impl Future<Output = Result<TurnEvents, ChatError>>,
    ) -> Result<TurnStream, ChatError> {
        match &self.0 {
            Some(Traced { tracing, context }) => turn::open(tracing, context, session, opening).await,
            None => opening.await.map(TurnStream::untraced),
        }
    }

    /// It is over: answered with this status, or with none because its client went away.
    pub fn end(&self, request_id: &str, status: Option<u16>) {
        let Some(Traced { context, .. }) = &self.0 else { return };
        let span = context.span();
        let id = Value::Array(Array::String(vec![StringValue::from(request_id.to_owned())]));
        span.set_attribute(KeyValue::new("http.response.header.x-request-id", id));
        match status {
            Some(status) => {
                span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
                // What a client did wrong is no failure of the server.
                if status >= 500 {
                    span.set_attribute(KeyValue::new(ERROR_TYPE, status.to_string()));
                    span.set_status(Status::error(""));
                }
            }
            None => span.set_attribute(KeyValue::new(ERROR_TYPE, "client_closed_request")),
        }
        span.end();
    }
}

/// The methods there are; what a client makes up is no name for a span.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        (key == "traceparent" || value.len() <= LONGEST_STATE).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

//! A collector: takes what the service posts, and reads it.

use std::{collections::BTreeMap, net::SocketAddr};

use chat_test_support::{RecordedRequest, Reply, Upstream, assert_eventually};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1,
};
use prost::Message;
use serde_json::{Value, json};

use crate::scene::SOON;

/// An HTTP server that says yes to whatever is posted.
pub(crate) struct Collector(Upstream);

/// A span as it was delivered.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: v1::span::SpanKind,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: none.
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) has_failed: bool,
    /// Of the service it comes from.
    pub(crate) resource: BTreeMap<String, Value>,
}

impl Span {
    pub(crate) fn get(&self, attribute: &str) -> &Value {
        self.attributes.get(attribute).unwrap_or(&Value::Null)
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self(Upstream::answering(|_| Reply::status(200)).await)
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        Self(Upstream::at(address, |_| Reply::status(200)).await)
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.0.address())
    }

    pub(crate) fn posts(&self) -> Vec<RecordedRequest> {
        self.0.requests()
    }

    /// All that was ever posted, for what must not be in there.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.posts().iter().flat_map(|post| post.raw.to_vec()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.posts().iter().flat_map(|post| spans(&post.raw)).collect()
    }

    /// The spans of one trace, once there are so many, first to last.
    pub(crate) async fn trace(&self, trace: &str, count: usize) -> Vec<Span> {
        let of_trace = || self.spans().into_iter().filter(|span| span.trace == trace).collect::<Vec<_>>();
        assert_eventually!(of_trace().len() >= count, SOON);
        let spans = of_trace();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// The spans of this name, once there is one.
    pub(crate) async fn named(&self, name: &str) -> Vec<Span> {
        let named = || self.spans().into_iter().filter(|span| span.name == name).collect::<Vec<_>>();
        assert_eventually!(!named().is_empty(), SOON);
        named()
    }
}

/// Of these spans the one of this name.
pub(crate) fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut named = spans.iter().filter(|span| span.name == name);
    let one = named.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(named.next().is_none(), "{name} twice in {spans:#?}");
    one
}

fn spans(post: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(post).expect("protobuf");
    let mut all = Vec::new();
    for of_service in request.resource_spans {
        let resource = attributes(of_service.resource.map(|resource| resource.attributes).unwrap_or_default());
        for span in of_service.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0, "{span:?}");
            all.push(Span {
                kind: span.kind(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state,
                attributes: attributes(span.attributes),
                has_failed: span.status.is_some_and(|status| status.code() == v1::status::StatusCode::Error),
                name: span.name,
                resource: resource.clone(),
            });
        }
    }
    all
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, Value> {
    pairs.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

fn value(value: Option<AnyValue>) -> Value {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::BoolValue(truth)) => json!(truth),
        Some(any_value::Value::ArrayValue(list)) => {
            list.values.into_iter().map(|item| self::value(Some(item))).collect()
        }
        other => panic!("an attribute of another kind: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

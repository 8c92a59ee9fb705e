//! A span that is under way: [`Running`].

use std::borrow::Cow;

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SdkTracer;

/// What a failure's class is called in attributes.
pub(super) const ERROR_TYPE: &str = "error.type";

/// The class of what was dropped before its end: the client went away, the session was deleted, the time was over.
const CANCELLED: &str = "cancelled";

/// The longest value that others make up: models, tools' names, ids.
const LONGEST: usize = 128;

/// A span that ends when this is dropped; as cancelled, unless somebody has said how it ended.
pub(super) struct Running {
    context: Context,
    has_ended: bool,
}

impl Running {
    pub(super) fn begin(
        tracer: &SdkTracer,
        parent: &Context,
        kind: SpanKind,
        name: String,
        attributes: Vec<KeyValue>,
    ) -> Self {
        let span = tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        Self { context: parent.with_span(tracer.build_with_context(span, parent)), has_ended: false }
    }

    /// What is current while its work is done.
    pub(super) fn context(&self) -> Context {
        self.context.clone()
    }

    /// Whether anybody will see it.
    pub(super) fn is_kept(&self) -> bool {
        self.context.span().is_recording()
    }

    pub(super) fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.context.span().set_attribute(KeyValue::new(key, value));
    }

    /// It did what it was for.
    pub(super) fn succeed(mut self) {
        self.has_ended = true;
    }

    /// It failed, in this way.
    pub(super) fn fail(mut self, kind: &str) {
        self.note_failure(kind);
    }

    fn note_failure(&mut self, kind: &str) {
        self.has_ended = true;
        self.set(ERROR_TYPE, kind.to_owned());
        self.context.span().set_status(Status::error(""));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.note_failure(CANCELLED);
        }
        self.context.span().end();
    }
}

/// A value of somebody else, cut to a length that a span can bear.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    text[..text.floor_char_boundary(LONGEST)].into()
}

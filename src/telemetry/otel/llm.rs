//! The calls of a model: [`TracedLlm`].

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use async_trait::async_trait;
use chat_domain::{
    message::{FinishReason, Usage},
    ports::llm::{Completion, LlmError, LlmEvent, LlmPort, LlmRequest, LlmStatus, LlmStream},
};
use futures_util::Stream;
use opentelemetry::{Array, Context, KeyValue, StringValue, Value, context::FutureExt, trace::SpanKind};

use super::{
    Inner, LlmNames, contents,
    span::{Running, short},
    turn::Conversation,
};

/// A backend; each attempt at it has a span, from the request to the end of the answer.
pub(super) struct TracedLlm {
    llm: Arc<dyn LlmPort>,
    tracing: Arc<Inner>,
    names: LlmNames,
}

impl TracedLlm {
    pub(super) fn new(llm: Arc<dyn LlmPort>, tracing: Arc<Inner>, names: LlmNames) -> Self {
        Self { llm, tracing, names }
    }

    fn begin(&self, request: &LlmRequest) -> Running {
        let LlmNames { provider, backend, model, is_fixed, server } = &self.names;
        let wanted = request.options.model.as_deref().filter(|_| !is_fixed);
        let model = short(wanted.unwrap_or(model));
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", "chat"),
            KeyValue::new("gen_ai.provider.name", *provider),
            KeyValue::new("gen_ai.request.model", model.to_string()),
            KeyValue::new("chat_agent.backend", backend.clone()),
        ];
        if let Some((host, port)) = server {
            attributes.push(KeyValue::new("server.address", host.clone()));
            attributes.push(KeyValue::new("server.port", i64::from(*port)));
        }
        if let Some(Conversation(id)) = Context::current().get::<Conversation>() {
            attributes.push(KeyValue::new("gen_ai.conversation.id", id.clone()));
        }
        let span = self.tracing.begin(SpanKind::Client, format!("chat {model}"), attributes);
        if self.tracing.contents && span.is_kept() {
            let (instructions, messages) = contents::asked(request);
            if let Some(instructions) = instructions {
                span.set("gen_ai.system_instructions", instructions);
            }
            span.set("gen_ai.input.messages", messages);
        }
        span
    }
}

#[async_trait]
impl LlmPort for TracedLlm {
    async fn stream(&self, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        let span = self.begin(request);
        match self.llm.stream(request).with_context(span.context()).await {
            Ok(inner) => Ok(Box::pin(TracedStream { inner, span: Some(span), contents: self.tracing.contents })),
            Err(error) => {
                span.fail(error.kind.as_str());
                Err(error)
            }
        }
    }

    fn status(&self) -> LlmStatus {
        self.llm.status()
    }
}

struct TracedStream {
    inner: LlmStream,
    span: Option<Running>,
    contents: bool,
}

impl TracedStream {
    fn tell(&self, span: &Running, completion: &Completion) {
        if let Some(finish) = &completion.finish {
            finish_reasons(span, finish);
        }
        if let Some(usage) = &completion.usage {
            tokens(span, usage);
        }
        if let Some(model) = &completion.model {
            span.set("gen_ai.response.model", short(model).into_owned());
        }
        if self.contents && span.is_kept() {
            span.set("gen_ai.output.messages", contents::answered(completion));
        }
    }
}

impl Stream for TracedStream {
    type Item = Result<LlmEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inner.as_mut().poll_next(cx);
        match &next {
            Poll::Ready(Some(Ok(LlmEvent::End(completion)))) => {
                if let Some(span) = self.span.take() {
                    self.tell(&span, completion);
                    span.succeed();
                }
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(span) = self.span.take() {
                    span.fail(error.kind.as_str());
                }
            }
            _ => {}
        }
        next
    }
}

pub(super) fn tokens(span: &Running, usage: &Usage) {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    span.set("gen_ai.usage.input_tokens", count(usage.prompt_tokens()));
    span.set("gen_ai.usage.output_tokens", count(usage.completion_tokens()));
}

pub(super) fn finish_reasons(span: &Running, finish: &FinishReason) {
    let reason = StringValue::from(short(finish.as_str()).into_owned());
    span.set("gen_ai.response.finish_reasons", Value::Array(Array::String(vec![reason])));
}

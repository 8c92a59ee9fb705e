//! A turn: [`TurnStream`].

use std::{
    fmt::Write,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use chat_domain::{
    agent::events::{TurnEvent, TurnEvents},
    chat::{TurnOutcome, error::ChatError},
    session::SessionId,
};
use futures_util::Stream;
use opentelemetry::{Context, KeyValue, context::FutureExt, trace::SpanKind};
use sha2::{Digest, Sha256};

use super::{
    Inner,
    llm::{finish_reasons, tokens},
    span::Running,
};

/// A turn's events, given within the turn's span.
pub struct TurnStream {
    events: TurnEvents,
    span: Option<Running>,
}

/// What tells traces of one conversation from those of others.
#[derive(Clone)]
pub(super) struct Conversation(pub(super) Arc<str>);

impl Conversation {
    /// A hash: a session's id is what keeps others out of it, and traces are read by more people than speak there.
    fn of(session: SessionId) -> Self {
        let mut hex = String::with_capacity(32);
        for byte in &Sha256::digest(session.0.hyphenated().to_string())[..16] {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex.into())
    }
}

pub(super) async fn open(
    tracing: &Arc<Inner>,
    parent: &Context,
    session: SessionId,
    opening: impl Future<Output = Result<TurnEvents, ChatError>>,
) -> Result<TurnStream, ChatError> {
    let conversation = Conversation::of(session);
    let attributes = vec![
        KeyValue::new("gen_ai.operation.name", "invoke_agent"),
        KeyValue::new("gen_ai.agent.name", env!("CARGO_PKG_NAME")),
        KeyValue::new("gen_ai.conversation.id", conversation.0.clone()),
    ];
    let parent = parent.with_value(conversation);
    let name = concat!("invoke_agent ", env!("CARGO_PKG_NAME")).to_owned();
    let span = Running::begin(&tracing.tracer, &parent, SpanKind::Internal, name, attributes);
    match opening.with_context(span.context()).await {
        Ok(events) => Ok(TurnStream { events, span: Some(span) }),
        Err(error) => {
            span.fail(kind(&error));
            Err(error)
        }
    }
}

impl TurnStream {
    pub(super) fn untraced(events: TurnEvents) -> Self {
        Self { events, span: None }
    }
}

impl Stream for TurnStream {
    type Item = TurnEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<TurnEvent>> {
        let this = &mut *self;
        let _attached = this.span.as_ref().map(|span| span.context().attach());
        let next = Pin::new(&mut this.events).poll_next(cx);
        match &next {
            Poll::Ready(Some(TurnEvent::Completed(outcome))) => {
                if let Some(span) = this.span.take() {
                    tell(&span, outcome);
                    span.succeed();
                }
            }
            Poll::Ready(Some(TurnEvent::Failed(error))) => {
                if let Some(span) = this.span.take() {
                    span.fail(kind(error));
                }
            }
            _ => {}
        }
        next
    }
}

fn tell(span: &Running, outcome: &TurnOutcome) {
    if let Some(usage) = &outcome.usage {
        tokens(span, usage);
    }
    if let Some(finish) = &outcome.message.finish {
        finish_reasons(span, finish);
    }
}

/// A failure's class: the code that clients get, and of models how they failed.
fn kind(error: &ChatError) -> &'static str {
    match error {
        ChatError::MemoryLimit(_) => "invalid_memory_limit",
        ChatError::SessionNotFound => "session_not_found",
        ChatError::SessionBusy { .. } => "session_busy",
        ChatError::Capacity => "capacity",
        ChatError::UnknownTool(_) => "unknown_tool",
        ChatError::ToolDown { .. } => "tool_error",
        ChatError::ToolsUnavailable { .. } => "tools_unavailable",
        ChatError::Unconfigured { .. } => "provider_unconfigured",
        ChatError::Llm(error) => error.kind.as_str(),
        ChatError::Storage(_) => "storage_unavailable",
        ChatError::TurnTimeout { .. } => "turn_timeout",
    }
}

//! The calls of tools: [`TracedTools`].

use std::sync::Arc;

use async_trait::async_trait;
use chat_domain::{
    message::ToolOutcome,
    ports::tools::{Tool, ToolCatalogue, ToolPort},
    time::Moment,
};
use opentelemetry::{KeyValue, context::FutureExt, trace::SpanKind};
use serde_json::value::RawValue;

use super::{Inner, contents, span::short};

/// Tools; each call has a span.
pub(super) struct TracedTools {
    tools: Arc<dyn ToolPort>,
    tracing: Arc<Inner>,
}

impl TracedTools {
    pub(super) fn new(tools: Arc<dyn ToolPort>, tracing: Arc<Inner>) -> Self {
        Self { tools, tracing }
    }
}

#[async_trait]
impl ToolPort for TracedTools {
    fn catalogue(&self) -> Arc<ToolCatalogue> {
        self.tools.catalogue()
    }

    async fn started(&self, deadline: Moment) {
        self.tools.started(deadline).await;
    }

    async fn call(&self, id: &str, tool: &Tool, arguments: &RawValue, deadline: Moment) -> ToolOutcome {
        let name = short(&tool.name);
        let attributes = vec![
            KeyValue::new("gen_ai.operation.name", "execute_tool"),
            KeyValue::new("gen_ai.tool.name", name.to_string()),
            KeyValue::new("gen_ai.tool.call.id", short(id).into_owned()),
            // On the agent's side, and not the client's.
            KeyValue::new("gen_ai.tool.type", "extension"),
            KeyValue::new("chat_agent.tool.server", tool.server.clone()),
        ];
        let span = self.tracing.begin(SpanKind::Internal, format!("execute_tool {name}"), attributes);
        let shows = self.tracing.contents && span.is_kept();
        if shows {
            span.set("gen_ai.tool.call.arguments", contents::text(arguments.get()));
        }
        let outcome = self.tools.call(id, tool, arguments, deadline).with_context(span.context()).await;
        if shows {
            span.set("gen_ai.tool.call.result", contents::text(&outcome.content));
        }
        if outcome.is_error {
            span.fail("tool_error")
        } else {
            span.succeed()
        }
        outcome
    }
}

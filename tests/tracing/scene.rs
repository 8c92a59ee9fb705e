//! A service that is traced, with a model that uses the tools of a scripted server.

use std::time::Duration;

use chat_test_support::{
    Client, Launch, RecordedRequest, Reply, Service, Upstream,
    mcp::{Servers, journal},
};
use serde_json::json;

use crate::collector::Collector;

/// For what should happen at once; a loaded machine may take its time.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a client says, a tool is given and a model answers: none of it belongs into a trace.
pub(crate) const MARKER: &str = "sentinel-of-what-is-said";

/// The trace and the span of a caller.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const CALLER: &str = "00f067aa0ba902b7";

pub(crate) struct Scene {
    pub(crate) collector: Collector,
    pub(crate) upstream: Upstream,
    pub(crate) service: Service,
    pub(crate) client: Client,
}

/// The program, with limits that are not in the way, delivering spans at once.
pub(crate) fn program(endpoint: &str) -> Launch {
    Service::launch(env!("CARGO_BIN_EXE_chat-agent"))
        .env("RATE_RPS", "1000000")
        .env("RATE_BURST", "1000000")
        .env("LLM_MAX_RETRIES", "0")
        .env("OPENROUTER_KEY", "k")
        .env("OPENROUTER_MODEL", "vendor/model")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these variables besides.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        Self::over(Upstream::answering(uses_a_tool).await, variables).await
    }

    /// Over this model.
    pub(crate) async fn over(upstream: Upstream, variables: &[(&str, &str)]) -> Self {
        let collector = Collector::start().await;
        let launch = program(&collector.endpoint()).env("OPENROUTER_BASE_URL", upstream.base_url());
        let launch = Servers::new().scripted("shop", &[]).given_to(launch);
        let service = launch.envs(variables.iter().copied()).start().await;
        Self { collector, upstream, client: service.client(), service }
    }

    /// A client that belongs to a trace, which is kept if `flags` say `01`.
    pub(crate) fn caller(&self, flags: &str) -> Client {
        let client = self.client.with_header("traceparent", &format!("00-{TRACE}-{CALLER}-{flags}"));
        client.with_header("tracestate", "vendor=opaque")
    }

    /// The rest of the lines of the scripted server's journal that begin so.
    pub(crate) fn journal(&self, beginning: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.service.folder().join(journal("shop"))).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix(beginning)).map(str::to_owned).collect()
    }
}

/// Calls a tool with what it was told, and says what that gave.
pub(crate) fn uses_a_tool(request: &RecordedRequest) -> Reply {
    match request.messages().last() {
        Some(last) if last["role"] == "tool" => {
            let said = last["content"].as_str().unwrap_or_default();
            Reply::text(format!("It said: {said}")).with_usage(20, 7)
        }
        _ => {
            let arguments = json!({"text": request.last_user()}).to_string();
            Reply::tool_calls([("shop_echo", arguments.as_str())]).with_usage(10, 3)
        }
    }
}

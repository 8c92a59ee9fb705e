//! What is counted, and the two forms in which it is told: JSON and Prometheus's text. Both read the same counters.

mod histogram;
mod process;
mod text;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use chat_domain::{
    message::Usage,
    ports::{CallCount, Observer},
};
use poem::http::Method;
use serde::Serialize;

use self::{histogram::Histogram, text::Text};
use crate::telemetry::dropped_lines;

/// Counts. What every turn counts is atomic; a family of calls is looked up under a lock that is shared for reading.
pub struct Metrics {
    began: Instant,
    requests: [AtomicU64; METHODS.len()],
    /// By status, from 100.
    responses: [AtomicU64; 500],
    latency: Histogram,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    rate_limited: AtomicU64,
    limiter_errors: AtomicU64,
    open_circuits: AtomicU64,
    backlog: AtomicU64,
    dead_letters: AtomicU64,
    llm: RwLock<BTreeMap<Arc<str>, Arc<Calls>>>,
    tools: RwLock<BTreeMap<Arc<str>, Arc<Calls>>>,
    tool_servers: RwLock<BTreeMap<String, u64>>,
}

/// What is not counted but looked up when somebody asks.
pub struct Now {
    /// Sessions.
    pub active_sessions: u64,
    /// How the service is, as readiness puts it.
    pub readiness: &'static str,
    /// Whether what waits for the archive's database survives a restart.
    pub spool_is_durable: bool,
}

/// What readiness can be.
pub const READINESS: [&str; 4] = ["ready", "degraded", "unavailable", "draining"];

/// Chat traffic is only posted; the rest is there for the day it is not.
const METHODS: [&str; 2] = ["POST", "OTHER"];

/// The calls of one backend or tool server.
#[derive(Default)]
struct Calls {
    latency: Histogram,
    failed: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            requests: Default::default(),
            responses: [const { AtomicU64::new(0) }; 500],
            latency: Histogram::default(),
            prompt_tokens: AtomicU64::default(),
            completion_tokens: AtomicU64::default(),
            rate_limited: AtomicU64::default(),
            limiter_errors: AtomicU64::default(),
            open_circuits: AtomicU64::default(),
            backlog: AtomicU64::default(),
            dead_letters: AtomicU64::default(),
            llm: RwLock::default(),
            tools: RwLock::default(),
            tool_servers: RwLock::default(),
        }
    }
}

impl Metrics {
    /// A chat request has come.
    pub fn request(&self, method: &Method) {
        let index = usize::from(method != Method::POST);
        self.requests[index].fetch_add(1, Relaxed);
    }

    /// A chat request was answered.
    pub fn response(&self, status: u16, took: Duration) {
        if let Some(counter) = usize::from(status).checked_sub(100).and_then(|index| self.responses.get(index)) {
            counter.fetch_add(1, Relaxed);
        }
        self.latency.record(took);
    }

    /// A request was refused for being one too many.
    pub fn rate_limited(&self) {
        self.rate_limited.fetch_add(1, Relaxed);
    }

    /// The limiter did not answer.
    pub fn limiter_error(&self) {
        self.limiter_errors.fetch_add(1, Relaxed);
    }

    /// How long the service has been running.
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// All numbers, with the number of sessions, which is the store's to know.
    pub fn snapshot(&self, active_sessions: u64) -> Snapshot {
        let named = |counters: &[AtomicU64], name: &dyn Fn(usize) -> String| -> BTreeMap<String, u64> {
            let counted = counters.iter().enumerate().map(|(index, counter)| (index, counter.load(Relaxed)));
            counted.filter(|(_, count)| *count > 0).map(|(index, count)| (name(index), count)).collect()
        };
        let requests_by_method = named(&self.requests, &|index| METHODS[index].to_owned());
        let responses_by_status = named(&self.responses, &|index| (index + 100).to_string());
        Snapshot {
            requests_total: requests_by_method.values().sum(),
            responses_total: responses_by_status.values().sum(),
            errors_total: self.responses[400..].iter().map(|counter| counter.load(Relaxed)).sum(),
            requests_by_method,
            responses_by_status,
            request_latency_avg_ms: round(self.latency.average_ms()),
            request_latency_ms: Percentiles {
                p50: round(self.latency.percentile_ms(0.5)),
                p95: round(self.latency.percentile_ms(0.95)),
                p99: round(self.latency.percentile_ms(0.99)),
            },
            tokens: Tokens {
                prompt: self.prompt_tokens.load(Relaxed),
                completion: self.completion_tokens.load(Relaxed),
            },
            llm_calls_total: total(&self.llm),
            tool_calls_total: total(&self.tools),
            rate_limited_total: self.rate_limited.load(Relaxed),
            active_sessions,
            uptime_seconds: round(self.uptime().as_secs_f64()),
        }
    }

    /// All numbers in Prometheus's text format; `open_metrics` chooses its successor's dialect.
    pub fn text(&self, now: &Now, open_metrics: bool) -> String {
        let snapshot = self.snapshot(now.active_sessions);
        let mut text = Text { out: String::with_capacity(8 * 1024), open_metrics };
        text.counter("chat_requests", "Chat requests by method", "method", &snapshot.requests_by_method);
        text.counter("chat_responses", "Chat responses by status", "status", &snapshot.responses_by_status);
        text.single(
            "chat_errors",
            "counter",
            "Chat responses with a status of 500 or more",
            snapshot.errors_total as f64,
        );
        text.histograms(
            "chat_request_duration_seconds",
            "From a chat request's arrival to the end of its answer",
            [("", "", &self.latency)],
        );
        let tokens = [("prompt", snapshot.tokens.prompt), ("completion", snapshot.tokens.completion)];
        text.counter(
            "chat_tokens",
            "Tokens as backends report them",
            "kind",
            &tokens.map(|(kind, count)| (kind.to_owned(), count)).into(),
        );
        text.calls("chat_llm", "backend", "LLM attempts", &self.llm);
        text.calls("chat_tool", "server", "Tool calls", &self.tools);
        let ready = self.tool_servers.read().unwrap_or_else(PoisonError::into_inner);
        text.gauge("chat_tool_server_ready", "1 where an MCP server is ready, else 0", "server", &ready);
        text.single(
            "chat_rate_limited",
            "counter",
            "Requests refused for being too many",
            snapshot.rate_limited_total as f64,
        );
        text.single(
            "chat_limiter_errors",
            "counter",
            "Requests the limiter could not judge",
            self.limiter_errors.load(Relaxed) as f64,
        );
        text.single("chat_active_sessions", "gauge", "Sessions now", now.active_sessions as f64);
        let readiness = READINESS.map(|status| (status.to_owned(), u64::from(status == now.readiness)));
        text.gauge("chat_readiness", "1 for how the service is, as readiness tells it", "status", &readiness.into());
        text.single(
            "chat_llm_open_circuits",
            "gauge",
            "LLM backends that are left alone now",
            self.open_circuits.load(Relaxed) as f64,
        );
        text.single(
            "chat_history_backlog",
            "gauge",
            "Archive operations that wait for the database",
            self.backlog.load(Relaxed) as f64,
        );
        text.single(
            "chat_history_dead_letters",
            "counter",
            "Archive records no database takes",
            self.dead_letters.load(Relaxed) as f64,
        );
        text.single(
            "chat_history_spool_durable",
            "gauge",
            "1 if what waits for the database survives a restart",
            u64::from(now.spool_is_durable) as f64,
        );
        text.single("chat_log_lines_dropped", "counter", "Log lines nobody took in time", dropped_lines() as f64);
        text.single("chat_uptime_seconds", "gauge", "Since the start", self.uptime().as_secs_f64());
        let version = [(env!("CARGO_PKG_VERSION").to_owned(), 1)];
        text.gauge("chat_build_info", "1, with the version that runs", "version", &version.into());
        if let Some(bytes) = process::resident_bytes() {
            text.single("process_resident_memory_bytes", "gauge", "Memory in use", bytes as f64);
        }
        if open_metrics {
            text.out.push_str("# EOF\n");
        }
        text.out
    }
}

fn calls_of(family: &RwLock<BTreeMap<Arc<str>, Arc<Calls>>>, name: &str) -> Arc<Calls> {
    if let Some(calls) = family.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return calls.clone();
    }
    family.write().unwrap_or_else(PoisonError::into_inner).entry(name.into()).or_default().clone()
}

fn total(family: &RwLock<BTreeMap<Arc<str>, Arc<Calls>>>) -> u64 {
    family.read().unwrap_or_else(PoisonError::into_inner).values().map(|calls| calls.latency.count()).sum()
}

/// Three decimals are what anybody reads.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Observer for Metrics {
    fn llm_call(&self, call: CallCount<'_>) {
        record(&self.llm, call);
    }

    fn tool_call(&self, call: CallCount<'_>, _tool: &str) {
        // A tool that no server has is the model's invention; its name is no label.
        record(&self.tools, CallCount { name: if call.name.is_empty() { "unknown" } else { call.name }, ..call });
    }

    fn tokens(&self, usage: &Usage) {
        // A backend that reports nonsense must not turn the counters over.
        self.prompt_tokens.fetch_add(usage.prompt_tokens().min(u32::MAX.into()), Relaxed);
        self.completion_tokens.fetch_add(usage.completion_tokens().min(u32::MAX.into()), Relaxed);
    }

    fn circuit(&self, _backend: &str, open: bool) {
        if open {
            self.open_circuits.fetch_add(1, Relaxed)
        } else {
            self.open_circuits.fetch_sub(1, Relaxed)
        };
    }

    fn tool_server(&self, server: &str, ready: bool) {
        let mut servers = self.tool_servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.insert(server.to_owned(), ready.into());
    }

    fn backlog(&self, operations: usize) {
        self.backlog.store(operations as u64, Relaxed);
    }

    fn dead_letter(&self) {
        self.dead_letters.fetch_add(1, Relaxed);
    }
}

fn record(family: &RwLock<BTreeMap<Arc<str>, Arc<Calls>>>, call: CallCount<'_>) {
    let calls = calls_of(family, call.name);
    calls.latency.record(call.took);
    calls.failed.fetch_add(u64::from(call.failed), Relaxed);
}

/// All numbers as JSON.
#[derive(Debug, Serialize, poem_openapi::Object)]
#[oai(rename = "Metrics")]
pub struct Snapshot {
    /// Chat requests: sessions made and messages posted.
    pub requests_total: u64,
    /// Chat responses, those refused by the limiter among them.
    pub responses_total: u64,
    /// Chat responses with a status of 500 or more.
    pub errors_total: u64,
    /// Chat requests by method.
    pub requests_by_method: BTreeMap<String, u64>,
    /// Chat responses by status.
    pub responses_by_status: BTreeMap<String, u64>,
    /// Mean time of a chat request in milliseconds.
    pub request_latency_avg_ms: f64,
    /// Percentiles of it.
    pub request_latency_ms: Percentiles,
    /// Tokens as backends report them.
    pub tokens: Tokens,
    /// Attempts at LLM backends.
    pub llm_calls_total: u64,
    /// Tool calls.
    pub tool_calls_total: u64,
    /// Requests refused for being too many.
    pub rate_limited_total: u64,
    /// Sessions now.
    pub active_sessions: u64,
    /// Seconds since the start.
    pub uptime_seconds: f64,
}

/// Percentiles in milliseconds.
#[derive(Debug, Serialize, poem_openapi::Object)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: f64,
    /// One in twenty is slower.
    pub p95: f64,
    /// One in a hundred is slower.
    pub p99: f64,
}

/// Tokens.
#[derive(Debug, Serialize, poem_openapi::Object)]
pub struct Tokens {
    /// Read by models.
    pub prompt: u64,
    /// Written by models.
    pub completion: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same_numbers() {
        let metrics = Metrics::default();
        metrics.request(&Method::POST);
        metrics.request(&Method::POST);
        metrics.response(200, Duration::from_millis(7));
        metrics.response(502, Duration::from_millis(9));
        metrics.llm_call(CallCount { name: "open\"router", took: Duration::from_millis(5), failed: true });
        let snapshot = metrics.snapshot(3);
        assert_eq!((snapshot.requests_total, snapshot.responses_total, snapshot.errors_total), (2, 2, 1));
        assert_eq!(snapshot.llm_calls_total, 1);
        let now = Now { active_sessions: 3, readiness: "degraded", spool_is_durable: false };
        let text = metrics.text(&now, false);
        for line in [
            "# TYPE chat_requests_total counter",
            "chat_requests_total{method=\"POST\"} 2",
            "chat_responses_total{status=\"502\"} 1",
            "chat_errors_total 1",
            "chat_request_duration_seconds_bucket{le=\"0.0075\"} 1",
            "chat_request_duration_seconds_bucket{le=\"+Inf\"} 2",
            "chat_request_duration_seconds_count 2",
            "chat_llm_duration_seconds_count{backend=\"open\\\"router\"} 1",
            "chat_llm_failures_total{backend=\"open\\\"router\"} 1",
            "chat_active_sessions 3",
            "chat_readiness{status=\"degraded\"} 1",
            "chat_readiness{status=\"ready\"} 0",
            "chat_history_spool_durable 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        let open = metrics.text(&now, true);
        assert!(open.contains("# TYPE chat_requests counter\n") && open.ends_with("# EOF\n"));
    }
}

use secrecy::SecretString;

use crate::config::url::SecretUrl;

/// What is traced, and who is told.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Where spans are posted; none: nothing is traced. `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces` behind it; default unset.
    pub endpoint: Option<SecretUrl>,
    /// Sent along, names first: `OTEL_EXPORTER_OTLP_HEADERS`, default none.
    pub headers: Vec<(String, SecretString)>,
    /// `OTEL_SERVICE_NAME`, default `chat-agent`.
    pub service_name: String,
    /// `OTEL_TRACES_SAMPLER`, default `parentbased_always_on`.
    pub sampling: Sampling,
    /// Whether spans hold what is said: `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`, default false.
    pub contents: bool,
}

/// Which traces are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Whether a caller's decision is ours as well.
    pub follow_parent: bool,
    /// How many of the others are kept, from 0 to 1: `OTEL_TRACES_SAMPLER_ARG`, default 1, for `traceidratio`.
    pub share: f64,
}

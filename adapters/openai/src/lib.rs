//! The LLM port over any OpenAI-compatible endpoint: OpenRouter, OpenAI, a model server of one's own.
//!
//! [`OpenAiLlm`] is one backend; several share the connections of one [`HttpClient`]. It neither retries nor falls
//! back: that is the domain's [`Failover`](chat_domain::agent::failover::Failover), which goes by the kinds of the errors
//! made here.
//!
//! Reading order: `client` (one call), `request` (what is sent), `wire` (what comes back, as JSON), `answer` (what that
//! amounts to), `stream` and `sse` (answers in parts), `failure` and `redact` (what went wrong, and what may be said of
//! it), `http` (the only module that knows the HTTP library).
//!
//! What an endpoint writes is untrusted: it is bounded in size and time, and nothing of it gets into an error but
//! its codes: short words without credentials, for the log. Its messages do not, since they may quote the conversation.

mod answer;
mod client;
mod config;
mod failure;
mod http;
mod redact;
mod request;
mod sse;
mod stream;
mod wire;

pub use self::{
    client::OpenAiLlm,
    config::{BuildError, DEFAULT_ATTEMPT_TIMEOUT, DEFAULT_MAX_BODY, ModelChoice, OpenAiConfig},
    http::HttpClient,
};

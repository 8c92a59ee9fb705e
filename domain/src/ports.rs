//! What the domain needs from outside. Each port's rustdoc is its contract, sentence by sentence a conformance test
//! (feature `testing`); each is `dyn`-safe, because backends are chosen at run time.

pub mod health;
pub mod history;
pub mod limits;
pub mod llm;
pub mod sessions;
pub mod tools;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use crate::{
    message::{MessageId, Usage},
    session::SessionId,
    time::{Moment, Timestamp},
};

/// An error of the world outside, kept for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What the chat needs, in one place.
#[derive(Clone)]
pub struct Ports {
    /// Sessions, their memory and the order of their turns.
    pub sessions: Arc<dyn sessions::SessionStore>,
    /// The model.
    pub llm: Arc<dyn llm::LlmPort>,
    /// The model's tools.
    pub tools: Arc<dyn tools::ToolPort>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub ids: Arc<dyn Ids>,
    /// What must outlive a request.
    pub tasks: Arc<dyn Tasks>,
    /// What is counted.
    pub observer: Arc<dyn Observer>,
}

/// Tells the time and waits for it.
pub trait Clock: Send + Sync {
    /// The wall clock. May jump.
    fn now(&self) -> Timestamp;
    /// The monotonic clock. Never goes back.
    fn moment(&self) -> Moment;
    /// Resolves once [`Clock::moment`] has reached `until`; at once if it has.
    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()>;
}

/// Chance, for jitter; no secrets are made of it.
pub trait Random: Send + Sync {
    /// A number of [0, 1), evenly spread.
    fn unit(&self) -> f64;
}

/// Makes identities nobody else makes.
pub trait Ids: Send + Sync {
    /// A random UUID of version 4 from a cryptographic source: it is what keeps others out of a session.
    fn session(&self) -> SessionId;
    /// A UUID of version 7 whose time is `at`.
    fn message(&self, at: Timestamp) -> MessageId;
}

/// Runs what must outlive the request that began it: a commit that has begun, and the archive's backlog. Nothing else.
pub trait Tasks: Send + Sync {
    /// Runs `work` to its end, also while the service is draining.
    fn detach(&self, work: BoxFuture<'static, ()>);
}

/// How a call of an LLM or of a tool ended, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallCount<'a> {
    /// The configured name of what was called: a backend, or a tool server.
    pub name: &'a str,
    /// Time from asking to the answer, of an LLM to its first part.
    pub took: Duration,
    /// Whether it failed.
    pub failed: bool,
}

/// Takes what is counted. Called on the hot path: implementations neither block nor allocate.
pub trait Observer: Send + Sync {
    /// An attempt at an LLM backend ended.
    fn llm_call(&self, _call: CallCount<'_>) {}
    /// A tool call ended. `tool` is the tool's own name.
    fn tool_call(&self, _call: CallCount<'_>, _tool: &str) {}
    /// A model's answer reported what it used.
    fn tokens(&self, _usage: &Usage) {}
    /// A backend's circuit opened (`true`) or closed.
    fn circuit(&self, _backend: &str, _open: bool) {}
    /// A tool server became ready (`true`) or is no longer.
    fn tool_server(&self, _server: &str, _ready: bool) {}
    /// The archive's backlog changed to this many operations.
    fn backlog(&self, _operations: usize) {}
    /// An archive operation was given up: it is a dead letter now.
    fn dead_letter(&self) {}
}

/// What a call tells whoever it calls about the trace that it is a part of: names and values, for headers or wherever the
/// protocol has a place for them. Adapters pass them on and need not know what they mean. By default there are none.
#[derive(Clone, Default)]
pub struct Propagation(Option<Arc<dyn Fn() -> NamedValues + Send + Sync>>);

/// Names and their values.
pub type NamedValues = Vec<(&'static str, String)>;

impl Propagation {
    /// What `current` gives, which is asked by the call itself, once for each.
    pub fn new(current: impl Fn() -> NamedValues + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(current)))
    }

    /// What to tell whoever is called now.
    pub fn current(&self) -> NamedValues {
        self.0.as_ref().map_or_else(Vec::new, |current| current())
    }
}

impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Propagation").field(&self.0.is_some()).finish()
    }
}

/// An observer that looks away.
pub struct NoObserver;

impl Observer for NoObserver {}

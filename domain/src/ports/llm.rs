//! The model: [`LlmPort`].

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::Stream;
use thiserror::Error;

use super::{BoxError, tools::ToolCatalogue};
use crate::{
    agent::window::Window,
    message::{FinishReason, Opaque, Round, ToolCall, Usage},
    options::CompletionOptions,
    time::Moment,
};

/// Answers a conversation, whole or in parts.
///
/// # Promises
/// - [`LlmPort::stream`] resolves when the first part of a usable answer is there, so that whoever retries never has to
///   take back what a client has seen.
/// - With [`Delivery::Whole`] the stream is exactly one [`LlmEvent::End`].
/// - With [`Delivery::Streamed`] it is any number of non-empty [`LlmEvent::Text`]s and one `End`, whose text is theirs
///   joined.
/// - After `End`, or after an error, it ends. It never ends without one of the two.
/// - An answer without text and without a tool call is an error, [`LlmErrorKind::InvalidResponse`].
/// - Dropping the future or the stream stops the call.
#[async_trait]
pub trait LlmPort: Send + Sync {
    /// Asks the model. Bounded by the request's deadline, and by the implementation's own bound on an attempt.
    async fn stream(&self, request: &LlmRequest) -> Result<LlmStream, LlmError>;

    /// Whether it can be asked at all, as known without asking.
    fn status(&self) -> LlmStatus {
        LlmStatus::Ready
    }
}

/// An answer on its way.
pub type LlmStream = Pin<Box<dyn Stream<Item = Result<LlmEvent, LlmError>> + Send>>;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum LlmEvent {
    /// More of the answer's text; never empty.
    Text(String),
    /// The whole answer.
    End(Completion),
}

/// A model's whole answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completion {
    /// What it said.
    pub text: String,
    /// The tools it asks for, in its order.
    pub calls: Vec<ToolCall>,
    /// Why it stopped, if the backend told.
    pub finish: Option<FinishReason>,
    /// What it used, if the backend told.
    pub usage: Option<Usage>,
    /// The model that answered, if the backend told: a router's choice, or the dated name of the one asked for.
    pub model: Option<Box<str>>,
    /// What the backend wants back with this answer in the next request of the turn.
    pub opaque: Option<Opaque>,
}

/// What a model is asked: the conversation, the tools, the client's options.
#[derive(Debug)]
pub struct LlmRequest {
    /// The conversation up to the message to answer.
    pub window: Window,
    /// What the running turn has gathered so far, oldest first.
    pub rounds: Vec<Round>,
    /// The tools on offer.
    pub tools: Arc<ToolCatalogue>,
    /// Whether the model may, must or must not use them.
    pub tool_choice: ToolChoice,
    /// What the client set.
    pub options: Arc<CompletionOptions>,
    /// Whole, or in parts.
    pub delivery: Delivery,
    /// The end of the turn.
    pub deadline: Moment,
}

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In one piece.
    Whole,
    /// As it comes.
    Streamed,
}

/// The model's freedom to use tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// Not at all: it has to answer.
    None,
    /// This function first.
    Function(Arc<str>),
}

/// What is known of an LLM without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LlmStatus {
    /// It can be asked.
    Ready,
    /// It can be asked, but at least one backend behind it is failing.
    Degraded {
        /// The first failing backend's configured name.
        backend: Arc<str>,
    },
    /// It has no credentials.
    Unconfigured {
        /// What the operator has to set, in a sentence.
        remedy: Arc<str>,
    },
}

/// What a caller does about a failure: whether asking the same backend again can help, whether another one can, and
/// what a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LlmErrorKind {
    /// Credentials or credit: another backend may have its own.
    Auth,
    /// The backend does not know the model or the path.
    NotFound,
    /// Too many requests. Again, after a pause.
    RateLimited,
    /// The backend could not take it just now but is in order. Again.
    Busy,
    /// Connection refused or lost, or the backend is broken. Again.
    Unavailable,
    /// No answer in time. Not again: the time is gone.
    Timeout,
    /// An answer that makes no sense, or is empty.
    InvalidResponse,
    /// The backend understood and refuses: nobody else would do better.
    Rejected,
}

impl LlmErrorKind {
    /// Whether the same backend may be asked once more.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Busy | Self::Unavailable)
    }

    /// Whether it speaks against the backend's health, so that its circuit breaker counts it.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout)
    }

    /// The word clients are told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::NotFound | Self::Busy | Self::Unavailable => "unavailable",
            Self::InvalidResponse => "invalid_response",
            Self::Rejected => "rejected",
        }
    }
}

/// A failed LLM call. Its text says what failed and never quotes a key, a URL or what the backend wrote.
#[derive(Debug, Error)]
#[error("LLM call failed ({})", kind.as_str())]
pub struct LlmError {
    /// What can be done about it.
    pub kind: LlmErrorKind,
    /// How long the backend asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The cause, for the log; it holds no secret.
    #[source]
    pub source: Option<BoxError>,
}

impl LlmError {
    /// A failure of this kind for this cause.
    pub fn new(kind: LlmErrorKind, source: impl Into<BoxError>) -> Self {
        Self { kind, retry_after: None, source: Some(source.into()) }
    }

    /// The same, with the backend's wish to be left alone.
    #[must_use]
    pub fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }
}

impl From<LlmErrorKind> for LlmError {
    fn from(kind: LlmErrorKind) -> Self {
        Self { kind, retry_after: None, source: None }
    }
}

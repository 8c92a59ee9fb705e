//! What is said: [`Message`], and the tool [`Round`]s that led to it.

mod usage;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

pub use self::usage::Usage;
use crate::{json::Text, time::Timestamp};

/// Who speaks. Tool results are no messages: they belong to the [`Round`]s of the answer they led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The operator's prompt. Archived with a session, never part of its memory.
    System,
    /// The client.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The role's name on every wire and in every store.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// A message's identity: a UUID of version 7, so that ids sort by time. It is what makes archiving idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub Uuid);

/// One thing said in a session. It owns what led to it: it counts once against a memory limit, is trimmed whole, and
/// so can never leave a tool result without its call.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Identity, across memory, spool and archive.
    pub id: MessageId,
    /// Creation time, strictly increasing within a session.
    pub at: Timestamp,
    /// Who said it.
    pub role: Role,
    /// What was said; never empty.
    pub content: Text,
    /// Why the model stopped; none for what a client said.
    pub finish: Option<FinishReason>,
    /// What few messages have; boxed so that the many stay small.
    pub extra: Option<Box<Extra>>,
}

impl Message {
    /// A message as a client or an operator writes it: with nothing that led to it.
    pub fn said(id: MessageId, at: Timestamp, role: Role, content: impl Into<Text>) -> Self {
        Self { id, at, role, content: content.into(), finish: None, extra: None }
    }

    /// The tool rounds that led to this message, oldest first.
    pub fn rounds(&self) -> &[Round] {
        self.extra.as_deref().map_or(&[], |extra| &extra.rounds)
    }

    /// Servers whose tools were missing when this was answered.
    pub fn unavailable_servers(&self) -> &[Arc<str>] {
        self.extra.as_deref().map_or(&[], |extra| &extra.unavailable_servers)
    }
}

/// The parts of a message that few messages have.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extra {
    /// The tool rounds that led to the message, oldest first.
    pub rounds: Vec<Round>,
    /// Tool servers that were down during the turn.
    pub unavailable_servers: Vec<Arc<str>>,
}

/// Why a model stopped, in the words of the OpenAI API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// It had said all.
    Stop,
    /// `max_tokens` or the context's end.
    Length,
    /// It wants tools.
    ToolCalls,
    /// A filter cut the answer.
    ContentFilter,
    /// Any other word, passed on as it is.
    Other(Box<str>),
}

impl FinishReason {
    /// The word as backends and clients know it.
    pub fn as_str(&self) -> &str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
            FinishReason::ContentFilter => "content_filter",
            FinishReason::Other(word) => word,
        }
    }
}

impl From<&str> for FinishReason {
    fn from(word: &str) -> Self {
        match word {
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            "tool_calls" => FinishReason::ToolCalls,
            "content_filter" => FinishReason::ContentFilter,
            other => FinishReason::Other(other.into()),
        }
    }
}

/// A tool call as the model asked for it: not yet known to be sensible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's name for this call, unique within its round.
    pub id: Box<str>,
    /// The function's name as the model wrote it.
    pub name: Box<str>,
    /// The arguments as the model wrote them: meant to be a JSON object, possibly broken.
    pub arguments: Box<str>,
}

/// What came of a tool call: text for the model, an error as much as a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutcome {
    /// What the model is shown.
    pub content: Box<str>,
    /// Whether the tool, or the way to it, failed.
    pub is_error: bool,
}

impl ToolOutcome {
    /// A success with this text.
    pub fn ok(content: impl Into<Box<str>>) -> Self {
        Self { content: content.into(), is_error: false }
    }

    /// A failure the model is told of in these words.
    pub fn error(content: impl Into<Box<str>>) -> Self {
        Self { content: content.into(), is_error: true }
    }
}

/// A tool call with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedCall {
    /// What the model asked for.
    pub call: ToolCall,
    /// The server that was asked; empty if no such tool is known.
    pub server: Arc<str>,
    /// The tool's own name on that server; the model's word for it if it is unknown.
    pub tool: Arc<str>,
    /// What the model is shown for it.
    pub outcome: ToolOutcome,
    /// How long it took.
    pub took: Duration,
}

/// One answer of the model that asked for tools, with what they gave: closed by construction, every call has its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// What the model said besides asking.
    pub text: Box<str>,
    /// The calls, in the order in which the model asked for them.
    pub calls: Vec<FinishedCall>,
    /// What the backend wants back with this answer and nobody else reads (OpenRouter's `reasoning_details`).
    pub opaque: Option<Opaque>,
}

/// JSON that is kept and returned, never read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Opaque(pub Arc<RawValue>);

impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_message_is_small() {
        // The promise of 4 KiB for ten messages of 150 bytes rests on this.
        assert!(size_of::<Message>() <= 88, "{} bytes", size_of::<Message>());
    }
}

//! The API's bodies: what clients send (`Body`) and what they get.
//!
//! What they get is only described here; `views` writes it from borrowed data. The spec's tests hold the two
//! together.

use std::collections::HashMap;

use chat_domain::{
    json::{self, Foreign},
    message::Role,
    session::{MemoryLimit, Metadata},
};
use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use uuid::Uuid;

use super::json::{Body, Members, reason};

/// A JSON object whose members are nobody's business but the client's.
pub type AnyObject = HashMap<String, Value>;

// What clients send.

/// A new session.
#[derive(Debug, Object)]
#[oai(rename = "NewSession")]
pub struct CreateSessionBody {
    /// How many messages the session remembers. Default: `MEMORY_DEFAULT`; at most `MEMORY_MAX`.
    #[oai(validator(minimum(value = "1")))]
    pub memory_limit: Option<u64>,
    /// Anything the client wants to find again with the session: at most 16 KiB of JSON.
    pub metadata: Option<AnyObject>,
    #[oai(skip)]
    checked_metadata: Metadata,
}

impl CreateSessionBody {
    /// The metadata, checked.
    pub fn into_metadata(self) -> Metadata {
        self.checked_metadata
    }
}

impl Body for CreateSessionBody {
    const REQUIRED: bool = false;

    fn read(members: &mut Members<'_>) -> Self {
        let memory_limit = read_memory_limit(members);
        let metadata = members.get::<Foreign<Map<String, Value>>>("metadata", "a JSON object");
        let metadata = metadata.map(|Foreign(metadata)| metadata).unwrap_or_default();
        let checked_metadata = Metadata::new(metadata).unwrap_or_else(|error| {
            members.wrong(
                "metadata",
                format!("Input should not exceed {} bytes of JSON, this takes {}", Metadata::MAX_BYTES, error.actual),
            );
            Metadata::default()
        });
        Self { memory_limit, metadata: None, checked_metadata }
    }
}

/// A message to answer.
#[derive(Debug, Object)]
#[oai(rename = "NewMessage")]
pub struct PostMessageBody {
    /// What is said.
    #[oai(validator(min_length = 1))]
    pub content: String,
    /// Who says it. Default: `user`.
    pub role: Option<ClientRole>,
    /// How many messages this turn sees and leaves behind. Default: the session's; at most `MEMORY_MAX`.
    #[oai(validator(minimum(value = "1")))]
    pub memory_limit: Option<u64>,
    /// What is asked of the model: `model`, `temperature`, `max_tokens` and others of the OpenAI and OpenRouter APIs,
    /// passed on as they are, and `tool_name`, a tool to call first. Unknown ones are refused.
    pub options: Option<AnyObject>,
    #[oai(skip)]
    checked_options: Vec<(String, Box<RawValue>)>,
}

/// Who may speak through the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub enum ClientRole {
    /// The person.
    User,
    /// The model, as the client remembers it.
    Assistant,
}

impl From<ClientRole> for Role {
    fn from(role: ClientRole) -> Self {
        match role {
            ClientRole::User => Role::User,
            ClientRole::Assistant => Role::Assistant,
        }
    }
}

impl PostMessageBody {
    /// The options, as they were written.
    pub fn take_options(&mut self) -> Vec<(String, Box<RawValue>)> {
        std::mem::take(&mut self.checked_options)
    }
}

impl Body for PostMessageBody {
    fn read(members: &mut Members<'_>) -> Self {
        let content = match (members.raw("content").is_some(), members.get::<String>("content", "a valid string")) {
            (true, Some(content)) => {
                if content.is_empty() {
                    members.wrong("content", "String should have at least 1 character");
                }
                content
            }
            (true, None) => String::new(),
            (false, _) => {
                members.wrong("content", "Field required");
                String::new()
            }
        };
        let role = members.get::<String>("role", "a valid string").and_then(|role| match role.as_str() {
            "user" => Some(ClientRole::User),
            "assistant" => Some(ClientRole::Assistant),
            _ => {
                members.wrong("role", "Input should be 'user' or 'assistant'");
                None
            }
        });
        let memory_limit = read_memory_limit(members);
        let checked_options = members.get::<Members<'_>>("options", "a JSON object of at most 1000 members, each once");
        let checked_options = checked_options.map(Members::into_owned).unwrap_or_default();
        // What is passed on unread still has to be sound: a lone surrogate is JSON's grammar, but no text.
        for (name, value) in &checked_options {
            if let Err(error) = json::parse::<Value>(value.get()) {
                let reason = reason(&error, "valid JSON of Unicode text and finite numbers");
                members.wrong(format!("options.{name}"), reason);
            }
        }
        Self { content, role, memory_limit, options: None, checked_options }
    }
}

fn read_memory_limit(members: &mut Members<'_>) -> Option<u64> {
    let raw = members.raw("memory_limit")?;
    // A whole number too large for us is above every maximum; one below zero is below every minimum.
    let is_integer = raw.get().strip_prefix('-').unwrap_or(raw.get()).bytes().all(|byte| byte.is_ascii_digit());
    let limit = match (is_integer, raw.get().starts_with('-')) {
        (false, _) => {
            members.wrong("memory_limit", "Input should be a valid integer");
            return None;
        }
        (true, true) => 0,
        (true, false) => raw.get().parse().unwrap_or(u64::MAX),
    };
    if limit == 0 {
        members.wrong("memory_limit", "Input should be greater than or equal to 1");
    }
    Some(limit)
}

/// A memory limit as the domain has it; above what it can count, the number that was asked for.
///
/// # Errors
/// When it is more than any maximum can be.
pub fn memory_limit(requested: Option<u64>) -> Result<Option<MemoryLimit>, u64> {
    requested.map(|limit| u32::try_from(limit).ok().and_then(MemoryLimit::new).ok_or(limit)).transpose()
}

// What they get.

/// An address or a network to put on the bypass list.
#[derive(Debug, Object)]
#[oai(rename = "NewBypass")]
pub struct BypassBody {
    /// An IP address, or a network like `10.0.0.0/8`.
    pub ip: String,
}

impl Body for BypassBody {
    fn read(members: &mut Members<'_>) -> Self {
        if members.raw("ip").is_none() {
            members.wrong("ip", "Field required");
        }
        Self { ip: members.get("ip", "a valid string").unwrap_or_default() }
    }
}

/// An address or a network of the bypass list.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Bypass")]
pub struct BypassEntry {
    /// In its one form: IPv6 compressed, IPv4 mapped into IPv6 as IPv4, a network without host bits.
    pub ip: String,
}

/// That the service is there.
#[derive(Debug, Object, Serialize)]
pub struct Status {
    /// `ok`.
    pub status: String,
}

/// A session.
#[derive(Debug, Object)]
#[oai(rename = "Session")]
pub struct SessionSchema {
    /// Its identity: whoever knows it can speak in the session.
    pub id: Uuid,
    /// How many messages it remembers.
    #[oai(validator(minimum(value = "1")))]
    pub memory_limit: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The client's own notes.
    pub metadata: AnyObject,
}

/// A session with its memory.
#[derive(Debug, Object)]
#[oai(rename = "SessionWithHistory")]
pub struct SessionWithHistorySchema {
    /// Its identity.
    pub id: Uuid,
    /// How many messages it remembers.
    #[oai(validator(minimum(value = "1")))]
    pub memory_limit: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The client's own notes.
    pub metadata: AnyObject,
    /// The memory, oldest first.
    pub history: Vec<MessageSchema>,
}

/// Something said.
#[derive(Debug, Object)]
#[oai(rename = "Message")]
pub struct MessageSchema {
    /// Who said it.
    pub role: ClientRole,
    /// What was said.
    pub content: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// How an answer came about.
    pub metadata: Option<MessageMetadataSchema>,
}

/// How an answer came about.
#[derive(Debug, Object)]
#[oai(rename = "MessageMetadata")]
pub struct MessageMetadataSchema {
    /// Why the model stopped: `stop`, `length`, `content_filter` or what the backend says.
    #[oai(skip_serializing_if_is_none)]
    pub finish_reason: Option<String>,
    /// The tools that ran for it, in order.
    #[oai(skip_serializing_if_is_none)]
    pub tool_calls: Option<Vec<ToolCallSchema>>,
    /// Tool servers that were down.
    #[oai(skip_serializing_if_is_none)]
    pub unavailable_servers: Option<Vec<String>>,
}

/// A tool that ran.
#[derive(Debug, Object)]
#[oai(rename = "ToolCall")]
pub struct ToolCallSchema {
    /// The server that has it.
    pub server: String,
    /// Its name.
    pub tool: String,
    /// What it was given: an object, or the model's text if that was none.
    pub arguments: Value,
    /// Whether it failed.
    pub is_error: bool,
    /// How long it took.
    pub duration_ms: u64,
}

/// An answer.
#[derive(Debug, Object)]
#[oai(rename = "Turn")]
pub struct TurnSchema {
    /// Its session.
    pub session_id: Uuid,
    /// The answer.
    pub message: MessageSchema,
    /// What the backend reports to have used, summed over the turn; null if it reports nothing.
    pub usage: Option<AnyObject>,
    /// The memory after the turn, oldest first.
    pub history: Vec<MessageSchema>,
}

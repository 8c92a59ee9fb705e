//! What clients get, written straight from the domain's shared messages.
//!
//! A turn's answer repeats up to a memory of messages. It is written by hand into one buffer of the right size: through
//! serde it would be the most expensive thing that a turn does here. What is rare (tool calls) serde writes.

use std::sync::Arc;

use chat_domain::{
    chat::TurnOutcome,
    json::{self, write_str},
    message::{FinishReason, Message, Role},
    session::{MemoryLimit, Metadata, Session, SessionId},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// [`super::dto::SessionSchema`], written.
#[derive(Serialize)]
pub(super) struct SessionView<'a> {
    id: SessionId,
    memory_limit: MemoryLimit,
    created_at: Timestamp,
    metadata: &'a Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Box<RawValue>>,
}

impl<'a> SessionView<'a> {
    /// A session alone.
    pub(super) fn new(session: &'a Session) -> Self {
        let Session { id, memory_limit, created_at, metadata, .. } = session;
        Self { id: *id, memory_limit: *memory_limit, created_at: *created_at, metadata, history: None }
    }

    /// A session with its memory.
    pub(super) fn with_history(session: &'a Session, memory: &[Arc<Message>]) -> Self {
        let history = String::from_utf8(messages(memory)).ok().and_then(|json| RawValue::from_string(json).ok());
        Self { history, ..Self::new(session) }
    }
}

/// What a message takes besides its content, about: its keys, its time, its metadata.
const MESSAGE_FRAME: usize = 128;

/// Messages as clients see them: without the operator's.
pub(super) fn messages(memory: &[Arc<Message>]) -> Vec<u8> {
    let mut json = Vec::with_capacity(size(memory));
    write_messages(&mut json, memory);
    json
}

/// [`super::dto::TurnSchema`], written behind what `json` already holds.
pub(super) fn write_turn(json: &mut Vec<u8>, outcome: &TurnOutcome) {
    let TurnOutcome { session, message, usage, history } = outcome;
    json.reserve(size(history) + message.content.len() + 2 * MESSAGE_FRAME);
    json.extend_from_slice(b"{\"session_id\":\"");
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    json.extend_from_slice(session.0.hyphenated().encode_lower(&mut id).as_bytes());
    json.extend_from_slice(b"\",\"message\":");
    write_message(json, message);
    json.extend_from_slice(b",\"usage\":");
    write_value(json, usage);
    json.extend_from_slice(b",\"history\":");
    write_messages(json, history);
    json.push(b'}');
}

fn size(messages: &[Arc<Message>]) -> usize {
    messages.iter().map(|message| message.content.len() + MESSAGE_FRAME).sum::<usize>() + 2
}

fn write_messages(json: &mut Vec<u8>, messages: &[Arc<Message>]) {
    json.push(b'[');
    for (index, message) in messages.iter().filter(|message| message.role != Role::System).enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_message(json, message);
    }
    json.push(b']');
}

fn write_message(json: &mut Vec<u8>, message: &Message) {
    json.extend_from_slice(match message.role {
        Role::System => br#"{"role":"system","content":"#,
        Role::User => br#"{"role":"user","content":"#,
        Role::Assistant => br#"{"role":"assistant","content":"#,
    });
    message.content.write(json);
    json.extend_from_slice(b",\"created_at\":\"");
    json.extend_from_slice(&message.at.to_ascii());
    json.extend_from_slice(b"\",\"metadata\":");
    match (&message.finish, &message.extra) {
        (None, None) => json.extend_from_slice(b"null}"),
        // The reason that almost every answer has.
        (Some(FinishReason::Stop), None) => json.extend_from_slice(br#"{"finish_reason":"stop"}}"#),
        (Some(finish), None) => {
            json.extend_from_slice(b"{\"finish_reason\":");
            write_str(json, finish.as_str());
            json.extend_from_slice(b"}}");
        }
        (_, Some(_)) => {
            write_value(json, &MetadataView::of(message));
            json.push(b'}');
        }
    }
}

fn write_value(json: &mut Vec<u8>, value: &impl Serialize) {
    // Writing to a Vec cannot fail, and our values have string keys.
    let _ = serde_json::to_writer(json, value);
}

#[derive(Serialize)]
struct MetadataView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallView<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unavailable_servers: &'a [Arc<str>],
}

impl<'a> MetadataView<'a> {
    fn of(message: &'a Message) -> Self {
        let calls = message.rounds().iter().flat_map(|round| &round.calls).map(|finished| ToolCallView {
            server: &finished.server,
            tool: &finished.tool,
            arguments: arguments(&finished.call.arguments),
            is_error: finished.outcome.is_error,
            duration_ms: finished.took.as_millis().try_into().unwrap_or(u64::MAX),
        });
        Self {
            finish_reason: message.finish.as_ref().map(|reason| reason.as_str()),
            tool_calls: calls.collect(),
            unavailable_servers: message.unavailable_servers(),
        }
    }
}

#[derive(Serialize)]
struct ToolCallView<'a> {
    server: &'a str,
    tool: &'a str,
    arguments: Box<RawValue>,
    is_error: bool,
    duration_ms: u64,
}

/// A call's arguments as JSON: as the model wrote them, on one line; what is no JSON as a string.
pub(super) fn arguments(text: &str) -> Box<RawValue> {
    let text = text.trim();
    let value = match json::parse::<Value>(if text.is_empty() { "{}" } else { text }) {
        Ok(value) => value,
        Err(_) => Value::String(text.to_owned()),
    };
    to_raw_value(&value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_domain::message::{Extra, FinishedCall, MessageId, Round, ToolCall, ToolOutcome, Usage};
    use serde_json::json;
    use std::time::Duration;
    use uuid::Uuid;

    fn said(role: Role, content: &str) -> Message {
        Message::said(MessageId(Uuid::nil()), Timestamp::from_millis(1_763_805_600_007), role, content)
    }

    #[test]
    fn arguments_with_a_reserved_name_are_shown_as_the_text_they_are() {
        for text in
            [r#"{"$serde_json::private::RawValue":"[1]"}"#, r#"{"a":[{"\u0024serde_json::private::RawValue":"[1]"}]}"#]
        {
            assert_eq!(arguments(text).get(), json!(text).to_string());
        }
    }

    #[test]
    fn a_turn_reads_as_it_is_described() {
        let call = |arguments: &str, is_error| FinishedCall {
            call: ToolCall { id: "c".into(), name: "fs_read".into(), arguments: arguments.into() },
            server: "fs".into(),
            tool: "read".into(),
            outcome: ToolOutcome { content: "not for clients".into(), is_error },
            took: Duration::from_millis(12),
        };
        let rounds = vec![Round {
            text: "".into(),
            calls: vec![call("{\"path\": \"/a\\nb\"}", false), call("{broken", true), call("", false)],
            opaque: None,
        }];
        let mut answer = said(Role::Assistant, "line\nend \u{1F600} \"quoted\"");
        answer.finish = Some(FinishReason::Other("a\"b".into()));
        let plain = Arc::new(answer.clone());
        answer.extra = Some(Box::new(Extra { rounds, unavailable_servers: vec!["down".into()] }));
        let answer = Arc::new(answer);
        let memory =
            vec![Arc::new(said(Role::System, "secret")), Arc::new(said(Role::User, "hi")), plain, answer.clone()];
        let usage: Usage = serde_json::from_value(json!({"prompt_tokens": 1})).expect("an object");
        let outcome =
            TurnOutcome { session: SessionId(Uuid::nil()), message: answer, usage: Some(usage), history: memory };

        let mut written = b"data: ".to_vec();
        write_turn(&mut written, &outcome);
        assert!(!written.contains(&b'\n'), "an event's data is one line");
        let turn: Value = serde_json::from_slice(&written[6..]).expect("JSON");

        let at = "2025-11-22T10:00:00.007Z";
        let (content, short) = ("line\nend \u{1F600} \"quoted\"", json!({"finish_reason": "a\"b"}));
        let tool = |arguments: Value, is_error: bool| json!({"server": "fs", "tool": "read", "arguments": arguments, "is_error": is_error, "duration_ms": 12});
        let calls = [tool(json!({"path": "/a\nb"}), false), tool(json!("{broken"), true), tool(json!({}), false)];
        let long = json!({"finish_reason": "a\"b", "tool_calls": calls, "unavailable_servers": ["down"]});
        let message = |role: &str, content: &str, metadata: &Value| json!({"role": role, "content": content, "created_at": at, "metadata": metadata});
        let history = [
            message("user", "hi", &Value::Null),
            message("assistant", content, &short),
            message("assistant", content, &long),
        ];
        let expected = json!({"session_id": Uuid::nil(), "message": history[2], "usage": {"prompt_tokens": 1}, "history": history});
        assert_eq!(turn, expected);
    }
}

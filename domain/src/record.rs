//! The one form in which a message is stored as JSON: in Redis's memory and history and in the spool.
//!
//! It extends the Python service's `{"role","content","created_at"}`: those records are read, absent keys stay absent,
//! unknown ones are ignored.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{
    message::{Extra, FinishReason, FinishedCall, Message, MessageId, Opaque, Role, Round, ToolCall, ToolOutcome},
    time::Timestamp,
};

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// Absent in the Python service's records: the nil id, which equals no message of ours.
    #[serde(default, skip_serializing_if = "is_nil")]
    id: Uuid,
    role: Role,
    #[serde(borrow)]
    content: Cow<'a, str>,
    created_at: Timestamp,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "no_items")]
    rounds: Cow<'a, [RoundRecord]>,
    #[serde(default, skip_serializing_if = "no_items")]
    unavailable_servers: Cow<'a, [Arc<str>]>,
}

#[derive(Serialize, Deserialize, Clone)]
struct RoundRecord {
    text: Box<str>,
    calls: Vec<CallRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opaque: Option<Opaque>,
}

#[derive(Serialize, Deserialize, Clone)]
struct CallRecord {
    id: Box<str>,
    name: Box<str>,
    arguments: Box<str>,
    server: Arc<str>,
    tool: Arc<str>,
    result: Box<str>,
    is_error: bool,
    duration_ms: u64,
}

fn is_nil(id: &Uuid) -> bool {
    id.is_nil()
}

fn no_items<T>(items: &[T]) -> bool {
    items.is_empty()
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record {
            id: self.id.0,
            role: self.role,
            content: Cow::Borrowed(&self.content),
            created_at: self.at,
            finish_reason: self.finish.as_ref().map(|reason| Cow::Borrowed(reason.as_str())),
            rounds: Cow::Owned(self.rounds().iter().map(RoundRecord::from).collect()),
            unavailable_servers: Cow::Borrowed(self.unavailable_servers()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = Record::deserialize(deserializer)?;
        let rounds: Vec<Round> = record.rounds.into_owned().into_iter().map(Round::from).collect();
        let unavailable_servers = record.unavailable_servers.into_owned();
        let has_extra = !rounds.is_empty() || !unavailable_servers.is_empty();
        Ok(Message {
            id: MessageId(record.id),
            at: record.created_at,
            role: record.role,
            content: record.content.into(),
            finish: record.finish_reason.map(|word| FinishReason::from(&*word)),
            extra: has_extra.then(|| Box::new(Extra { rounds, unavailable_servers })),
        })
    }
}

impl From<&Round> for RoundRecord {
    fn from(round: &Round) -> Self {
        let calls = round.calls.iter().map(|finished| CallRecord {
            id: finished.call.id.clone(),
            name: finished.call.name.clone(),
            arguments: finished.call.arguments.clone(),
            server: finished.server.clone(),
            tool: finished.tool.clone(),
            result: finished.outcome.content.clone(),
            is_error: finished.outcome.is_error,
            duration_ms: finished.took.as_millis().try_into().unwrap_or(u64::MAX),
        });
        Self { text: round.text.clone(), calls: calls.collect(), opaque: round.opaque.clone() }
    }
}

impl From<RoundRecord> for Round {
    fn from(record: RoundRecord) -> Self {
        let calls = record.calls.into_iter().map(|call| FinishedCall {
            call: ToolCall { id: call.id, name: call.name, arguments: call.arguments },
            server: call.server,
            tool: call.tool,
            outcome: ToolOutcome { content: call.result, is_error: call.is_error },
            took: Duration::from_millis(call.duration_ms),
        });
        Self { text: record.text, calls: calls.collect(), opaque: record.opaque }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    #[test]
    fn reads_the_python_services_records() {
        let json = r#"{"role": "user", "content": "سلام \ud83d\ude00", "created_at": "2024-05-01T09:00:00.123456+00:00", "x": 1}"#;
        let message: Message = serde_json::from_str(json).expect("a record");
        assert_eq!((&*message.content, message.role), ("سلام 😀", Role::User));
        assert_eq!(message.at.to_string(), "2024-05-01T09:00:00.123Z");
        let ours = r#"{"role":"user","content":"سلام 😀","created_at":"2024-05-01T09:00:00.123Z"}"#;
        assert_eq!(serde_json::to_string(&message).expect("JSON"), ours);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for json in [
            "{}",
            "[]",
            r#"{"role":"tool","content":"","created_at":"2024-05-01T09:00:00Z"}"#,
            r#"{"role":"user","content":"","created_at":"then"}"#,
        ] {
            assert!(serde_json::from_str::<Message>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_message_survives_its_record(content in ".*", millis in 0i64..4_000_000_000_000, arguments in ".*", result in ".*", reason in "[a-z_]{1,12}", rounds in 0usize..3) {
            let round = Round {
                text: "thinking".into(),
                calls: vec![FinishedCall {
                    call: ToolCall { id: "c1".into(), name: "s_t".into(), arguments: arguments.as_str().into() },
                    server: "s".into(),
                    tool: "t".into(),
                    outcome: ToolOutcome::error(result),
                    took: Duration::from_millis(12),
                }],
                opaque: Some(Opaque(RawValue::from_string(r#"[{"a":1.50}]"#.into()).expect("JSON").into())),
            };
            let extra = Extra { rounds: vec![round; rounds], unavailable_servers: vec!["down".into()] };
            let message = Message {
                id: MessageId(Uuid::from_u128(7)),
                at: Timestamp::from_millis(millis),
                role: Role::Assistant,
                content: content.into(),
                finish: Some(FinishReason::from(reason.as_str())),
                extra: Some(Box::new(extra)),
            };
            let json = serde_json::to_string(&message).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Message>(&json).expect("a record"), message);
        }
    }
}

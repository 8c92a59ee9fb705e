//! What is stored of a session and of a message, and how that of the Python service is read.

use std::borrow::Cow;

use chat_domain::{
    message::Message,
    ports::history::{ArchivedMessage, ArchivedSession},
    session::{MemoryLimit, Metadata, Session, SessionId},
    time::Timestamp,
};
use fred::types::Value;
use serde::Deserialize;

use crate::error::Error;

/// The fields of a session's hash.
pub(super) const FIELDS: [&str; 5] = ["provider", "fallback_provider", "memory_limit", "created_at", "metadata"];

/// What is told of a session whose record says nothing of its memory.
const MEMORY_LIMIT: u32 = 10;

/// A session's fields and their values; the prompt and the owner are not archived with it.
pub(super) fn session(session: &Session, provider: &str) -> [(&'static str, String); 5] {
    [
        ("provider", provider.to_owned()),
        ("id", session.id.to_string()),
        ("memory_limit", session.memory_limit.get().to_string()),
        ("created_at", session.created_at.to_string()),
        ("metadata", session.metadata.as_json().to_owned()),
    ]
}

/// A session of its fields, in the order of [`FIELDS`]; none if there is no such session.
pub(super) fn read_session(id: SessionId, fields: &Value) -> Option<ArchivedSession> {
    let Value::Array(fields) = fields else { return None };
    let field = |at: usize| fields.get(at).and_then(Value::as_str).filter(|text| !text.is_empty() && text != "null");
    let created_at = time(&field(3)?)?;
    let memory_limit = field(2).and_then(|limit| limit.parse().ok()).and_then(MemoryLimit::new);
    let session = Session {
        id,
        owner: None,
        memory_limit: memory_limit.or_else(|| MemoryLimit::new(MEMORY_LIMIT))?,
        created_at,
        // One that is too large for us, or no JSON, is no reason to hide the session.
        metadata: field(4).and_then(|text| serde_json::from_str::<Metadata>(&text).ok()).unwrap_or_default(),
        system_prompt: None,
    };
    let name = |at| field(at).map(|name| name.into());
    Some(ArchivedSession { session, provider: name(0), fallback_provider: name(1) })
}

/// When a session was made, as its record says.
pub(super) fn created_at(stored: &Value) -> Option<Timestamp> {
    time(&stored.as_str()?)
}

/// A message's one stored form, and when it was stored.
pub(super) fn message(message: &Message, stored_at: Timestamp) -> Result<String, serde_json::Error> {
    let record = serde_json::to_string(message)?;
    // Put in as text: a detour through a value would not leave raw JSON as it is.
    let members = record.strip_prefix('{').unwrap_or_default();
    Ok(format!(r#"{{"stored_at":"{stored_at}",{members}"#))
}

/// What messages are sorted by, and whether they are shown: read of each, however many are asked for.
#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(default)]
    pub(super) id: uuid::Uuid,
    #[serde(borrow)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(default, borrow)]
    stored_at: Option<Cow<'a, str>>,
}

impl<'a> Head<'a> {
    pub(super) fn read(stored: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(stored).ok()
    }

    pub(super) fn at(&self) -> Option<Timestamp> {
        time(&self.created_at)
    }
}

/// A message of its stored form.
pub(super) fn read_message(stored: &[u8]) -> Result<ArchivedMessage, Error> {
    let unreadable = Error::Unreadable("a message");
    let head = Head::read(stored).ok_or_else(|| unreadable.clone())?;
    let message: Message = match serde_json::from_slice(stored) {
        Ok(message) => message,
        // A time without its offset, or with a space in it.
        Err(_) => {
            let mut record: serde_json::Value = serde_json::from_slice(stored).map_err(|_| unreadable.clone())?;
            record["created_at"] = head.at().ok_or_else(|| unreadable.clone())?.to_string().into();
            let record = record.to_string();
            serde_json::from_str(&record).map_err(|_| unreadable)?
        }
    };
    let stored_at = head.stored_at.as_deref().and_then(time).unwrap_or(message.at);
    Ok(ArchivedMessage { message, stored_at })
}

/// A time as the Python service wrote it: RFC 3339, or without its offset, which then is UTC's.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| format!("{}Z", text.replacen(' ', "T", 1)).parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_domain::testing::samples::{THEN, full_message};

    #[test]
    fn a_message_comes_back_whole() {
        let said = full_message(3);
        let stored_at = Timestamp::from_millis(THEN + 9);
        let stored = message(&said, stored_at).expect("JSON");
        let read = read_message(stored.as_bytes()).expect("a message");
        assert_eq!((read.message, read.stored_at), (Message::clone(&said), stored_at));
    }

    #[test]
    fn times_of_every_kind_are_read() {
        let expected: Timestamp = "2024-05-01T09:00:00.123Z".parse().expect("a time");
        for text in [
            "2024-05-01T09:00:00.123456+00:00",
            "2024-05-01T12:30:00.123456+03:30",
            "2024-05-01T09:00:00.123456",
            "2024-05-01 09:00:00.123456",
            "2024-05-01T09:00:00.123Z",
        ] {
            assert_eq!(time(text), Some(expected), "{text}");
        }
        assert_eq!(time("then"), None);
        let stored = r#"{"role": "user", "content": "\u0633", "created_at": "2024-05-01T09:00:00.123456"}"#;
        let read = read_message(stored.as_bytes()).expect("a message");
        assert_eq!((&*read.message.content, read.message.at, read.stored_at), ("س", expected, expected));
    }
}

//! What is stored of a session and of a message, and how that of the Python service is read.

use std::borrow::Cow;

use chat_domain::{
    message::{Message, MessageId, Role},
    ports::history::{ArchivedMessage, ArchivedSession},
    session::{MemoryLimit, Metadata, Session, SessionId},
    time::Timestamp,
};
use fred::types::Value as Answer;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// The fields of a session's hash.
pub(super) const FIELDS: [&str; 5] = ["provider", "fallback_provider", "memory_limit", "created_at", "metadata"];

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
pub(super) fn read_session(id: SessionId, fields: &Answer) -> Option<ArchivedSession> {
    let Answer::Array(fields) = fields else { return None };
    let field = |at: usize| fields.get(at).and_then(Answer::as_str).filter(|text| !text.is_empty() && text != "null");
    let created_at = Timestamp::parse_lenient(&field(3)?)?;
    let session = Session {
        id,
        owner: None,
        memory_limit: MemoryLimit::of_record(field(2).and_then(|limit| limit.parse().ok())),
        created_at,
        // One that is too large for us, or no JSON, is no reason to hide the session.
        metadata: field(4).and_then(|text| serde_json::from_str::<Metadata>(&text).ok()).unwrap_or_default(),
        system_prompt: None,
    };
    let name = |at| field(at).map(|name| name.into());
    Some(ArchivedSession { session, provider: name(0), fallback_provider: name(1) })
}

/// When a session was made, as its record says.
pub(super) fn created_at(stored: &Answer) -> Option<Timestamp> {
    Timestamp::parse_lenient(&stored.as_str()?)
}

/// A message's one stored form, and when it was stored.
pub(super) fn message(message: &Message, stored_at: Timestamp) -> Result<String, serde_json::Error> {
    let record = serde_json::to_string(message)?;
    // Put in as text: a detour through a value would not leave raw JSON as it is.
    let members = record.strip_prefix('{').unwrap_or_default();
    Ok(format!(r#"{{"stored_at":"{stored_at}",{members}"#))
}

/// What messages are sorted by, and all that is shown of them: read of each, however many are asked for.
pub(super) struct Stored<'a> {
    pub(super) at: Timestamp,
    /// Nil if it has none that is one: others of its kind are told apart by their place.
    pub(super) id: Uuid,
    /// Who said it; none for what is not shown.
    pub(super) role: Option<Role>,
    record: Shown<'a>,
    whole: &'a [u8],
}

#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(default)]
    stored_at: Value,
}

impl<'a> Stored<'a> {
    /// A message of its stored form; none if that has not what is shown of one.
    pub(super) fn read(whole: &'a [u8]) -> Option<Self> {
        let record: Shown<'a> = serde_json::from_slice(whole).ok()?;
        let id = record.id.as_str().and_then(|id| id.parse().ok()).unwrap_or_default();
        let role = [Role::User, Role::Assistant].into_iter().find(|role| role.as_str() == record.role);
        Some(Self { at: Timestamp::parse_lenient(&record.created_at)?, id, role, record, whole })
    }

    /// With all that belongs to it, if it is of our own making; none for what is not shown.
    fn message(self) -> Option<ArchivedMessage> {
        let Self { at, id, role, record, whole } = self;
        let role = role?;
        let plain = || Message::said(MessageId(id), at, role, &*record.content);
        let message = serde_json::from_slice(whole).unwrap_or_else(|_| plain());
        let stored_at = record.stored_at.as_str().and_then(Timestamp::parse_lenient).unwrap_or(at);
        Some(ArchivedMessage { message, stored_at })
    }
}

/// What is shown of a stored message; none if there is nothing.
pub(super) fn read_message(stored: &[u8]) -> Option<ArchivedMessage> {
    Stored::read(stored)?.message()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_domain::testing::samples::{THEN, full_message};

    fn read_message(stored: &str) -> ArchivedMessage {
        super::read_message(stored.as_bytes()).expect("a message that is shown")
    }

    #[test]
    fn a_message_is_read_for_what_is_shown_of_it() {
        let base = r#""content": "said", "created_at": "2024-05-01T09:00:00Z""#;
        for odd in [r#""id": null"#, r#""id": "7""#, r#""id": 7"#, r#""rounds": 7"#, r#""stored_at": 5"#, r#""x": {}"#]
        {
            let read = read_message(&format!(r#"{{"role": "user", {odd}, {base}}}"#));
            assert_eq!((&*read.message.content, read.message.id.0), ("said", Uuid::nil()), "{odd}");
            assert_eq!(read.stored_at, read.message.at, "{odd}");
        }
        for (role, content) in [(r#""user""#, "null"), (r#""user""#, "7"), ("null", r#""said""#)] {
            let stored = format!(r#"{{"role": {role}, "content": {content}, "created_at": "2024-05-01T09:00:00Z"}}"#);
            assert!(Stored::read(stored.as_bytes()).is_none(), "{stored}");
        }
        for role in ["system", "tool", "developer", ""] {
            let stored = format!(r#"{{"role": "{role}", {base}}}"#);
            assert_eq!(Stored::read(stored.as_bytes()).expect("a message").role, None);
        }
    }

    #[test]
    fn a_message_comes_back_whole() {
        let said = full_message(3);
        let stored_at = Timestamp::from_millis(THEN + 9);
        let stored = message(&said, stored_at).expect("JSON");
        let read = read_message(&stored);
        assert_eq!((read.message, read.stored_at), (Message::clone(&said), stored_at));
    }

    #[test]
    fn a_message_of_the_python_service_is_read() {
        let stored = r#"{"role": "user", "content": "\u0633", "created_at": "2024-05-01 09:00:00.123456"}"#;
        let read = read_message(stored);
        let expected: Timestamp = "2024-05-01T09:00:00.123Z".parse().expect("a time");
        assert_eq!((&*read.message.content, read.message.at, read.stored_at), ("س", expected, expected));
    }

    #[test]
    fn a_session_is_read_whatever_its_memory_is() {
        for (limit, expected) in [("12", 12), ("0", 1), ("-3", 1), ("9999999999", u32::MAX), ("", 10), ("many", 10)] {
            let fields = ["", "", limit, "2024-05-01T09:00:00", ""].map(Answer::from).to_vec();
            let read = read_session(SessionId(Uuid::nil()), &Answer::Array(fields)).expect("a session");
            assert_eq!(read.session.memory_limit.get(), expected, "{limit}");
        }
    }
}

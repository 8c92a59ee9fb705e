//! Sessions and messages as documents, also as the Python service or somebody's hand wrote them.

use chat_domain::{
    message::{Message, MessageId, Role},
    ports::history::{ArchivedMessage, ArchivedSession},
    session::{MemoryLimit, Metadata, Session, SessionId},
    time::Timestamp,
};
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

/// Metadata that nests deeper is stored as text: documents end at 100 levels.
const DEEPEST: usize = 60;

pub(crate) fn session_document(namespace: &str, provider: &str, session: &Session) -> Document {
    doc! {
        "namespace": namespace,
        "id": session.id.to_string(),
        "provider": provider,
        "fallback_provider": Bson::Null,
        "memory_limit": i64::from(session.memory_limit.get()),
        "created_at": date(session.created_at),
        "metadata": stored_metadata(&session.metadata),
    }
}

pub(crate) fn message_document(namespace: &str, session: &str, message: &Message, now: Timestamp) -> Document {
    doc! {
        "namespace": namespace,
        "session_id": session,
        "message_id": message.id.0.to_string(),
        "role": message.role.as_str(),
        "content": &*message.content,
        "created_at": date(message.at),
        "stored_at": date(now),
    }
}

pub(crate) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millis())
}

/// None if it has no id or no time.
pub(crate) fn read_session(document: Document) -> Option<ArchivedSession> {
    let text = |member| document.get_str(member).ok().map(Box::from);
    Some(ArchivedSession {
        session: Session {
            id: SessionId(document.get_str("id").ok()?.parse().ok()?),
            owner: None,
            memory_limit: MemoryLimit::of_record(document.get("memory_limit").and_then(number)),
            created_at: time(document.get("created_at"))?,
            metadata: document.get("metadata").map(metadata).unwrap_or_default(),
            system_prompt: None,
        },
        provider: text("provider"),
        fallback_provider: text("fallback_provider"),
    })
}

/// None if it has no content or no time.
pub(crate) fn read_message(document: Document) -> Option<ArchivedMessage> {
    let at = time(document.get("created_at"))?;
    // The Python service gave messages no identity: the nil id equals none of ours.
    let id = document.get_str("message_id").ok().and_then(|id| id.parse().ok()).unwrap_or(Uuid::nil());
    // No other roles are asked for.
    let is_answer = document.get_str("role").is_ok_and(|role| role == Role::Assistant.as_str());
    let role = if is_answer { Role::Assistant } else { Role::User };
    Some(ArchivedMessage {
        message: Message::said(MessageId(id), at, role, document.get_str("content").ok()?),
        stored_at: time(document.get("stored_at")).unwrap_or(at),
    })
}

/// A date, or the text of one: in UTC unless it says otherwise.
fn time(value: Option<&Bson>) -> Option<Timestamp> {
    match value? {
        Bson::DateTime(date) => Some(Timestamp::from_millis(date.timestamp_millis())),
        Bson::String(text) => Timestamp::parse_lenient(text),
        _ => None,
    }
}

/// A number, of whichever type: servers and shells give one or the other.
pub(crate) fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

/// Metadata as a document, or, where a document could not hold it as it is, its JSON as text.
fn stored_metadata(metadata: &Metadata) -> Bson {
    let json = metadata.as_json();
    let document = serde_json::from_str(json).ok().and_then(|value| to_bson(&value, DEEPEST));
    document.unwrap_or_else(|| Bson::from(json))
}

fn to_bson(value: &Value, levels: usize) -> Option<Bson> {
    let levels = levels.checked_sub(1)?;
    Some(match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32),
            // One that is too large for an integer would not come back as it went.
            None if number.is_u64() => return None,
            None => Bson::Double(number.as_f64()?),
        },
        Value::String(text) => Bson::from(text.as_str()),
        Value::Array(items) => Bson::Array(items.iter().map(|item| to_bson(item, levels)).collect::<Option<_>>()?),
        Value::Object(members) => {
            let mut document = Document::new();
            for (name, value) in members {
                // Some servers refuse such names, all refuse the last.
                if name.starts_with('$') || name.contains(['.', '\0']) {
                    return None;
                }
                document.insert(name, to_bson(value, levels)?);
            }
            Bson::Document(document)
        }
    })
}

/// Metadata from what is stored; none where that is no object, or one larger than metadata may be.
fn metadata(stored: &Bson) -> Metadata {
    match stored {
        Bson::String(json) => serde_json::from_str(json).unwrap_or_default(),
        Bson::Document(document) => Metadata::new(members(document)).unwrap_or_default(),
        _ => Metadata::default(),
    }
}

fn members(document: &Document) -> Map<String, Value> {
    document.iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
}

fn to_json(value: &Bson) -> Value {
    match value {
        Bson::Null => Value::Null,
        Bson::Boolean(value) => Value::Bool(*value),
        Bson::Int32(number) => Value::from(*number),
        Bson::Int64(number) => Value::from(*number),
        Bson::Double(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Bson::String(text) => Value::from(text.as_str()),
        Bson::Array(items) => items.iter().map(to_json).collect(),
        Bson::Document(document) => Value::Object(members(document)),
        Bson::DateTime(date) => Value::from(Timestamp::from_millis(date.timestamp_millis()).to_string()),
        // What JSON has no word for, as its shell writes it.
        other => Value::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back_as_it_went() {
        let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        for (json, is_document) in [
            (r#"{"a":[1,-2.5,9007199254740993,true,null,{"b":"\u0000é"}]}"#.to_owned(), true),
            ("{}".to_owned(), true),
            (deep(59), true),
            (deep(60), false),
            (deep(120), false),
            (r#"{"$set":1}"#.to_owned(), false),
            (r#"{"a":{"b.c":1}}"#.to_owned(), false),
            (r#"{"a\u0000":1}"#.to_owned(), false),
            (r#"{"n":18446744073709551615}"#.to_owned(), false),
        ] {
            let given: Metadata = serde_json::from_str(&json).expect("metadata");
            let stored = stored_metadata(&given);
            assert_eq!(matches!(stored, Bson::Document(_)), is_document, "{json}");
            let (given, read): (Value, Value) = (
                serde_json::from_str(given.as_json()).expect("JSON"),
                serde_json::from_str(metadata(&stored).as_json()).expect("JSON"),
            );
            assert_eq!(read, given);
        }
        for odd in [Bson::Null, Bson::from("{"), Bson::from(7), Bson::Array(vec![])] {
            assert_eq!(metadata(&odd), Metadata::default());
        }
    }

    #[test]
    fn times_are_read_whatever_they_are() {
        let read = |value: Bson| time(Some(&value)).map(|time| time.to_string());
        let expected = Some("2024-05-01T09:00:00.123Z".to_owned());
        assert_eq!(read(DateTime::from_millis(1_714_554_000_123).into()), expected);
        assert_eq!(read("2024-05-01T12:30:00.123456+03:30".into()), expected);
        assert_eq!(read("2024-05-01 09:00:00.123456".into()), expected);
        assert_eq!((read("then".into()), read(7.into())), (None, None));
    }

    #[test]
    fn numbers_are_read_of_every_type() {
        let read = |value: Bson| number(&value);
        assert_eq!([read(7_i32.into()), read(7_i64.into()), read(7.0.into())], [Some(7); 3]);
        assert_eq!([read(Bson::Null), read("7".into())], [None; 2]);
    }
}

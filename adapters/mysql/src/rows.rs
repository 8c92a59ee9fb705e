//! What is read from the tables, also where the Python service or somebody's hand wrote it.

use chat_domain::{
    json::parse,
    message::{Message, MessageId, Role},
    ports::history::{ArchivedMessage, ArchivedSession},
    session::{MemoryLimit, Metadata, Session, SessionId},
    time::Timestamp,
};
use chrono::NaiveDateTime;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Datetime, Nullable, Text},
};
use serde_json::Value;
use uuid::Uuid;

#[derive(QueryableByName)]
pub(crate) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(crate) n: i64,
}

/// How many bytes the server takes at a time, over this connection and over a new one.
#[derive(QueryableByName)]
pub(crate) struct Packets {
    #[diesel(sql_type = BigInt)]
    pub(crate) here: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) anew: i64,
}

#[derive(QueryableByName)]
pub(crate) struct SessionRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    provider: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    fallback_provider: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    memory_limit: Option<i64>,
    #[diesel(sql_type = Datetime)]
    created_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Text>)]
    metadata: Option<String>,
}

#[derive(QueryableByName)]
pub(crate) struct MessageRow {
    #[diesel(sql_type = Nullable<Text>)]
    message_id: Option<String>,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    content: String,
    #[diesel(sql_type = Datetime)]
    created_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Datetime>)]
    stored_at: Option<NaiveDateTime>,
}

impl SessionRow {
    /// None if its id is none.
    pub(crate) fn read(self) -> Option<ArchivedSession> {
        let session = Session {
            id: SessionId(self.id.parse().ok()?),
            owner: None,
            memory_limit: MemoryLimit::of_record(self.memory_limit),
            created_at: self.created_at.and_utc().into(),
            metadata: self.metadata.as_deref().map(metadata).unwrap_or_default(),
            system_prompt: None,
        };
        Some(ArchivedSession {
            session,
            provider: self.provider.map(String::into_boxed_str),
            fallback_provider: self.fallback_provider.map(String::into_boxed_str),
        })
    }
}

impl MessageRow {
    pub(crate) fn read(self) -> ArchivedMessage {
        let at: Timestamp = self.created_at.and_utc().into();
        // The Python service gave messages no identity: the nil id equals none of ours.
        let id = self.message_id.and_then(|id| id.parse().ok()).unwrap_or(Uuid::nil());
        // No other roles are asked for.
        let role = if self.role == Role::Assistant.as_str() { Role::Assistant } else { Role::User };
        ArchivedMessage {
            message: Message::said(MessageId(id), at, role, self.content),
            stored_at: self.stored_at.map_or(at, |time| time.and_utc().into()),
        }
    }
}

/// MariaDB takes no JSON that nests deeper than 32 levels.
const DEEPEST: usize = 30;

/// Metadata as it is stored: JSON, or, where a database would refuse that, a JSON string with it.
pub(crate) fn stored_metadata(metadata: &Metadata) -> String {
    let json = metadata.as_json();
    match parse::<Value>(json) {
        Ok(value) if depth(&value) <= DEEPEST => json.to_owned(),
        _ => Value::from(json).to_string(),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Metadata from what is stored; none where that is no JSON object, or one larger than metadata may be.
fn metadata(stored: &str) -> Metadata {
    let read = serde_json::from_str(stored);
    read.or_else(|_| serde_json::from_str(&serde_json::from_str::<String>(stored)?)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    #[test]
    fn metadata_is_read_whatever_it_is() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60));
        for json in [r#"{"a":[1,{"b":"\u0000é"}]}"#, "{}", &deep] {
            let given: Metadata = serde_json::from_str(json).expect("metadata");
            let stored = stored_metadata(&given);
            assert_eq!(metadata(&stored), given);
            assert!(depth(&serde_json::from_str(&stored).expect("JSON")) <= DEEPEST);
        }
        // What cannot be read here is a text for the database, whatever it is.
        let mark = chat_domain::json::RESERVED_NAME;
        let hidden =
            Map::from_iter([("a".to_owned(), Value::Object(Map::from_iter([(mark.to_owned(), "[]".into())])))]);
        let stored = stored_metadata(&Metadata::new(hidden).expect("small"));
        assert!(stored.starts_with('"') && serde_json::from_str::<String>(&stored).is_ok(), "{stored}");
        for broken in ["", "{", "null", "[1]", "7", "\"text\"", "{'a': 1}"] {
            assert_eq!(metadata(broken), Metadata::default(), "{broken}");
        }
    }
}

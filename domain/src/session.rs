//! A conversation: [`Session`], and the values it is made of, valid by construction.

use std::{fmt, num::NonZeroU32, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, value::RawValue};
use thiserror::Error;
use uuid::Uuid;

use crate::{json::Foreign, time::Timestamp};

/// A session's identity. The id is all that a client needs to speak in a session, so it is a random UUID (version 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The SHA-256 of a client's API key: the key itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// All of it, in hexadecimal.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A prefix in hexadecimal that is long enough to tell keys apart in a log and short enough to read.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// How many messages a session remembers: at least 1. That it is not above the configured maximum is checked where one
/// is made, by [`MemoryLimits::resolve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryLimit(NonZeroU32);

impl MemoryLimit {
    /// A limit of `messages`; none if that is 0.
    pub fn new(messages: u32) -> Option<Self> {
        NonZeroU32::new(messages).map(Self)
    }

    /// A limit as a record of a session has it, that others may have written: the nearest to its number; 10 where it has
    /// none, as of a session that asked for nothing.
    pub fn of_record(messages: Option<i64>) -> Self {
        let nearest = messages.unwrap_or(10).clamp(1, i64::from(u32::MAX)) as u32;
        Self(NonZeroU32::new(nearest).unwrap_or(NonZeroU32::MIN))
    }

    /// The number of messages.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The number of messages, to count with.
    pub fn as_usize(self) -> usize {
        self.0.get() as usize
    }
}

/// The configured bounds of [`MemoryLimit`]s.
#[derive(Debug, Clone, Copy)]
pub struct MemoryLimits {
    /// What a session gets that asks for nothing (`MEMORY_DEFAULT`).
    pub default: MemoryLimit,
    /// What a client may ask for at the most (`MEMORY_MAX`).
    pub max: MemoryLimit,
}

/// A memory limit above `MEMORY_MAX` was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("memory_limit {requested} exceeds the maximum of {maximum}")]
pub struct MemoryLimitTooLarge {
    /// What was asked for.
    pub requested: u32,
    /// What may be asked for.
    pub maximum: u32,
}

impl MemoryLimits {
    /// The limit that was asked for, else `otherwise`.
    ///
    /// # Errors
    /// When more than the maximum is asked for. `otherwise` was checked when it was made; if the maximum has been
    /// lowered since, it is lowered with it.
    pub fn resolve(
        &self,
        requested: Option<MemoryLimit>,
        otherwise: MemoryLimit,
    ) -> Result<MemoryLimit, MemoryLimitTooLarge> {
        match requested {
            Some(limit) if limit > self.max => {
                Err(MemoryLimitTooLarge { requested: limit.get(), maximum: self.max.get() })
            }
            Some(limit) => Ok(limit),
            None => Ok(otherwise.min(self.max)),
        }
    }
}

/// What a client wants to find again with its session: a JSON object of at most [`Metadata::MAX_BYTES`], which the
/// service keeps and never reads.
#[derive(Debug, Clone)]
pub struct Metadata(Option<Box<RawValue>>);

/// Metadata above [`Metadata::MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("metadata takes {actual} bytes of JSON; at most {} are kept", Metadata::MAX_BYTES)]
pub struct MetadataTooLarge {
    /// Its size as JSON, in bytes.
    pub actual: usize,
}

impl Metadata {
    /// 16 KiB: what is kept with every idle session must not be the way to fill the memory.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Metadata of these members.
    ///
    /// # Errors
    /// When it is too large.
    pub fn new(members: Map<String, Value>) -> Result<Self, MetadataTooLarge> {
        if members.is_empty() {
            return Ok(Self::default());
        }
        let text = Value::Object(members).to_string();
        if text.len() > Self::MAX_BYTES {
            return Err(MetadataTooLarge { actual: text.len() });
        }
        Ok(Self(RawValue::from_string(text).ok()))
    }

    /// The object as JSON text.
    pub fn as_json(&self) -> &str {
        self.0.as_deref().map_or("{}", RawValue::get)
    }
}

impl Default for Metadata {
    /// The empty object, which costs nothing to keep.
    fn default() -> Self {
        Self(None)
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(raw) => raw.serialize(serializer),
            None => serializer.collect_map(std::iter::empty::<((), ())>()),
        }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Option::<Foreign<Map<String, Value>>>::deserialize(deserializer)?;
        Self::new(members.map(|Foreign(members)| members).unwrap_or_default()).map_err(de::Error::custom)
    }
}

/// One conversation's fixed part. What changes (its memory, its turns) is the store's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Identity.
    pub id: SessionId,
    /// The client key that made it and alone may use it; none where the service asks for no keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<KeyHash>>,
    /// How many messages it remembers, unless a request says otherwise.
    pub memory_limit: MemoryLimit,
    /// When it was made.
    pub created_at: Timestamp,
    /// The client's own notes.
    #[serde(default)]
    pub metadata: Metadata,
    /// The operator's prompt as it was when the session was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<Arc<str>>,
}

/// On whose behalf a session is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A client: with the key it showed, or none where the service asks for no keys.
    Client(Option<KeyHash>),
    /// The operator, who may look at everything.
    Operator,
}

impl Caller {
    /// Whether this caller may know of the session.
    pub fn may_use(&self, session: &Session) -> bool {
        self.may_act_for(session.owner.as_deref())
    }

    /// Whether this caller may know of what belongs to this key, or to none.
    pub fn may_act_for(&self, owner: Option<&KeyHash>) -> bool {
        match self {
            Caller::Client(key) => owner == key.as_ref(),
            Caller::Operator => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(messages: u32) -> MemoryLimit {
        MemoryLimit::new(messages).expect("not zero")
    }

    #[test]
    fn memory_limits_resolve() {
        let limits = MemoryLimits { default: limit(10), max: limit(50) };
        assert_eq!(MemoryLimit::new(0), None);
        assert_eq!(limits.resolve(None, limit(7)), Ok(limit(7)));
        assert_eq!(limits.resolve(Some(limit(50)), limit(7)), Ok(limit(50)));
        assert_eq!(limits.resolve(Some(limit(51)), limit(7)), Err(MemoryLimitTooLarge { requested: 51, maximum: 50 }));
        // A session of before the maximum was lowered goes on within the new one.
        assert_eq!(limits.resolve(None, limit(80)), Ok(limit(50)));
    }

    #[test]
    fn memory_limits_are_read_whatever_they_are() {
        let read = |number| MemoryLimit::of_record(number).get();
        for (number, expected) in [(i64::MIN, 1), (-1, 1), (0, 1), (7, 7), (i64::MAX, u32::MAX)] {
            assert_eq!(read(Some(number)), expected);
        }
        assert_eq!(read(None), 10);
    }

    #[test]
    fn metadata_is_bounded_and_an_object() {
        let fits = format!(r#"{{"a":"{}"}}"#, "x".repeat(Metadata::MAX_BYTES - 8));
        assert_eq!(serde_json::from_str::<Metadata>(&fits).expect("fits").as_json(), fits);
        let too_large = format!(r#"{{"a":"{}"}}"#, "x".repeat(Metadata::MAX_BYTES - 7));
        assert!(serde_json::from_str::<Metadata>(&too_large).is_err());
        assert!(serde_json::from_str::<Metadata>("[]").is_err());
        assert_eq!(serde_json::from_str::<Metadata>("null").expect("null is absent").as_json(), "{}");
    }

    #[test]
    fn a_key_is_not_readable_from_its_hash_in_a_log() {
        assert_eq!(format!("{:?}", KeyHash([0xab; 32])), "abababababab");
    }
}

//! Sessions, messages and operations to test with.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use serde_json::{json, value::RawValue};
use uuid::Uuid;

use crate::{
    message::{Extra, FinishReason, FinishedCall, Message, MessageId, Opaque, Role, Round, ToolCall, ToolOutcome},
    ports::history::HistoryOp,
    session::{KeyHash, MemoryLimit, Metadata, Session, SessionId},
    time::Timestamp,
};

/// When most samples happen: 2026-11-22T10:00:00Z.
pub const THEN: i64 = 1_795_341_600_000;

/// An id that no other test has, in this process or another: suites run against shared servers. The hasher's keys are
/// the standard library's own randomness.
pub fn session_id() -> SessionId {
    let chance = || RandomState::new().hash_one(0u8).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&chance());
    bytes[8..].copy_from_slice(&chance());
    SessionId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// A message id, unique as [`session_id`]'s, whose time is `at`.
pub fn message_id(at: Timestamp) -> MessageId {
    let chance = session_id().0.into_bytes();
    let mut random = [0; 10];
    random.copy_from_slice(&chance[..10]);
    let millis = u64::try_from(at.as_millis()).unwrap_or_default();
    MessageId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// The memory limit of that many messages.
///
/// # Panics
/// If there are none.
pub fn limit(messages: u32) -> MemoryLimit {
    MemoryLimit::new(messages).expect("a limit is at least 1")
}

/// A key's hash made of one byte.
pub fn key(byte: u8) -> KeyHash {
    KeyHash([byte; 32])
}

/// A plain session of nobody in particular, made `millis` after [`THEN`].
pub fn session(millis: i64) -> Session {
    Session {
        id: session_id(),
        owner: None,
        memory_limit: limit(10),
        created_at: Timestamp::from_millis(THEN + millis),
        metadata: Metadata::default(),
        system_prompt: None,
    }
}

/// A session that has all a session can have, owned by [`key`]`(1)`.
pub fn full_session() -> Session {
    let metadata = json!({"user": "زهرا 😀", "nested": {"n": [1, 2.5, null, true]}});
    let serde_json::Value::Object(metadata) = metadata else { unreachable!("an object") };
    Session {
        owner: Some(Box::new(key(1))),
        memory_limit: limit(7),
        metadata: Metadata::new(metadata).expect("small metadata"),
        system_prompt: Some("You are 'kind' \"and\" \\ brief\n😀".into()),
        ..session(5)
    }
}

/// Something said `millis` after [`THEN`].
pub fn said(role: Role, content: &str, millis: i64) -> Arc<Message> {
    let at = Timestamp::from_millis(THEN + millis);
    Arc::new(Message::said(message_id(at), at, role, content))
}

/// The `n`th turn's messages: `q{n}` and `a{n}`.
pub fn turn(n: usize) -> Arc<[Arc<Message>]> {
    let millis = i64::try_from(n).unwrap_or_default() * 10 + 10;
    Arc::from([said(Role::User, &format!("q{n}"), millis), said(Role::Assistant, &format!("a{n}"), millis + 1)])
}

/// A message that has all a message can have.
pub fn full_message(millis: i64) -> Arc<Message> {
    let call = |id: &str, outcome| FinishedCall {
        call: ToolCall { id: id.into(), name: "s_find".into(), arguments: r#"{"q":"é\n"}"#.into() },
        server: "s".into(),
        tool: "find".into(),
        outcome,
        took: Duration::from_millis(12),
    };
    let opaque = RawValue::from_string(r#"[{"signature":"x","n":1.50}]"#.to_owned()).expect("JSON");
    let round = Round {
        text: "let me look".into(),
        calls: vec![call("c1", ToolOutcome::ok("found 😀")), call("c2", ToolOutcome::error("no"))],
        opaque: Some(Opaque(opaque.into())),
    };
    let mut message = Message::clone(&said(Role::Assistant, "سلام 😀 \u{0} '\"\\ <b>", millis));
    message.finish = Some(FinishReason::Other("weird".into()));
    message.extra = Some(Box::new(Extra { rounds: vec![round], unavailable_servers: vec!["down".into()] }));
    Arc::new(message)
}

/// The contents of messages.
pub fn contents(messages: &[Arc<Message>]) -> Vec<&str> {
    messages.iter().map(|message| &*message.content).collect()
}

/// Archives a session with its prompt.
pub fn open(session: &Arc<Session>) -> HistoryOp {
    let prompt = session.system_prompt.as_deref();
    let prompt = prompt
        .map(|text| Arc::new(Message::said(message_id(session.created_at), session.created_at, Role::System, text)));
    HistoryOp::Open { session: session.clone(), prompt }
}

/// Archives messages.
pub fn record(session: &Arc<Session>, messages: &[Arc<Message>]) -> HistoryOp {
    HistoryOp::Record { session: session.clone(), messages: messages.to_vec() }
}

/// Forgets a session.
pub fn forget(session: &Arc<Session>) -> HistoryOp {
    HistoryOp::Forget { session: session.id, is_known: true }
}

/// The nil id, which no message of ours has.
pub const NOBODY: MessageId = MessageId(Uuid::nil());

//! Whatever clients say comes back as it was said.

use std::sync::Arc;

use chat_domain::{
    message::{Message, Role},
    ports::{
        history::{HistoryStore, SessionQuery},
        sessions::SessionStore,
    },
    session::{Metadata, Session},
    testing::samples::{full_message, limit, record, said, session},
};
use serde_json::json;

use crate::scene::{ANYBODY, fresh, open, prefix, sessions};

fn texts() -> Vec<String> {
    vec![
        "سلام 😀👩‍👩‍👧 می\u{200c}خواهم \u{202e}abc\u{202c} \u{200f}!".into(),
        "\u{0}\u{1}\u{7f}\u{feff}\u{2028}'\"\\\r\n\t{}{{x}}".into(),
        " ".into(),
        "Ä😀".repeat(180_000),
    ]
}

#[tokio::test]
async fn every_content_survives_memory_and_archive() {
    let redis = fresh().await;
    let (store, history) = (sessions(&redis), redis.history(&prefix(), "test"));
    let serde_json::Value::Object(metadata) = json!({
        "نام": "زهرا\u{200c} 😀\u{0}", "deep": {"n": [1, 2.5, -0.0, null, true, u64::MAX]}, "long": "x".repeat(15_000),
    }) else {
        unreachable!("an object")
    };
    let metadata = Metadata::new(metadata).expect("small metadata");
    let session = Arc::new(Session { metadata, system_prompt: Some(texts()[0].as_str().into()), ..session(0) });
    store.create(session.clone()).await.expect("a session is created");
    let mut messages: Vec<Arc<Message>> = Vec::new();
    for (n, text) in texts().iter().enumerate() {
        messages.push(said(Role::User, text, 10 * n as i64));
        messages.push(said(Role::Assistant, text, 10 * n as i64 + 1));
    }
    messages.push(full_message(900));
    let opened = open(&store, session.id).await;
    opened.ticket.commit(Arc::from(messages.as_slice()), limit(100)).await.expect("a commit");
    let read = store.read(session.id, &ANYBODY).await.expect("an answer").expect("the session");
    assert_eq!(read.session, session);
    assert!(read.memory == messages, "a message has changed");

    history.apply(&record(&session, &messages)).await.expect("archived");
    let page = history.messages(session.id, 0, 200).await.expect("an answer").expect("the session");
    let archived: Vec<_> = page.items.into_iter().map(|archived| Arc::new(archived.message)).collect();
    assert!(archived == messages, "an archived message has changed");
    let listed = history.sessions(&SessionQuery { limit: 10, ..SessionQuery::default() }).await.expect("an answer");
    assert_eq!(listed.items[0].session.metadata, session.metadata);
}

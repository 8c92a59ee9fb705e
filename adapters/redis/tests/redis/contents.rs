//! Whatever clients say comes back as it was said, and what cannot be read hides nothing else.

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
use chat_test_support::RedisServer;
use serde_json::json;

use crate::scene::{ANYBODY, create, fresh, open, prefix, sessions, store};

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

#[tokio::test]
async fn a_session_that_cannot_be_read_hides_no_other() {
    let (server, prefix) = (RedisServer::shared(), prefix());
    let store = store(&server.url(), &prefix).await;
    let ids = [create(&store).await.id, create(&store).await.id, create(&store).await.id];
    let key = |at: usize| format!("{prefix}:s:{{{}}}:h", ids[at]);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let stored = server.cli(&["HGET", &key(0), "s"]);
    let (head, _) = stored.split_once(r#""metadata":"#).expect("metadata");
    server.cli(&["HSET", &key(0), "s", &format!(r#"{head}"metadata":{deep}}}"#)]);
    server.cli(&["HSET", &key(2), "s", "no session"]);
    let (listed, total) = store.list(0, 10).await.expect("a list");
    assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(total, 3, "all of them are there");
    for unreadable in [ids[0], ids[2]] {
        assert!(store.read(unreadable, &ANYBODY).await.is_err());
    }
}

//! Collections that the Python service made and filled, and goes on using.

use std::sync::Arc;

use chat_domain::{
    message::Role,
    ports::history::{HistoryStore, SessionQuery},
    session::{Metadata, SessionId},
    testing::samples::{forget, full_session, open as opening, said, turn},
    time::Timestamp,
};
use mongodb::{
    Database, IndexModel,
    bson::{Bson, DateTime, Document, doc},
    options::IndexOptions,
};
use uuid::Uuid;

use crate::scene::{ALL, config, contents, keep, messages, open, sessions, stranger};

const ONE: &str = "7b0b8a4e-16c1-4c0e-9f34-0a3f5b1f6a01";
const TWO: &str = "7b0b8a4e-16c1-4c0e-9f34-0a3f5b1f6a02";
/// 2024-05-01T09:00:00Z.
const THEN: i64 = 1_714_554_000_000;

fn at(millis: i64) -> DateTime {
    DateTime::from_millis(THEN + millis)
}

fn message(namespace: &str, role: &str, content: &str, millis: i64) -> Document {
    doc! {
        "namespace": namespace, "session_id": ONE, "role": role, "content": content,
        "created_at": at(millis), "stored_at": at(millis + 750),
    }
}

/// Two sessions, the older one with messages of all kinds, and its indexes, named as its driver names them.
async fn fill(database: &Database) {
    let sessions = database.collection::<Document>("chat_sessions");
    let messages = database.collection::<Document>("chat_messages");
    let unique = IndexOptions::builder().unique(true).build();
    let index = IndexModel::builder().keys(doc! {"namespace": 1, "id": 1}).options(unique).build();
    sessions.create_index(index).await.expect("an index");
    let index = IndexModel::builder().keys(doc! {"namespace": 1, "session_id": 1}).build();
    messages.create_index(index).await.expect("an index");
    sessions
        .insert_many([
            doc! {
                "namespace": "chat_history", "id": ONE, "provider": "openrouter", "fallback_provider": "unconfigured",
                "memory_limit": 12, "created_at": at(123), "metadata": {"user": "زهرا", "n": [1, 2.5, Bson::Null]},
            },
            doc! {
                "namespace": "chat_history", "id": TWO, "provider": "openrouter", "fallback_provider": Bson::Null,
                "memory_limit": 0, "created_at": at(124), "metadata": Bson::Null,
            },
            doc! {
                "namespace": "other", "id": ONE, "provider": "openrouter", "memory_limit": 1, "created_at": at(0),
                "metadata": {},
            },
        ])
        .await
        .expect("inserted");
    messages
        .insert_many([
            message("chat_history", "system", "be brief", 0),
            message("chat_history", "user", "سلام 😀", 1500),
            message("chat_history", "assistant", "a1", 1500),
            message("chat_history", "tool", "a result", 2000),
            message("other", "user", "somebody else", 1000),
        ])
        .await
        .expect("inserted");
}

fn id(text: &str) -> SessionId {
    text.parse().expect("an id")
}

#[tokio::test]
async fn what_it_wrote_is_read() {
    let config = config();
    fill(&stranger(&config).await).await;
    let history = open(config);

    let page = sessions(&history, &ALL).await;
    assert_eq!((page.total, page.items.len()), (2, 2));
    let [two, one] = &page.items[..] else { panic!("two sessions") };
    assert_eq!((one.session.id, two.session.id), (id(ONE), id(TWO)));
    assert_eq!((one.provider.as_deref(), one.fallback_provider.as_deref()), (Some("openrouter"), Some("unconfigured")));
    assert_eq!(one.session.created_at.to_string(), "2024-05-01T09:00:00.123Z");
    assert_eq!(one.session.memory_limit.get(), 12);
    let metadata: serde_json::Value = serde_json::from_str(one.session.metadata.as_json()).expect("JSON");
    assert_eq!(metadata, serde_json::json!({"user": "زهرا", "n": [1, 2.5, null]}));
    assert_eq!((two.session.memory_limit.get(), &two.session.metadata), (1, &Metadata::default()));

    let page = messages(&history, id(ONE)).await;
    assert_eq!(page.total, 2);
    let said: Vec<_> = page.items.iter().map(|archived| (archived.message.role, &*archived.message.content)).collect();
    assert_eq!(said, [(Role::User, "سلام 😀"), (Role::Assistant, "a1")]);
    let first = &page.items[0];
    assert_eq!(first.message.at.to_string(), "2024-05-01T09:00:01.500Z");
    assert_eq!(first.stored_at.to_string(), "2024-05-01T09:00:02.250Z");
    assert_eq!(first.message.id.0, Uuid::nil());

    let since = Some(Timestamp::from_millis(THEN + 124));
    assert_eq!(sessions(&history, &SessionQuery { from: since, ..ALL }).await.total, 1);
}

#[tokio::test]
async fn both_go_on_in_one_session() {
    let config = config();
    let database = stranger(&config).await;
    fill(&database).await;
    let history = open(config);
    let mut session = full_session();
    session.id = id(ONE);
    let session = Arc::new(session);
    let ours = turn(1);
    for _ in 0..2 {
        keep(&history, &session, &ours).await;
    }
    // It knows nothing of our member, and its messages have no identity: two of them are two.
    let its = database.collection::<Document>("chat_messages");
    for _ in 0..2 {
        its.insert_one(message("chat_history", "user", "again", 100_000_000_000)).await.expect("inserted");
    }
    assert_eq!(contents(&history, session.id).await, ["سلام 😀", "a1", "q1", "a1", "again", "again"]);
    // Its session was there first.
    let list = sessions(&history, &ALL).await;
    assert_eq!(list.items[1].provider.as_deref(), Some("openrouter"));
    assert_eq!(list.items[1].session.memory_limit.get(), 12);

    assert!(history.apply(&forget(&session)).await.expect("forgotten"));
    assert_eq!(its.count_documents(doc! {"namespace": "chat_history"}).await.expect("a number"), 0);
    assert_eq!(its.count_documents(doc! {"namespace": "other"}).await.expect("a number"), 1);
}

#[tokio::test]
async fn it_reads_what_we_wrote() {
    let config = config();
    let database = stranger(&config).await;
    let history = open(config);
    let session = Arc::new(full_session());
    history.apply(&opening(&session)).await.expect("archived");
    keep(&history, &session, &[said(Role::User, "سلام 😀", 1500)]).await;
    let sessions = database.collection::<Document>("chat_sessions");
    let mut found = sessions.find_one(doc! {}).await.expect("an answer").expect("a session");
    found.remove("_id");
    let metadata = doc! {"user": "زهرا 😀", "nested": {"n": [1, 2.5, Bson::Null, true]}};
    let expected = doc! {
        "namespace": "chat_history", "id": session.id.to_string(), "provider": "mcp-agent",
        "fallback_provider": Bson::Null, "memory_limit": 7_i64,
        "created_at": DateTime::from_millis(session.created_at.as_millis()),
    };
    let is_same = found.remove("metadata").and_then(|found| {
        let found = found.as_document()?.clone();
        Some(found.get("user") == metadata.get("user") && found.get("nested") == metadata.get("nested"))
    });
    assert_eq!((found, is_same), (expected, Some(true)));
    let messages = database.collection::<Document>("chat_messages");
    let found = messages.find_one(doc! {"role": "user"}).await.expect("an answer").expect("a message");
    let members: Vec<_> = found.keys().map(String::as_str).filter(|member| *member != "_id").collect();
    let expected = ["namespace", "session_id", "message_id", "role", "content", "created_at", "stored_at"];
    assert_eq!(members, expected);
    assert_eq!(found.get_str("content").expect("text"), "سلام 😀");
    assert!(found.get_datetime("created_at").is_ok() && found.get_datetime("stored_at").is_ok());
}

#[tokio::test]
async fn documents_that_are_odd_do_not_break_the_list() {
    let config = config();
    let database = stranger(&config).await;
    let odd = |id: &str, created_at: Bson, metadata: Bson| {
        doc! {"namespace": "chat_history", "id": id, "created_at": created_at, "metadata": metadata}
    };
    let text = || Uuid::from_u128(rand()).to_string();
    let documents = [
        odd(&text(), at(0).into(), Bson::from("{broken")),
        odd(&text(), at(1).into(), Bson::Array(vec![Bson::from(1)])),
        odd(&text(), at(2).into(), Bson::from(doc! {"a": "x".repeat(20_000)})),
        odd(&text(), Bson::from("2024-05-01T09:00:00.123456"), Bson::Null),
        odd(&text(), Bson::from("2024-05-01T09:00:00.123456+00:00"), Bson::from(at(0))),
        // Of these nothing can be shown.
        odd("no id", at(3).into(), Bson::Null),
        odd(&text(), Bson::Null, Bson::Null),
    ];
    database.collection::<Document>("chat_sessions").insert_many(documents).await.expect("inserted");
    let history = open(config);
    let page = sessions(&history, &ALL).await;
    assert_eq!(page.items.len(), 5);
    assert!(page.items.iter().all(|archived| archived.session.metadata == Metadata::default()));
    // They do not say how much is remembered.
    assert!(page.items.iter().all(|archived| archived.session.memory_limit.get() == 10));
    assert_eq!(page.items[4].session.created_at.to_string(), "2024-05-01T09:00:00.123Z");
}

fn rand() -> u128 {
    chat_domain::testing::samples::session_id().0.as_u128()
}

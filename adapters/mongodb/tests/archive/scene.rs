//! Archives to test with, and short words for what is done with them.

use std::sync::Arc;

use chat_domain::{
    message::Message,
    ports::{
        Clock,
        history::{ArchivedMessage, ArchivedSession, HistoryError, HistoryStore, Page, SessionQuery},
    },
    session::{Session, SessionId},
    testing::samples::record,
};
use chat_local::system::SystemClock;
use chat_mongodb::{MongoDbConfig, MongoDbHistory};
use chat_test_support::MongoDb;
use mongodb::{Client, Database};
use secrecy::ExposeSecret;

pub(crate) const ALL: SessionQuery = SessionQuery { from: None, until: None, offset: 0, limit: 200 };

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// A database of its own in the shared server.
pub(crate) fn config() -> MongoDbConfig {
    config_of(MongoDb::shared())
}

pub(crate) fn config_of(server: &MongoDb) -> MongoDbConfig {
    MongoDbConfig {
        uri: server.uri().into(),
        database: server.database(),
        session_collection: "chat_sessions".to_owned(),
        message_collection: "chat_messages".to_owned(),
        namespace: "chat_history".to_owned(),
        provider: "mcp-agent".to_owned(),
    }
}

pub(crate) fn open(config: MongoDbConfig) -> MongoDbHistory {
    MongoDbHistory::new(config, clock()).expect("an archive")
}

/// The same database, as somebody else sees it.
pub(crate) async fn stranger(config: &MongoDbConfig) -> Database {
    let client = Client::with_uri_str(config.uri.expose_secret()).await.expect("a client");
    client.database(&config.database)
}

pub(crate) async fn keep(history: &MongoDbHistory, session: &Arc<Session>, messages: &[Arc<Message>]) {
    assert!(history.apply(&record(session, messages)).await.expect("archived"));
}

pub(crate) async fn sessions(history: &MongoDbHistory, query: &SessionQuery) -> Page<ArchivedSession> {
    history.sessions(query).await.expect("a list")
}

pub(crate) async fn messages(history: &MongoDbHistory, session: SessionId) -> Page<ArchivedMessage> {
    history.messages(session, 0, 200).await.expect("an answer").expect("the session")
}

pub(crate) async fn contents(history: &MongoDbHistory, session: SessionId) -> Vec<String> {
    messages(history, session).await.items.into_iter().map(|archived| archived.message.content.into()).collect()
}

/// Whether an error is for good, and its cause in words.
pub(crate) fn told(error: HistoryError) -> (bool, String) {
    match error {
        HistoryError::Permanent(source) => (true, source.to_string()),
        HistoryError::Unavailable(source) => (false, source.to_string()),
    }
}

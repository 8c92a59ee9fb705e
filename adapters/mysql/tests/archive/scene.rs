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
use chat_mysql::{MySqlConfig, MySqlHistory};
use chat_test_support::{MariaDb, mariadb::Database};
use mysql_async::{Conn, OptsBuilder};

pub(crate) const ALL: SessionQuery = SessionQuery { from: None, until: None, offset: 0, limit: 200 };

/// The tables as the Python service makes them.
pub(crate) const PYTHON_TABLES: &str = "
    CREATE TABLE chat_sessions (
        namespace VARCHAR(64) NOT NULL, id CHAR(36) NOT NULL, provider VARCHAR(255) NOT NULL,
        fallback_provider VARCHAR(255), memory_limit INT NOT NULL, created_at DATETIME(6) NOT NULL, metadata JSON,
        PRIMARY KEY (namespace, id)
    ) CHARACTER SET utf8mb4;
    CREATE TABLE chat_messages (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, namespace VARCHAR(64) NOT NULL,
        session_id CHAR(36) NOT NULL, role VARCHAR(32) NOT NULL, content LONGTEXT NOT NULL,
        created_at DATETIME(6) NOT NULL, stored_at DATETIME(6) NOT NULL, INDEX (namespace, session_id)
    ) CHARACTER SET utf8mb4;";

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// A user of the server who may do anything.
pub(crate) fn config(database: &Database<'_>) -> MySqlConfig {
    let server = database.server();
    MySqlConfig {
        host: server.host().to_owned(),
        port: server.port(),
        user: server.user().to_owned(),
        password: Some(server.password().into()),
        database: database.name().to_owned(),
        session_table: "chat_sessions".to_owned(),
        message_table: "chat_messages".to_owned(),
        namespace: "chat_history".to_owned(),
        provider: "mcp-agent".to_owned(),
    }
}

/// A new user, who may do this in the database.
pub(crate) fn restricted(database: &Database<'_>, user: &str, rights: &str) -> MySqlConfig {
    let user = format!("{user}_{}", database.name());
    let name = database.name();
    database.sql(&format!(
        "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT {rights} ON {name}.* TO '{user}'@'127.0.0.1';"
    ));
    MySqlConfig { user, password: Some("pw".into()), ..config(database) }
}

pub(crate) fn open(config: MySqlConfig) -> MySqlHistory {
    MySqlHistory::new(config, clock()).expect("an archive")
}

/// A connection of somebody else's.
pub(crate) async fn stranger(server: &MariaDb, database: &str) -> Conn {
    let options = OptsBuilder::default().ip_or_hostname(server.host()).tcp_port(server.port());
    let options = options.user(Some(server.user())).pass(Some(server.password())).db_name(Some(database));
    Conn::new(options.prefer_socket(false)).await.expect("a connection")
}

pub(crate) async fn keep(history: &MySqlHistory, session: &Arc<Session>, messages: &[Arc<Message>]) {
    assert!(history.apply(&record(session, messages)).await.expect("archived"));
}

pub(crate) async fn sessions(history: &MySqlHistory, query: &SessionQuery) -> Page<ArchivedSession> {
    history.sessions(query).await.expect("a list")
}

pub(crate) async fn messages(history: &MySqlHistory, session: SessionId) -> Page<ArchivedMessage> {
    history.messages(session, 0, 200).await.expect("an answer").expect("the session")
}

pub(crate) async fn contents(history: &MySqlHistory, session: SessionId) -> Vec<String> {
    messages(history, session).await.items.into_iter().map(|archived| archived.message.content.into()).collect()
}

/// Whether an error is for good, and its cause in words.
pub(crate) fn told(error: HistoryError) -> (bool, String) {
    match error {
        HistoryError::Permanent(source) => (true, source.to_string()),
        HistoryError::Unavailable(source) => (false, source.to_string()),
    }
}

//! What the archive is built from: [`MySqlConfig`].

use secrecy::SecretString;
use thiserror::Error;

/// Which database, and where in it.
#[derive(Debug, Clone)]
pub struct MySqlConfig {
    /// The server's name or address (`HISTORY_MYSQL_HOST`).
    pub host: String,
    /// Its port (`HISTORY_MYSQL_PORT`).
    pub port: u16,
    /// Who we are to it (`HISTORY_MYSQL_USER`).
    pub user: String,
    /// The user's password, if there is one (`HISTORY_MYSQL_PASSWORD`).
    pub password: Option<SecretString>,
    /// The database (`HISTORY_MYSQL_DATABASE`). It has to be there.
    pub database: String,
    /// The table of sessions (`HISTORY_MYSQL_SESSION_TABLE`): 1 to 64 of `A–Z a–z 0–9 _ $`.
    pub session_table: String,
    /// The table of messages (`HISTORY_MYSQL_MESSAGE_TABLE`), named likewise.
    pub message_table: String,
    /// What keeps deployments in one database apart (`HISTORY_NAMESPACE`): 1 to 64 characters.
    pub namespace: String,
    /// What is written as a session's provider. The Python service expects one with every session it reads.
    pub provider: String,
}

/// Why no archive can be built from a configuration.
#[derive(Debug, Error)]
pub enum BuildError {
    /// A table's name would have to be escaped.
    #[error("{0:?} cannot be the name of a table: 1 to 64 letters, digits, underscores and dollar signs can")]
    TableName(String),
    /// Two tables would be one.
    #[error("the tables of the archive must have different names, and none may be {0}")]
    SameTable(String),
    /// It would not fit into its column.
    #[error("the namespace of the archive must have 1 to 64 characters")]
    Namespace,
    /// It would not fit into its column.
    #[error("the name of the provider may have 255 characters at the most")]
    Provider,
    /// The pool does not like its settings.
    #[error("no pool of connections can be made")]
    Pool(#[source] deadpool::managed::BuildError),
}

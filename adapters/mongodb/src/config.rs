//! What the archive is built from: [`MongoDbConfig`].

use mongodb::options::{Acknowledgment, ConnectionString};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// Which deployment, and where in it.
#[derive(Debug, Clone)]
pub struct MongoDbConfig {
    /// `mongodb://` or `mongodb+srv://`, with user, password and options (`HISTORY_MONGODB_URI`). TLS is one of these.
    pub uri: SecretString,
    /// The database (`HISTORY_MONGODB_DATABASE`).
    pub database: String,
    /// The collection of sessions (`HISTORY_MONGODB_SESSION_COLLECTION`).
    pub session_collection: String,
    /// The collection of messages (`HISTORY_MONGODB_MESSAGE_COLLECTION`).
    pub message_collection: String,
    /// What keeps deployments in one database apart (`HISTORY_NAMESPACE`).
    pub namespace: String,
    /// What is written as a session's provider. The Python service expects one with every session it reads.
    pub provider: String,
}

/// Why no archive can be built from a configuration. No text has anything of the URI: a mistake in it may well be that
/// a part of the password is taken for something else.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The URI is none, or has options that are none.
    #[error(
        "the MongoDB URI must be like mongodb://[USER:PASSWORD@]HOST[:PORT][,HOST…][/?OPTIONS] or mongodb+srv://…, with \
         special characters in user and password percent-encoded, and options that there are"
    )]
    Uri,
    /// Nobody would know what was written.
    #[error(
        "the MongoDB URI must not say w=0: what is archived has to be acknowledged (w=majority, or a number above 0)"
    )]
    Unacknowledged,
    /// MongoDB would not take the name.
    #[error("{0:?} cannot be the name of a MongoDB database")]
    Database(String),
    /// MongoDB would not take the name.
    #[error("{0:?} cannot be the name of a MongoDB collection")]
    Collection(String),
    /// Two collections would be one.
    #[error("the collections of the archive must have different names, and none may be {0}")]
    SameCollection(String),
    /// It must not be empty.
    #[error("the archive needs a namespace")]
    Namespace,
}

/// What is appended to the collection of sessions for the one of deleted sessions.
const FORGOTTEN: &str = "_forgotten";

impl MongoDbConfig {
    /// The collection of the ids of deleted sessions.
    pub(crate) fn forgotten_collection(&self) -> String {
        format!("{}{FORGOTTEN}", self.session_collection)
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let uri = ConnectionString::parse(self.uri.expose_secret()).map_err(|_| BuildError::Uri)?;
        if uri.write_concern.and_then(|concern| concern.w) == Some(Acknowledgment::Nodes(0)) {
            return Err(BuildError::Unacknowledged);
        }
        let database_fits = (1..=63).contains(&self.database.len())
            && !self.database.contains(['/', '\\', '.', '"', '$', '*', '<', '>', ':', '|', '?', ' ', '\0']);
        if !database_fits {
            return Err(BuildError::Database(self.database.clone()));
        }
        let forgotten = self.forgotten_collection();
        for name in [&self.session_collection, &self.message_collection, &forgotten] {
            // With the database's name before it, it may have 255 bytes, older servers say 120.
            let fits = (1..=180).contains(&name.len())
                && !name.contains(['$', '\0'])
                && !name.starts_with("system.")
                && !name.starts_with('.')
                && *name != FORGOTTEN;
            if !fits {
                return Err(BuildError::Collection(name.clone()));
            }
        }
        if [&self.session_collection, &forgotten].contains(&&self.message_collection) {
            return Err(BuildError::SameCollection(self.message_collection.clone()));
        }
        if self.namespace.is_empty() { Err(BuildError::Namespace) } else { Ok(()) }
    }
}

//! The collections, as a client sees them: [`Collections`].

use std::time::Duration;

use mongodb::{
    Client, Collection, Database,
    bson::Document,
    error::Error,
    options::{ClientOptions, ReadPreference, SelectionCriteria, WriteConcern},
};
use secrecy::ExposeSecret;

use crate::config::MongoDbConfig;

/// How long to look for a server that answers, unless the URI says otherwise.
const SELECTION: Duration = Duration::from_secs(2);

/// How long a new connection may take, unless the URI says otherwise.
const CONNECT: Duration = Duration::from_secs(2);

/// Connections to each server at the most, unless the URI says otherwise. A write takes some milliseconds.
const MOST: u32 = 16;

/// How long the server may work on one question: it stops by itself, whether or not we still listen.
pub(crate) const STATEMENT: Duration = Duration::from_secs(5);

/// The collections, and what every document has.
pub(crate) struct Collections {
    pub(crate) database: Database,
    pub(crate) sessions: Collection<Document>,
    pub(crate) messages: Collection<Document>,
    /// The ids of deleted sessions.
    pub(crate) forgotten: Collection<Document>,
    pub(crate) namespace: String,
    pub(crate) provider: String,
}

impl Collections {
    /// A client, which connects when it is needed.
    ///
    /// # Errors
    /// When the servers' names are in the DNS (`mongodb+srv://`) and that does not answer.
    pub(crate) async fn new(config: &MongoDbConfig) -> Result<Self, Error> {
        let mut options = ClientOptions::parse(config.uri.expose_secret()).await?;
        options.app_name.get_or_insert_with(|| "chat-agent".to_owned());
        options.server_selection_timeout.get_or_insert(SELECTION);
        options.connect_timeout.get_or_insert(CONNECT);
        options.max_pool_size.get_or_insert(MOST);
        // What was acknowledged has to survive a failover.
        options.write_concern.get_or_insert(WriteConcern::majority());
        // A secondary may not know yet what was deleted.
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let database = Client::with_options(options)?.database(&config.database);
        Ok(Self {
            sessions: database.collection(&config.session_collection),
            messages: database.collection(&config.message_collection),
            forgotten: database.collection(&config.forgotten_collection()),
            database,
            namespace: config.namespace.clone(),
            provider: config.provider.clone(),
        })
    }
}

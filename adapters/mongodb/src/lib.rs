//! MongoDB behind the chat's ports: the archive ([`MongoDbHistory`]).
//!
//! The documents are those of the Python service, so that each reads what the other wrote. Three things are ours: the
//! member `message_id` with its unique index, by which a message is archived once; an index that serves the list of
//! sessions; and a collection of the ids of deleted sessions, so that nothing revives them.

mod collections;
mod config;
mod documents;
mod error;
mod history;
mod indexes;
mod read;
mod write;

pub use config::{BuildError, MongoDbConfig};
pub use error::PrepareError;
pub use history::MongoDbHistory;

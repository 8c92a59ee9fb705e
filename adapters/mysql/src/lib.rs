//! MySQL, or MariaDB, behind the chat's ports: the archive ([`MySqlHistory`]).
//!
//! The tables are those of the Python service, so that each reads what the other wrote. Three things are ours, made
//! when they are missing: the column `message_id` with its unique index, by which a message is archived once; an index
//! that serves the list of sessions; and a table of the ids of deleted sessions, so that nothing revives them.
//!
//! Values are always bound. Names of tables come from the configuration: they are checked and quoted. Connections are
//! not encrypted: the database is expected in the same private network.

mod config;
mod connection;
mod error;
mod history;
mod pool;
mod read;
mod rows;
mod schema;
mod statement;
mod tables;
mod write;

pub use config::{BuildError, MySqlConfig};
pub use error::PrepareError;
pub use history::MySqlHistory;

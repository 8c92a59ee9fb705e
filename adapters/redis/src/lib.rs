//! Redis behind the chat's ports: sessions and the order of their turns, rate limits, the bypass list and an archive, over
//! one set of connections and one scheme of keys.
//!
//! - [`Redis`] holds the connections, which are made in the background and mended by themselves; each port is a view of it.
//! - Every command is answered or has failed within [`PATIENCE`], and the commands of one operation share that time; while
//!   there is no connection they fail at once. Only reading an archive may take longer, as long as Redis goes on answering.
//! - What must happen in one step is a script (`scripts/`), and all keys of a script share a slot, so that the same code
//!   serves a single server, Sentinel and Cluster.
//! - What is sent may be sent again after an answer that was lost, and nothing of a session or of the archive is done twice
//!   by it. Only a limit may count a request twice, and a removal from the bypass list say that there was nothing to
//!   remove.
//! - Time in scripts is Redis's own: replicas need no common clock.
//! - Publish and subscribe only makes things faster. Whatever is told by it is found out by asking, too.
//! - What Redis says in an error goes no further than its first word, since it may quote what was sent.
//!
//! Redis 6.2 or later.

mod bypass;
mod client;
mod config;
mod error;
mod health;
mod history;
mod keys;
mod limits;
mod presence;
mod scripts;
mod sessions;

pub use bypass::RedisBypass;
pub use client::{PATIENCE, Redis};
pub use config::{BuildError, DEFAULT_PREFIX, RedisConfig};
pub use error::Error;
pub use health::RedisHealth;
pub use history::RedisHistory;
pub use limits::{DECISION, RedisLimiter};
pub use sessions::{RedisSessions, SessionPolicy};

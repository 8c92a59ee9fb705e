//! The tool port over MCP servers: connections that are opened at start, stay open and are mended by themselves, and the
//! tools of all servers under one roof.
//!
//! - [`McpTools`] is the port; a supervisor per server keeps its connection (`supervisor`, `connection`).
//! - A server that runs as a child lives in a process group of its own (`process`), which is killed when it is no longer
//!   wanted, and by a guard process when this process dies without having been able to ([`guard`]).
//! - What a server says never reaches a log, but for its stderr if the operator asks for it, and its last error, which is
//!   told to operators without the secrets of its configuration.
//!
//! Unix only: process groups are.

mod catalogue;
mod config;
mod connection;
mod error;
pub mod guard;
mod http;
mod listing;
mod outcome;
mod process;
mod server;
mod supervisor;
mod tools;
mod transport;

pub use config::{GuardCommand, McpConfig, ServerConfig, Transport};
pub use error::BuildError;
pub use process::keep_to_ourselves;
pub use server::{Phase, ServerStatus};
pub use tools::McpTools;

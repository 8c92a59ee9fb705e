//! An MCP server over a shop's product catalogue in MySQL or MariaDB: one tool, `search_products`.
//!
//! The tables are a shop's own and only read. A program of its own, it shares no code with the chat agent, which uses it
//! as any other MCP server.
//!
//! Reading order: `args` (what a model asks for), `statement` and `query` (the SQL of it), `rows` (what the database
//! answers), `result` (what the model gets), `catalogue` (the connections, and one search over them), `server` (the
//! protocol), `http` (the protocol over HTTP), `config`.

pub mod args;
pub mod catalogue;
pub mod config;
pub mod http;
mod query;
pub mod result;
mod rows;
pub mod schema;
pub mod server;
mod statement;

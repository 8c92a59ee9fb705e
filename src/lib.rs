//! The chat agent backend: the composition of its parts, its configuration, its HTTP API. What it is for stands in
//! `chat_domain`.

pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod telemetry;

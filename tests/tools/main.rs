//! Tools as a client, an operator and a model see them: the real binary, over scripted and over real MCP servers.
//!
//! Every test starts a service of its own, with servers of its own. What one server does to the adapter, and the adapter
//! to it, is shown with the adapter.

mod cli;
mod concurrency;
mod down;
mod faults;
mod forced;
mod leaks;
mod model;
mod orphans;
mod picked;
mod processes;
mod real;
mod scene;
mod secrets;
mod start;
mod stop;
mod streams;
mod timeouts;

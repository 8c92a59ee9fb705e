//! The service from its start to its end: the command line, shutdown, concurrent turns, peers that go away or dawdle.
//!
//! Most tests start the built binary. Those about timeouts that a test cannot wait for serve in process instead, with
//! shorter ones ([`in_process`]).

#![expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]

mod attacks;
mod cli;
mod common;
mod configuration;
mod connections;
mod demo;
mod disconnects;
mod in_process;
mod panics;
mod probes;
mod queue;
mod raw;
mod shutdown;
mod soak;
mod streams;

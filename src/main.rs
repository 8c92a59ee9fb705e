//! `chat-agent`: see `chat-agent --help`.

use std::process::ExitCode;

use chat_agent::cli::Cli;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}

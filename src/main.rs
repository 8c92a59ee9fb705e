//! `chat-agent`: see `chat-agent --help`.

use std::process::ExitCode;

use chat_agent::cli::Cli;
use clap::Parser;

fn main() -> ExitCode {
    Cli::parse().run()
}

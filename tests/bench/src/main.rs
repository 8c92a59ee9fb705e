//! The load program behind `make bench`: full stateful turns through the release binary, beside
//! nginx and other proxies in front of the same scripted upstream, in alternating rounds.
//!
//! A figure alone says more about the machine than about the program; hence every target is a
//! ratio to a reference that ran seconds before or after on the same machine, or a size.

mod cli;
mod client;
mod load;
mod machine;
mod phases;
mod process;
mod report;
mod rounds;
mod scenery;
mod service;
mod targets;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Whatever went wrong, told to the person who started this.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Upstream) => scenery::upstream::run(),
        Some(Command::Passthrough { upstream }) => scenery::passthrough::run(upstream),
        Some(Command::SseProxy { upstream }) => scenery::sse_proxy::run(upstream),
        None => return bench(&cli),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complain(&failure),
    }
}

fn bench(cli: &Cli) -> ExitCode {
    match phases::run(cli) {
        Ok(report) => {
            print!("{}", report.targets_table());
            if let Err(failure) = report.write_json(cli.json.as_deref()) {
                return complain(&failure);
            }
            if report.has_errors() {
                return complain(
                    &"some answers were wrong or not archived: the figures above are worth nothing".into(),
                );
            }
            if cli.check && report.missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(failure) => complain(&failure),
    }
}

fn complain(failure: &Failure) -> ExitCode {
    eprintln!("chat-bench: {failure}");
    ExitCode::FAILURE
}

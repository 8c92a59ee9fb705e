//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures the release binary beside nginx, a poem+reqwest pass-through and an SSE proxy.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    /// The service to measure
    #[arg(long, default_value = "target/release/chat-agent")]
    pub(crate) binary: PathBuf,

    /// Leave the service out: how fast are the references here?
    #[arg(long)]
    pub(crate) references_only: bool,

    /// Alternating rounds of each phase under load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Seconds that each program is under load in a round
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,

    /// Short rounds and few of them, for trying it out
    #[arg(long)]
    quick: bool,

    /// Only the long run: 10,000 sessions, 64 clients, 60 s
    #[arg(long)]
    soak: bool,

    /// Only these phases
    #[arg(long, value_enum, value_name = "PHASE")]
    only: Vec<PhaseName>,

    /// Write the raw figures to a file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Fail when a target is missed
    #[arg(long)]
    pub(crate) check: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What this program starts itself as, for the other side of the wire.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A fast OpenAI-compatible endpoint
    #[command(hide = true)]
    Upstream,
    /// A minimal poem+reqwest pass-through
    #[command(hide = true)]
    Passthrough {
        /// Where to
        upstream: SocketAddr,
    },
    /// A hyper proxy that parses and flushes each event
    #[command(hide = true)]
    SseProxy {
        /// Where to
        upstream: SocketAddr,
    },
}

/// A part of the measurement, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PhaseName {
    /// Size of the binary
    Size,
    /// From start to serving
    Start,
    /// Memory at rest and per session
    Memory,
    /// JSON turns over one connection
    #[value(name = "turns-1")]
    Turns1,
    /// JSON turns over 64 connections
    #[value(name = "turns-64")]
    Turns64,
    /// Streamed turns over one connection
    #[value(name = "streams-1")]
    Streams1,
    /// Streamed turns over 16 connections
    #[value(name = "streams-16")]
    Streams16,
    /// Streamed turns over 64 connections
    #[value(name = "streams-64")]
    Streams64,
    /// Turns with one tool call, beside a bare MCP client
    Tools,
    /// JSON turns over 64 connections with sessions in Redis, and with history in Redis and MySQL
    Storage,
    /// 10,000 sessions, 64 clients for a minute
    Soak,
}

impl Cli {
    /// Whether a phase is wanted.
    pub(crate) fn wants(&self, phase: PhaseName) -> bool {
        if self.soak || !self.only.is_empty() {
            return self.only.contains(&phase) || (self.soak && phase == PhaseName::Soak);
        }
        phase != PhaseName::Soak
    }

    /// How many rounds to run.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { self.rounds.min(3) } else { self.rounds }
    }

    /// How long each program is under load in a round.
    pub(crate) fn round_length(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { self.seconds.min(1.0) } else { self.seconds })
    }

    /// How long the soak takes; its first third is for warming up.
    pub(crate) fn soak_length(&self) -> Duration {
        Duration::from_secs(if self.quick { 12 } else { 60 })
    }

    /// How many sessions memory is measured with.
    pub(crate) fn sessions(&self) -> usize {
        if self.quick { 2_000 } else { 10_000 }
    }

    /// How many starts are timed.
    pub(crate) fn starts(&self) -> usize {
        if self.quick { 3 } else { 11 }
    }
}

impl PhaseName {
    /// Its name on the command line and in the figures.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(arguments: &[&str]) -> Vec<PhaseName> {
        let cli = Cli::try_parse_from([&["chat-bench"], arguments].concat()).expect("a good command line");
        PhaseName::value_variants().iter().copied().filter(|phase| cli.wants(*phase)).collect()
    }

    #[test]
    fn every_phase_but_the_long_run_is_wanted_unless_some_are_named() {
        assert_eq!(wanted(&["--only", "storage"]), [PhaseName::Storage]);
        assert_eq!(wanted(&["--only", "storage", "--only", "turns-64"]), [PhaseName::Turns64, PhaseName::Storage]);
        assert_eq!(wanted(&["--soak", "--only", "storage"]), [PhaseName::Storage, PhaseName::Soak]);
        let all = wanted(&[]);
        assert!(all.contains(&PhaseName::Storage) && !all.contains(&PhaseName::Soak), "{all:?}");
        assert!(Cli::try_parse_from(["chat-bench", "--only", "disks"]).is_err());
    }
}

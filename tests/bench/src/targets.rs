//! What is good enough, each target in one place.

use serde::Serialize;

use crate::cli::PhaseName;
use crate::rounds::Rounds;
use crate::scenery::upstream::STREAM_EVENTS;

/// The names of the programs in the figures.
pub(crate) const SERVICE: &str = "chat-agent";
/// The limit of what is possible.
pub(crate) const NGINX: &str = "nginx";
/// What the service's own framework and client cost by themselves.
pub(crate) const PASSTHROUGH: &str = "poem+reqwest";
/// What parsing and flushing each event costs by itself.
pub(crate) const SSE_PROXY: &str = "sse-proxy";

/// What a tool server gives a client that does nothing else.
pub(crate) const BARE_CLIENT: &str = "rmcp alone";
/// What a turn costs when no tool is called in it.
pub(crate) const TOOLLESS: &str = "chat-agent without tools";

/// With its sessions, their memory and its limits in Redis.
pub(crate) const ON_REDIS: &str = "chat-agent on Redis";
/// With its history there as well.
pub(crate) const REDIS_HISTORY: &str = "chat-agent on Redis, history too";
/// With its sessions in process and its history in MySQL.
pub(crate) const MYSQL_HISTORY: &str = "chat-agent, MySQL's history";

/// A figure and what it should be.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) measured: f64,
    pub(crate) limit: Limit,
    pub(crate) unit: &'static str,
    pub(crate) met: bool,
}

/// Which side of a number is the good one.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    /// Judges a figure.
    pub(crate) fn new(name: &str, measured: f64, unit: &'static str, limit: Limit) -> Self {
        let met = match limit {
            Limit::AtMost(most) => measured <= most,
            Limit::AtLeast(least) => measured >= least,
        };
        Self { name: name.to_owned(), measured, limit, unit, met }
    }
}

/// From its start to its first answer.
pub(crate) fn start(milliseconds: f64) -> Target {
    Target::new("Serving after the start", milliseconds, "ms", Limit::AtMost(100.0))
}

/// The binary's size.
pub(crate) fn size(mib: f64) -> Target {
    Target::new("Release binary", mib, "MiB", Limit::AtMost(30.0))
}

/// Memory without a session.
pub(crate) fn at_rest(mib: f64) -> Target {
    Target::new("Memory at rest", mib, "MiB", Limit::AtMost(24.0))
}

/// Memory of sessions that nobody has spoken in.
pub(crate) fn empty_session(kib: f64) -> Target {
    Target::new("Memory of an empty idle session", kib, "KiB", Limit::AtMost(0.5))
}

/// Memory of sessions with ten messages.
pub(crate) fn full_session(kib: f64) -> Target {
    let name = "Memory of a session with ten messages of 150 bytes";
    Target::new(name, kib, "KiB", Limit::AtMost(4.0))
}

/// Turns with a tool call.
pub(crate) fn tool_turns(connections: usize, rounds: &Rounds) -> Vec<Target> {
    let rate = rounds.ratio(SERVICE, BARE_CLIENT, |figures| figures.turns_per_second);
    let cpu = rounds.median(SERVICE, |figures| figures.cpu_us_per_turn / 1e3);
    let rate = rate.map(|rate| {
        let name = format!("A tool call, {connections} connections: turns/s ÷ a bare client's calls/s");
        Target::new(&name, rate, "×", Limit::AtLeast(0.5))
    });
    let cpu = cpu.map(|milliseconds| {
        let name = format!("A tool call, {connections} connections: CPU per turn, our own");
        Target::new(&name, milliseconds, "ms", Limit::AtMost(1.0))
    });
    rate.into_iter().chain(cpu).collect()
}

/// What is left behind by turns with a tool call.
pub(crate) fn tool_traces(children: f64, files: f64) -> [Target; 2] {
    [
        // One that is missing is as wrong as one too many.
        Target::new("A tool call: child processes come or gone", children.abs(), "", Limit::AtMost(0.0)),
        Target::new("A tool call: files more open than before", files, "", Limit::AtMost(0.0)),
    ]
}

/// Turns that are kept in databases, and how many scripts one of them is in a Redis that keeps everything.
pub(crate) fn storage(rounds: &Rounds, scripts_per_turn: Option<f64>) -> Vec<Target> {
    let rate = |name, title: &str, least| {
        let measured = rounds.ratio(name, SERVICE, |figures| figures.turns_per_second)?;
        Some(Target::new(&format!("{title}: turns/s ÷ all in process"), measured, "×", Limit::AtLeast(least)))
    };
    let rates = [
        rate(ON_REDIS, "Sessions in Redis", 0.2),
        rate(REDIS_HISTORY, "Sessions and history in Redis", 0.2),
        rate(MYSQL_HISTORY, "History in MySQL", 0.05),
    ];
    let scripts = scripts_per_turn.map(|scripts| {
        // A lease is renewed now and then, and a lost connection's commands are sent again.
        Target::new("Sessions and history in Redis: round trips a turn", scripts, "", Limit::AtMost(4.05))
    });
    rates.into_iter().flatten().chain(scripts).collect()
}

/// The long run.
pub(crate) fn soak(errors: usize, growth: f64) -> [Target; 2] {
    [
        Target::new("Long run: errors", errors as f64, "", Limit::AtMost(0.0)),
        // Flat, but for a page here and there.
        Target::new("Long run: memory, end ÷ after the first third", growth, "×", Limit::AtMost(1.02)),
    ]
}

/// What a phase of alternating rounds is to show.
pub(crate) fn of_rounds(phase: PhaseName, rounds: &Rounds) -> Vec<Target> {
    let to = |reference, figure: fn(&crate::rounds::Figures) -> f64| rounds.ratio(SERVICE, reference, figure);
    let target = |name: &str, measured: Option<f64>, unit, limit| {
        measured.map(|measured| Target::new(name, measured, unit, limit))
    };
    let targets = match phase {
        PhaseName::Turns64 => vec![
            target(
                "64 connections: CPU per turn ÷ nginx's",
                to(NGINX, |figures| figures.cpu_us_per_turn),
                "×",
                Limit::AtMost(2.0),
            ),
            target(
                "64 connections: turns/s ÷ nginx's",
                to(NGINX, |figures| figures.turns_per_second),
                "×",
                Limit::AtLeast(0.5),
            ),
        ],
        PhaseName::Turns1 => {
            vec![target("One connection: p50 ÷ nginx's", to(NGINX, |figures| figures.p50_ms), "×", Limit::AtMost(1.6))]
        }
        PhaseName::Streams16 => vec![
            target(
                &format!("Streams of {STREAM_EVENTS} events: CPU per 1,000 events ÷ the SSE proxy's"),
                to(SSE_PROXY, |figures| figures.cpu_us_per_turn),
                "×",
                Limit::AtMost(1.5),
            ),
            // Nagle's algorithm would stall most of them; the scheduler of a busy machine, a few.
            target(
                "Streams with a stall, of 1,000",
                rounds.median(SERVICE, |figures| figures.stalls_per_1000_turns),
                "",
                Limit::AtMost(1.0),
            ),
        ],
        _ => Vec::new(),
    };
    targets.into_iter().flatten().collect()
}

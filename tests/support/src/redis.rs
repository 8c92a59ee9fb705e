//! Redis servers of one's own: alone ([`RedisServer`], with TLS if wanted), as a cluster ([`RedisCluster`]), watched by sentinels
//! ([`RedisSentinels`]).
//!
//! One starts in some ten milliseconds. Tests that do no harm may share one ([`RedisServer::shared`]) and take a prefix
//! each; a test that stops, fills or pauses the server starts its own.

mod certificate;
mod cluster;
mod sentinels;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use cluster::RedisCluster;
pub use sentinels::RedisSentinels;

use crate::{TempDir, signal};

/// How it keeps what it acknowledged.
const KEEPING: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a server in the folder `$1` with the arguments after it, and ends it as soon as standard input does: with the
/// test's process, however that ends. The folder goes with it, unless a line on standard input says otherwise.
const RUN: &str = r#"cd "$1" || exit 1
folder=$1
shift
redis-server "$@" >log 2>&1 </dev/null &
server=$!
echo $server >pid
read -r word
[ "$word" = term ] && kill -TERM $server || kill -KILL $server
wait $server
[ -n "$word" ] || rm -rf "$folder""#;

/// A private `redis-server` on a free port of 127.0.0.1 that keeps what it acknowledged (AOF); gone with its data when
/// dropped.
#[derive(Debug)]
pub struct RedisServer {
    // Dropped after our own `drop` has ended the server.
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    /// The root of its certificate, if it speaks TLS.
    root: Option<PathBuf>,
    process: Mutex<Option<Child>>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be started; the message says what to install where nothing is.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more options (`--requirepass`, `secret` …).
    ///
    /// # Panics
    /// As [`RedisServer::start`].
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let arguments = [&KEEPING, options].concat();
        Self::launch_on_free_port(TempDir::new(), &arguments, "Ready to accept connections")
    }

    /// The same, speaking TLS alone, with a certificate that whoever knows [`RedisServer::root`] trusts.
    ///
    /// # Panics
    /// As [`RedisServer::start`], and when no certificate can be made.
    #[must_use]
    pub fn start_tls() -> Self {
        let folder = TempDir::new();
        let root = certificate::make(folder.path());
        let arguments = [&KEEPING[..], &certificate::OPTIONS].concat();
        Self::launch_with(folder, &arguments, Some(root), "Ready to accept connections")
    }

    /// The server that tests of one binary share.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        // Never dropped: it ends because its standard input does, with this process.
        SHARED.get_or_init(Self::start)
    }

    fn launch_on_free_port(folder: TempDir, arguments: &[&str], sign: &str) -> Self {
        Self::launch_with(folder, arguments, None, sign)
    }

    fn launch_with(folder: TempDir, arguments: &[&str], root: Option<PathBuf>, sign: &str) -> Self {
        for tool in ["redis-server", "redis-cli"] {
            let found = Command::new(tool).arg("--version").output();
            assert!(found.is_ok(), "{tool} is missing: apt-get install redis-server");
        }
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { folder, port: 0, arguments, root, process: Mutex::new(None) };
        // A port that was free may be taken by the time it is bound.
        for attempt in 1.. {
            server.port = free_port();
            match server.launch(sign) {
                Ok(()) => break,
                Err(log) => assert!(attempt < 5, "redis-server does not start: {log}"),
            }
        }
        server
    }

    /// Always 127.0.0.1. The same after a restart.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same one after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT/0`, or `rediss://`, without any password.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.root.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}/0", self.address())
    }

    /// The file with the root of its certificate.
    ///
    /// # Panics
    /// When it was not started with [`RedisServer::start_tls`].
    #[must_use]
    pub fn root(&self) -> &PathBuf {
        self.root.as_ref().expect("a server that speaks TLS")
    }

    /// Ends the server as its operator would. Its data stay.
    pub fn stop(&self) {
        self.end("term\n");
    }

    /// Kills the server with signal 9. Its data stay, as far as it has written them.
    pub fn kill(&self) {
        self.end("kill\n");
    }

    /// Starts the server again, on the same port and with the same data; kills it first if it still runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.kill();
        if let Err(log) = self.launch("Ready to accept connections") {
            panic!("redis-server does not start again: {log}");
        }
    }

    /// Stops the process where it stands, as a machine does that has no time for it. Connections stay open.
    pub fn freeze(&self) {
        signal::send("-STOP", &self.folder.path().join("pid"));
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        signal::send("-CONT", &self.folder.path().join("pid"));
    }

    /// Lets the server take commands and answer none of them for this long.
    pub fn pause(&self, time: Duration) {
        self.cli(&["CLIENT", "PAUSE", &time.as_millis().to_string(), "ALL"]);
    }

    /// Runs a command with `redis-cli`; what it says, without the last line's end.
    ///
    /// # Panics
    /// When the client cannot be run, or says that the server does not answer.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--no-auth-warning"]);
        if let Some(root) = &self.root {
            client.arg("--tls").arg("--cacert").arg(root);
        }
        client.args(arguments);
        let output = client.output().expect("redis-cli: apt-get install redis-tools");
        assert!(output.status.success(), "redis-cli: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// How often a command was called since the server started or `CONFIG RESETSTAT`.
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.cli(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
    }

    fn end(&self, word: &str) {
        if let Some(mut process) = self.process().take() {
            let mut stdin = process.stdin.take().expect("piped");
            stdin.write_all(word.as_bytes()).expect("a shell that reads");
            process.wait().expect("our child");
        }
    }

    /// Starts the process; an error is the server's log.
    fn launch(&self, sign: &str) -> Result<(), String> {
        // The last start said that it was ready, too.
        let log = self.folder.write("log", "");
        let mut command = Command::new("sh");
        command.arg("-c").arg(RUN).arg("sh").arg(self.folder.path()).args(&self.arguments);
        let port = self.port.to_string();
        match self.root {
            Some(_) => command.args(["--port", "0", "--tls-port", &port]),
            None => command.args(["--port", &port]),
        };
        command.args(["--bind", "127.0.0.1", "--daemonize", "no"]);
        if self.arguments.iter().all(|argument| argument != "--sentinel") {
            command.args(["--dir", "."]);
        }
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *self.process() = Some(process.expect("a shell"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Not by its port: somebody else may be there.
            let written = fs::read_to_string(&log).unwrap_or_default();
            if written.contains(sign) {
                return Ok(());
            }
            let has_ended = self.process().as_mut().is_none_or(|process| matches!(process.try_wait(), Ok(Some(_))));
            if written.contains("Failed listening") || has_ended || Instant::now() > deadline {
                self.kill();
                return Err(written);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process().take() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

/// A port that leaves room for a cluster's bus, which is 10,000 above it.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound listener").port();
        if port <= 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

/// Looks until it is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

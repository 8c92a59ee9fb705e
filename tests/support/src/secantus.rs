//! A server that speaks MongoDB's protocol, for tests of what talks to MongoDB.
//!
//! It is SecantusDB, from PyPI, run as a program of its own: MongoDB itself is in no package of Debian's. It starts in
//! some seconds, so tests share one ([`MongoDb::shared`]) and take a database each ([`MongoDb::database`]). A test that
//! stops the server starts its own ([`MongoDb::start`]). With `TEST_MONGODB_URI` set, the shared one is that.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{TempDir, signal};

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-tools/mongodb/bin/secantusd-py");

/// Runs the server `$1` in the folder `$2` on the port `$3` with the option `$4`, and ends it as soon as standard input
/// does: with the test's process, however that ends. The folder goes with it, unless a line on standard input says
/// otherwise: then the server gets five seconds to end by itself.
const RUN: &str = r#""$1" --host 127.0.0.1 --port "$3" --storage-path "$2/data" --cache-size 128M --standalone $4 \
    >"$2/log" 2>&1 </dev/null &
server=$!
echo $server >"$2/pid"
read -r word
if [ "$word" = keep ]; then
    kill -TERM $server 2>/dev/null
    tries=50
    while [ $tries -gt 0 ] && kill -0 $server 2>/dev/null; do sleep 0.1; tries=$((tries - 1)); done
fi
kill -KILL $server 2>/dev/null
wait $server 2>/dev/null
[ "$word" = keep ] || rm -rf "$2""#;

/// A private server on a free port of 127.0.0.1, gone with its data when dropped; or somebody else's.
#[derive(Debug)]
pub struct MongoDb {
    uri: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    // Dropped after our own `drop` has ended the server.
    folder: TempDir,
    port: u16,
    process: Mutex<Option<Child>>,
}

impl MongoDb {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be started; the message says what to do where nothing is installed.
    #[must_use]
    pub fn start() -> Self {
        assert!(Path::new(SERVER).exists(), "{SERVER} is missing: run tests/setup.sh");
        let mut own = Own { folder: TempDir::new(), port: 0, process: Mutex::new(None) };
        // A port that was free may be taken by the time it is bound.
        for attempt in 1.. {
            own.port = free_port();
            match own.launch("") {
                Ok(()) => break,
                Err(log) => assert!(attempt < 5, "SecantusDB does not start: {log}"),
            }
        }
        Self { uri: format!("mongodb://127.0.0.1:{}", own.port), own: Some(own) }
    }

    /// The server that all tests of one binary share.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says which server; the code under test does not see it"
    )]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MongoDb> = OnceLock::new();
        // Never dropped: it ends because its standard input does, with this process.
        SHARED.get_or_init(|| match std::env::var("TEST_MONGODB_URI") {
            Ok(uri) if !uri.is_empty() => Self { uri, own: None },
            _ => Self::start(),
        })
    }

    /// `mongodb://127.0.0.1:PORT`, the same after a restart; or somebody else's.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The name of a database that nobody uses.
    #[must_use]
    pub fn database(&self) -> String {
        format!("test_{:016x}", RandomState::new().build_hasher().finish())
    }

    /// Ends the server. Its data stay.
    ///
    /// # Panics
    /// If it is somebody else's.
    pub fn stop(&self) {
        self.own().stop();
    }

    /// Starts the server again, on the same port and with the same data.
    ///
    /// # Panics
    /// When it does not start, or is somebody else's.
    pub fn restart(&self) {
        self.restart_with("");
    }

    /// The same, with one more option (`--auth`).
    ///
    /// # Panics
    /// As [`MongoDb::restart`].
    pub fn restart_with(&self, option: &str) {
        self.stop();
        if let Err(log) = self.own().launch(option) {
            panic!("SecantusDB does not start again: {log}");
        }
    }

    /// Stops the process where it stands, as a machine does that has no time for it. Connections stay open.
    ///
    /// # Panics
    /// If it is somebody else's.
    pub fn freeze(&self) {
        signal::send("-STOP", &self.own().folder.path().join("pid"));
    }

    /// Lets a frozen server go on.
    ///
    /// # Panics
    /// If it is somebody else's.
    pub fn thaw(&self) {
        signal::send("-CONT", &self.own().folder.path().join("pid"));
    }

    fn own(&self) -> &Own {
        self.own.as_ref().expect("a server of one's own")
    }
}

impl Own {
    fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            let mut stdin = process.stdin.take().expect("piped");
            stdin.write_all(b"keep\n").expect("a shell that reads");
            process.wait().expect("our child");
        }
    }

    /// Starts the process; an error is the server's log.
    fn launch(&self, option: &str) -> Result<(), String> {
        // The last start said that it was ready, too.
        let log = self.folder.write("log", "");
        let mut command = Command::new("sh");
        command.args(["-c", RUN, "sh", SERVER]).arg(self.folder.path()).arg(self.port.to_string()).arg(option);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *self.process() = Some(process.expect("a shell"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Not by its port: somebody else may be there.
            let written = fs::read_to_string(&log).unwrap_or_default();
            if written.contains("secantus listening on") {
                return Ok(());
            }
            // The shell says "not found", also where only the interpreter of the installed program has gone.
            let has_failed = ["Error", "not found"].iter().any(|word| written.contains(word));
            if has_failed || Instant::now() > deadline {
                self.stop();
                return Err(written);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(mut process) = self.process().take() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener").port()
}

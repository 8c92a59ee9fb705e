//! The built service as a child process.
//!
//! It starts in a temporary folder of its own, with no environment but what the test sets, on a
//! port that the system picks and the service names in its log.

mod launch;

pub use launch::Launch;

use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Client, TempDir, poll_pause, signal};

/// How long a test waits for what a process should do at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long what a process wrote last may take to be read after its end. A child of its own that lives on may hold the
/// pipe open, and is not waited for any longer.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The lines that a process has written so far.
type Lines = Arc<Mutex<Vec<String>>>;

/// A running service; killed, and its folder removed, when dropped.
///
/// ```no_run
/// # use chat_test_support::{Service, Upstream};
/// # async fn test() {
/// let upstream = Upstream::start().await;
/// let service = Service::launch("target/debug/chat-agent")
///     .env("OPENROUTER_KEY", "test-key")
///     .env("OPENROUTER_BASE_URL", upstream.base_url())
///     .start()
///     .await;
/// let session = service.client().create_session().await;
/// # }
/// ```
#[derive(Debug)]
pub struct Service {
    child: Child,
    base_url: String,
    stderr: Lines,
    reading: JoinHandle<()>,
    folder: Arc<TempDir>,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// How long it took to end: from the signal, or from the start of a command.
    pub took: Duration,
    /// What it wrote on standard output, when that was captured.
    pub stdout: String,
    /// What it wrote on standard error, from its start.
    pub stderr: String,
}

impl Service {
    /// Prepares the start of a binary, such as `env!("CARGO_BIN_EXE_chat-agent")`.
    #[must_use]
    pub fn launch(binary: impl AsRef<Path>) -> Launch {
        Launch::new(binary.as_ref())
    }

    /// `http://127.0.0.1:PORT`, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// A client for it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.base_url)
    }

    /// Its working directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written on standard error, as text: for what must not be in there.
    #[must_use]
    pub fn log_text(&self) -> String {
        text(&self.stderr)
    }

    /// The lines of its log; one that is not JSON comes as a JSON string.
    #[must_use]
    pub fn logs(&self) -> Vec<Value> {
        parse(&self.stderr)
    }

    /// The lines whose `event` is this.
    #[must_use]
    pub fn events(&self, event: &str) -> Vec<Value> {
        self.logs().into_iter().filter(|line| line["event"] == event).collect()
    }

    /// Waits for a line of the log, and returns it.
    ///
    /// # Panics
    /// When none comes.
    pub async fn wait_for_log(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.logs().into_iter().find(&wanted) {
                return line;
            }
            assert!(Instant::now() < deadline, "no such line in the log:\n{}", self.log_text());
            poll_pause().await;
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it (SIGKILL): a crash, as far as the service can tell.
    pub async fn kill(&mut self) -> Exit {
        let start = Instant::now();
        // An error says that it has ended by itself, and then the exit tells how.
        let _ = self.child.kill();
        self.exit(start).await
    }

    /// Sends another signal, such as `TERM`, without waiting for anything.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        // The standard library only knows SIGKILL.
        signal::send_to(self.pid(), name);
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it does not end; give it a `SHUTDOWN_GRACE_SECONDS` well under 20 s.
    pub async fn terminate(&mut self) -> Exit {
        let start = Instant::now();
        self.signal("TERM");
        self.exit(start).await
    }

    /// Waits until it has ended by itself or by a signal sent earlier.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn wait(&mut self) -> Exit {
        self.exit(Instant::now()).await
    }

    async fn exit(&mut self, start: Instant) -> Exit {
        let status = exit_status(&mut self.child, start, &self.stderr).await;
        let took = start.elapsed();
        let deadline = Instant::now() + LAST_WORDS;
        while !self.reading.is_finished() && Instant::now() < deadline {
            poll_pause().await;
        }
        Exit { status, took, stdout: String::new(), stderr: text(&self.stderr) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The test's own output is shown when it fails: the log belongs to it.
            println!("--- log of the service:\n{}", self.log_text());
        }
    }
}

async fn exit_status(child: &mut Child, start: Instant, stderr: &Lines) -> ExitStatus {
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("still running after {PATIENCE:?}:\n{}", text(stderr));
        }
        poll_pause().await;
    }
}

fn text(lines: &Lines) -> String {
    lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
}

fn parse(lines: &Lines) -> Vec<Value> {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line.as_str()));
    lines.iter().map(parse).collect()
}

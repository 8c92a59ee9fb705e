use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{Exit, Lines, PATIENCE, Service, exit_status, parse, text};
use serde_json::Value;

use crate::{TempDir, poll_pause};

/// How a binary is to be started; [`start`](Self::start) for the service,
/// [`run`](Self::run) for what ends by itself.
///
/// Clones share the working directory, which lives as long as one of them or a service of theirs:
/// starting a clone after a crash finds what the crashed process left on disk.
#[derive(Clone, Debug)]
pub struct Launch {
    binary: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    folder: Arc<TempDir>,
}

impl Launch {
    pub(super) fn new(binary: &Path) -> Self {
        // Coverage builds find by it where to leave their counts.
        #[expect(clippy::disallowed_methods, reason = "it configures the compiler's instrumentation, not the service")]
        let profile = std::env::var_os("LLVM_PROFILE_FILE");
        let environment = profile.map(|value| ("LLVM_PROFILE_FILE".into(), value));
        Self {
            binary: binary.to_owned(),
            arguments: Vec::new(),
            environment: environment.into_iter().collect(),
            folder: Arc::default(),
        }
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets several variables.
    #[must_use]
    pub fn envs<'a>(self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        variables.into_iter().fold(self, |launch, (name, value)| launch.env(name, value))
    }

    /// Takes a variable back, also `HOST` and `PORT`, which are set from the start.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(&OsString::from(name));
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Puts a file into the working directory, such as `.env` or `config/app.config.yaml`.
    #[must_use]
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.folder.write(name, text);
        self
    }

    /// Starts the service and waits until it listens.
    ///
    /// # Panics
    /// When it ends, or does not say that it listens.
    pub async fn start(self) -> Service {
        let start = Instant::now();
        let (mut child, stderr, reading) = self.spawn(Stdio::null());
        let address = loop {
            if let Some(address) = listening(&stderr) {
                break address;
            }
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!("ended before it listened ({status}):\n{}", text(&stderr));
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("does not listen after {PATIENCE:?}:\n{}", text(&stderr));
            }
            poll_pause().await;
        };
        Service { child, base_url: format!("http://{address}"), stderr, reading, folder: self.folder }
    }

    /// Runs it to its end: other commands, and starts that must fail.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn run(self) -> Exit {
        let start = Instant::now();
        let (mut child, stderr, reading) = self.spawn(Stdio::piped());
        let mut stdout = child.stdout.take().expect("piped");
        let output = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let status = exit_status(&mut child, start, &stderr).await;
        let took = start.elapsed();
        let stdout = output.join().expect("reading does not panic").unwrap_or_default();
        reading.join().expect("reading does not panic");
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        Exit { status, took, stdout, stderr: text(&stderr) }
    }

    fn spawn(&self, stdout: Stdio) -> (Child, Lines, JoinHandle<()>) {
        let mut child = Command::new(&self.binary)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.binary.display()));
        let lines: Lines = Arc::new(Mutex::default());
        let pipe = child.stderr.take().expect("piped");
        let reading = std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || collect(pipe, &lines)
        });
        (child, lines, reading)
    }
}

/// Reads until the pipe is closed, so that the child never waits for its reader.
fn collect(pipe: impl Read, lines: &Lines) {
    for line in BufReader::new(pipe).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

fn listening(stderr: &Lines) -> Option<String> {
    let lines = parse(stderr);
    // With `LOG_FORMAT=text` the same fields stand at the end of the line.
    let of_text = |line: &Value| Some(line.as_str()?.split_once("event=\"listening\" address=")?.1.to_owned());
    let of_json = |line: &Value| (line["event"] == "listening").then(|| line["address"].as_str().map(str::to_owned))?;
    lines.iter().find_map(|line| of_json(line).or_else(|| of_text(line)))
}

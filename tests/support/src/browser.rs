//! A real browser to look at pages with: Chromium without a window, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::TempDir;
use crate::mcp::search_path;

/// Browsers at a time: each has a handful of processes.
const PLACES: usize = 2;

/// The driver of all browsers of this process. It ends with the process, and its browsers with it.
///
/// It is started by a shell that reads from a pipe, and kills its process group when the pipe closes: nothing else runs
/// whichever way a test program ends, and chromedriver alone would leave its browsers behind.
pub struct Driver {
    url: String,
    _group: Child,
    _pipe: ChildStdin,
    // Kept open: a driver that cannot write dies of it.
    _output: BufReader<ChildStdout>,
}

/// A place for a browser, and its empty profile. Removed when dropped: after the browser's end, that is.
pub struct BrowserPlace {
    profile: TempDir,
    _permit: SemaphorePermit<'static>,
}

impl Driver {
    /// The driver, started by whoever asks first.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn shared() -> &'static Self {
        static DRIVER: OnceLock<Driver> = OnceLock::new();
        DRIVER.get_or_init(Self::start)
    }

    /// Where it takes WebDriver commands.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    fn start() -> Self {
        let script = r#""$0" --port=0 & exec >/dev/null; cat; kill -KILL 0"#;
        let mut group = Command::new("sh")
            .args(["-c", script])
            .arg(installed("chromedriver"))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let pipe = group.stdin.take().expect("piped");
        let mut output = BufReader::new(group.stdout.take().expect("piped"));
        let mut said = String::new();
        let port = loop {
            let mut line = String::new();
            let length = output.read_line(&mut line).expect("text");
            assert!(length > 0, "chromedriver does not start:\n{said}");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim().trim_end_matches('.').to_owned();
            }
            said += &line;
        };
        Self { url: format!("http://127.0.0.1:{port}"), _group: group, _pipe: pipe, _output: output }
    }
}

impl BrowserPlace {
    /// Waits for a place.
    ///
    /// # Panics
    /// Never: the places are not taken away.
    pub async fn take() -> Self {
        static FREE: Semaphore = Semaphore::const_new(PLACES);
        let permit = FREE.acquire().await.expect("places stay open");
        Self { profile: TempDir::new(), _permit: permit }
    }

    /// What to ask the driver for: a browser in this place whose reader wants these languages (`fa,en`), with all that
    /// its console says.
    ///
    /// # Panics
    /// When there is no browser.
    #[must_use]
    pub fn capabilities(&self, languages: &str) -> Value {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        json!({
            "goog:loggingPrefs": { "browser": "ALL" },
            // A script that lays out a long text may take its time on a busy machine; tests have bounds of their own.
            "timeouts": { "script": 120_000 },
            "goog:chromeOptions": {
                "binary": installed("chromium"),
                "prefs": { "intl.accept_languages": languages },
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--window-size=1280,900", profile,
                ],
            },
        })
    }
}

/// The accessibility checker, as a script to be run in a page.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn axe() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-tools/axe/node_modules/axe-core/axe.min.js");
        std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing: run tests/setup.sh", path.display()))
    })
}

fn installed(program: &str) -> PathBuf {
    let found = std::env::split_paths(&search_path()).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is missing: apt-get install chromium chromium-driver"))
}

//! MCP servers: scripted ones, other people's, and the file that describes them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::Launch;

/// An MCP server over stdio that behaves, and misbehaves, as its arguments say (`python3 FILE --help`).
#[must_use]
pub fn scripted_server() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/mcp/server.py"))
}

/// The Python interpreter itself: what is first in `PATH` may be a script that chooses one, with an environment of its
/// own.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let output = asked.expect("python3 is needed: apt-get install python3");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    };
    PYTHON.get_or_init(find).clone()
}

/// The reference server for files (stdio; its arguments are directories).
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn filesystem_server() -> PathBuf {
    installed("node/node_modules/.bin/mcp-server-filesystem")
}

/// The reference server that does a little of everything (`stdio` or `streamableHttp` with `PORT`).
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn everything_server() -> PathBuf {
    installed("node/node_modules/.bin/mcp-server-everything")
}

/// The reference server for web pages (stdio).
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn fetch_server() -> PathBuf {
    installed("mcp/bin/mcp-server-fetch")
}

fn installed(program: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-tools")).join(program);
    assert!(path.exists(), "{} is missing: run tests/setup.sh", path.display());
    path
}

/// The `PATH` of this process, by which servers find their interpreters: a service of a test has no environment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "it finds the programs of the machine, and configures nothing")]
pub fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// What a `mcp_agent.config.yaml` describes.
#[derive(Clone, Debug, Default)]
pub struct Servers(Vec<(String, Value)>);

impl Servers {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a scripted server, which keeps its journal in `NAME.journal` where the service runs.
    #[must_use]
    pub fn scripted(self, name: &str, args: &[&str]) -> Self {
        let (script, journal) = (scripted_server().display().to_string(), journal(name));
        let args = [&[&*script, "--journal", &*journal], args].concat();
        self.command(name, &python(), &args)
    }

    /// Adds a server that is started by this command.
    #[must_use]
    pub fn command(self, name: &str, program: &Path, args: &[&str]) -> Self {
        self.entry(name, json!({"command": program, "args": args}))
    }

    /// Adds a server that is reached over streamable HTTP.
    #[must_use]
    pub fn http(self, name: &str, url: &str) -> Self {
        self.entry(name, json!({"transport": "streamable_http", "url": url}))
    }

    /// Adds a server with just this entry.
    #[must_use]
    pub fn entry(mut self, name: &str, entry: Value) -> Self {
        self.0.push((name.to_owned(), entry));
        self
    }

    /// Sets a field of the server that was added last.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        let (_, entry) = self.0.last_mut().expect("a server to set a field of");
        entry[field] = value.into();
        self
    }

    /// The file: JSON, which is YAML.
    #[must_use]
    pub fn config(&self) -> String {
        let entries: Map<String, Value> = self.0.iter().cloned().collect();
        json!({"mcp": {"servers": entries}}).to_string()
    }

    /// Puts the file into the folder of a service, and picks all servers.
    #[must_use]
    pub fn given_to(&self, launch: Launch) -> Launch {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        let launch = launch.file("mcp_agent.config.yaml", self.config());
        launch.env("MCP_AGENT_SERVERS", names.join(",")).env("PATH", search_path())
    }
}

/// The name of the journal of a scripted server.
#[must_use]
pub fn journal(server: &str) -> String {
    format!("{server}.journal")
}

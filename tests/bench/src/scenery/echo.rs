//! A tool server that does next to nothing, and a client that does nothing but call it: the limit of what is possible
//! with tools.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rmcp::model::CallToolRequestParams;
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{Peer, RoleClient};
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::Failure;
use crate::load::Outcome;

/// Its name in the service's configuration.
pub(crate) const SERVER: &str = "bench";

/// Its only tool, as the model is told of it.
pub(crate) const FUNCTION: &str = "bench_echo";

/// What every call says, and gets back.
pub(crate) const TEXT: &str = "A text that the tool gives back";

/// The interpreter that has the protocol's library.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-tools/mcp/bin/python");

/// The server's program.
pub(crate) struct Program(PathBuf);

impl Program {
    /// Writes it into a folder.
    pub(crate) fn write(folder: &Path) -> Result<Self, Failure> {
        if !Path::new(PYTHON).exists() {
            return Err("the library of the tool server is not installed: run tests/setup.sh test".into());
        }
        let file = folder.join("echo.py");
        std::fs::write(&file, include_str!("echo.py"))?;
        Ok(Self(file))
    }

    /// Writes the file that tells the service of it.
    pub(crate) fn configure(&self, folder: &Path) -> Result<(), Failure> {
        // JSON is YAML.
        let server = json!({"command": PYTHON, "args": [self.0]});
        let servers = json!({"mcp": {"servers": {SERVER: server}}});
        Ok(std::fs::write(folder.join("mcp_agent.config.yaml"), servers.to_string())?)
    }
}

/// What every call is given.
pub(crate) fn arguments() -> Value {
    json!({"text": TEXT})
}

/// A client in this very process, with a server of its own.
pub(crate) struct BareClient {
    service: RunningService<RoleClient, ()>,
    /// Killed when dropped.
    _server: Child,
}

impl BareClient {
    /// Starts the server and shakes hands.
    pub(crate) async fn start(program: &Program) -> Result<Self, Failure> {
        let mut command = Command::new(PYTHON);
        let command = command.arg(&program.0).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut server = command.spawn()?;
        let pipes = server.stdout.take().zip(server.stdin.take());
        let (stdout, stdin) = pipes.ok_or("the echo server has no pipes")?;
        let transport = AsyncRwTransport::new_client(stdout, stdin);
        let service = ().serve_with_lifecycle(transport, ClientLifecycleMode::Initialize).await?;
        Ok(Self { service, _server: server })
    }

    /// Keeps so many calls in flight for so long.
    pub(crate) async fn run(&self, calls: usize, length: Duration) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let deadline = start + length;
        let mut tasks = JoinSet::new();
        for _ in 0..calls {
            tasks.spawn(call(self.service.peer().clone(), deadline));
        }
        let mut outcome = Outcome::default();
        while let Some(part) = tasks.join_next().await {
            outcome.add(part?);
        }
        outcome.elapsed = start.elapsed();
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }
}

async fn call(peer: Peer<RoleClient>, deadline: Instant) -> Outcome {
    let arguments = Map::from_iter([("text".to_owned(), TEXT.into())]);
    let params = CallToolRequestParams::new("echo").with_arguments(arguments);
    let mut outcome = Outcome::default();
    while Instant::now() < deadline {
        let start = Instant::now();
        match peer.call_tool(params.clone()).await {
            Ok(result) if result.content.iter().any(|part| part.as_text().is_some_and(|part| part.text == TEXT)) => {
                outcome.latencies.push(start.elapsed());
            }
            Ok(result) => outcome.fail(format!("{result:?}")),
            Err(error) => {
                outcome.fail(error);
                break;
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_test_support::TempDir;

    #[tokio::test]
    async fn the_server_gives_back_what_it_is_given() {
        let folder = TempDir::new();
        let program = Program::write(folder.path()).expect("a file");
        let client = BareClient::start(&program).await.expect("a server");
        let outcome = client.run(4, Duration::from_millis(50)).await.expect("calls");
        assert_eq!(outcome.example, None);
        assert!(outcome.latencies.len() >= 4);
    }
}

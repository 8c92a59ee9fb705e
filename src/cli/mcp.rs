//! `chat-agent mcp`: to try a configuration of tool servers by hand.

use std::{io::Write, process::ExitCode, sync::Arc, time::Duration};

use chat_domain::ports::{
    Clock, NoObserver,
    tools::{Tool, ToolCatalogue, ToolPort},
};
use chat_local::system::{SystemClock, SystemRandom};
use chat_mcp::{McpTools, Phase, ServerStatus};
use clap::Subcommand;
use serde_json::{Map, Value, value::RawValue};

use super::{fail, print};
use crate::{
    app,
    config::{Mcp, Settings},
    telemetry,
};

#[derive(Debug, Subcommand)]
pub(super) enum McpCommand {
    /// Connect to all configured servers and list their tools; exit with 1 if one cannot be talked to.
    List,
    /// Call a tool and print what the model would be shown; exit with 1 if it fails.
    Call {
        /// The server, by its configured name.
        server: String,
        /// The tool, by the server's name for it.
        tool: String,
        /// The arguments, a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
    },
}

pub(super) fn run(command: McpCommand, settings: &Settings) -> ExitCode {
    let mut mcp = settings.mcp.clone();
    if mcp.servers.is_empty() {
        return fail("no MCP server is configured: name some in MCP_AGENT_SERVERS, or set MCP_SERVER_URL");
    }
    // What goes wrong is printed; the log is for the servers' own words, if they are wanted.
    let level = if mcp.log_stderr { tracing::Level::INFO } else { tracing::Level::ERROR };
    let _guard = match telemetry::init(level.into(), telemetry::Format::Text) {
        Ok(guard) => guard,
        Err(error) => return fail(&format!("the log cannot be set up: {error}")),
    };
    if let McpCommand::Call { server, arguments, .. } = &command {
        // Before a server is started for it.
        if let Err(error) = object(arguments) {
            return fail(&error);
        }
        let names: Vec<&str> = mcp.servers.iter().map(|server| server.name.as_str()).collect();
        if !names.contains(&server.as_str()) {
            return fail(&format!("there is no server {server}; configured are: {}", names.join(", ")));
        }
        mcp.servers.retain(|one| one.name == *server);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime cannot start: {error}")),
    };
    runtime.block_on(async {
        let servers = match Servers::start(&mcp).await {
            Ok(servers) => servers,
            Err(error) => return fail(&error.to_string()),
        };
        let code = match command {
            McpCommand::List => servers.list(),
            McpCommand::Call { server, tool, arguments } => servers.call(&server, &tool, &arguments).await,
        };
        servers.tools.stop().await;
        code
    })
}

struct Servers {
    tools: McpTools,
    clock: Arc<dyn Clock>,
    log_stderr: bool,
}

impl Servers {
    /// Starts the servers, and waits until each has answered or failed.
    async fn start(mcp: &Mcp) -> Result<Self, chat_mcp::BuildError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut config = app::mcp::config(mcp);
        // A person waits as long as a server may take.
        config.start_timeout = config.handshake_timeout + Duration::from_secs(5);
        let tools = McpTools::start(config, clock.clone(), Arc::new(SystemRandom), Arc::new(NoObserver))?;
        tools.started(clock.moment().plus(Duration::MAX)).await;
        Ok(Self { tools, clock, log_stderr: mcp.log_stderr })
    }

    fn list(&self) -> ExitCode {
        let catalogue = self.tools.catalogue();
        let servers = self.tools.servers();
        let all: String = servers.iter().map(|server| describe(server, &catalogue)).collect();
        let printed = print(&all);
        if servers.iter().all(|server| server.phase == Phase::Ready) {
            return printed;
        }
        self.hint();
        ExitCode::FAILURE
    }

    async fn call(&self, server: &str, tool: &str, arguments: &str) -> ExitCode {
        let catalogue = self.tools.catalogue();
        if let Some(status) = self.tools.servers().iter().find(|status| status.phase != Phase::Ready) {
            let why = status.last_error.as_deref().unwrap_or("it has not answered yet");
            self.hint();
            return fail(&format!("{server} cannot be talked to: {why}"));
        }
        let Some(tool) = catalogue.tools().iter().find(|one| *one.name == *tool) else {
            let known: Vec<&str> = catalogue.tools().iter().map(|tool| &*tool.name).collect();
            return fail(&format!("{server} has no tool {tool}; it has: {}", known.join(", ")));
        };
        let arguments = match object(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return fail(&error),
        };
        let outcome = self.tools.call("by-hand", tool, &arguments, self.clock.moment().plus(Duration::MAX)).await;
        let printed = print(&format!("{}\n", outcome.content));
        if outcome.is_error { ExitCode::FAILURE } else { printed }
    }

    fn hint(&self) {
        if !self.log_stderr {
            let _ = writeln!(std::io::stderr(), "MCP_LOG_STDERR=true shows what the servers themselves say about it.");
        }
    }
}

fn object(text: &str) -> Result<Box<RawValue>, String> {
    let object: Result<Map<String, Value>, _> = serde_json::from_str(text);
    object
        .and_then(|object| serde_json::value::to_raw_value(&object))
        .map_err(|error| format!("the arguments are no JSON object: {error}"))
}

fn describe(server: &ServerStatus, catalogue: &ToolCatalogue) -> String {
    let head = match (server.phase, &server.last_error) {
        (Phase::Ready, _) if server.tools.len() == 1 => "ready, 1 tool".to_owned(),
        (Phase::Ready, _) => format!("ready, {} tools", server.tools.len()),
        (phase, Some(error)) => format!("{}: {error}", phase.as_str()),
        (phase, None) => phase.as_str().to_owned(),
    };
    let tools = catalogue.tools().iter().filter(|tool| tool.server == server.name);
    let width = tools.clone().map(|tool| tool.name.chars().count()).max().unwrap_or(0);
    let lines: String = tools.map(|tool| format!("  {:width$}  {}\n", tool.name, summary(tool))).collect();
    format!("{} ({}): {head}\n{lines}\n", server.name, server.transport)
}

/// The first line of a description, as far as a terminal is wide.
fn summary(tool: &Tool) -> String {
    const WIDTH: usize = 80;
    let line = tool.description.as_deref().and_then(|text| text.lines().find(|line| !line.trim().is_empty()));
    let line = line.unwrap_or_default().trim();
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

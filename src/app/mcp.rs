//! The tools: from settings to MCP servers, and what operators are told of them.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_domain::ports::{
    Clock, Observer, Propagation,
    health::{Health, HealthCheck, HealthState},
    tools::{NoTools, ToolPort},
};
use chat_local::system::SystemRandom;
use chat_mcp::{GuardCommand, McpConfig, McpTools, Phase, ServerConfig, Transport};
use secrecy::{ExposeSecret, SecretString};

use super::{StartError, backends::part};
use crate::{
    config::{Mcp, McpServer, McpTransport},
    http::meta::McpServerInfo,
};

/// A server that `npx` or `uvx` has to download first may take this long to answer. Turns wait for less.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// The hidden subcommand that is nothing but a guard.
pub(crate) const GUARD_SUBCOMMAND: &str = "mcp-guard";

/// What a child needs to find its programs, its home, its language and its root certificates. Everything else of our
/// environment may be a secret.
const ENVIRONMENT: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
];

/// The tool servers, if any are configured. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ToolServers(Option<Arc<McpTools>>);

impl ToolServers {
    /// Begins to connect to all servers. Needs a tokio runtime.
    pub(crate) fn start(
        mcp: &Mcp,
        propagation: Propagation,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartError> {
        if mcp.servers.is_empty() {
            return Ok(Self(None));
        }
        if mcp.log_stderr {
            tracing::warn!("MCP_LOG_STDERR is on: what tool servers write to stderr is logged, contents as it may be");
        }
        let tools = McpTools::start(McpConfig { propagation, ..config(mcp) }, clock, Arc::new(SystemRandom), observer);
        Ok(Self(Some(Arc::new(tools.map_err(|error| part("MCP", error))?))))
    }

    /// As the chat sees them.
    pub(crate) fn port(&self) -> Arc<dyn ToolPort> {
        match &self.0 {
            Some(tools) => tools.clone(),
            None => Arc::new(NoTools::new()),
        }
    }

    /// As readiness sees them: one check for each server.
    pub(crate) fn checks(&self) -> impl Iterator<Item = Arc<dyn HealthCheck>> {
        let servers = self.0.iter().flat_map(|tools| tools.servers().into_iter().map(|server| (tools.clone(), server)));
        servers.map(|(tools, server)| Arc::new(ServerCheck { tools, server: server.name }) as Arc<dyn HealthCheck>)
    }

    /// As operators see them.
    pub(crate) fn infos(&self) -> Vec<McpServerInfo> {
        let servers = self.0.iter().flat_map(|tools| tools.servers());
        let info = |server: chat_mcp::ServerStatus| McpServerInfo {
            name: server.name.to_string(),
            transport: server.transport.to_owned(),
            status: server.phase.as_str().to_owned(),
            tools: server.tools.iter().map(ToString::to_string).collect(),
            last_error: server.last_error.as_deref().map(str::to_owned),
        };
        servers.map(info).collect()
    }

    /// Ends all connections, and all children with theirs.
    pub(crate) async fn stop(&self) {
        if let Some(tools) = &self.0 {
            tools.stop().await;
        }
    }
}

/// What the adapter is built from.
pub(crate) fn config(mcp: &Mcp) -> McpConfig {
    McpConfig {
        servers: mcp.servers.iter().map(server).collect(),
        app_name: mcp.app_name.clone(),
        app_version: env!("CARGO_PKG_VERSION").to_owned(),
        tool_timeout: mcp.tool_timeout,
        start_timeout: mcp.start_timeout,
        handshake_timeout: HANDSHAKE_TIMEOUT,
        result_max_bytes: mcp.result_max_bytes,
        log_stderr: mcp.log_stderr,
        environment: environment(),
        propagation: Propagation::default(),
        guard: this_program().map(|program| GuardCommand {
            name: env!("CARGO_PKG_NAME").to_owned(),
            program,
            args: vec![GUARD_SUBCOMMAND.to_owned()],
        }),
    }
}

fn server(server: &McpServer) -> ServerConfig {
    ServerConfig {
        name: server.name.clone(),
        required: server.required,
        allowed_tools: server.allowed_tools.clone(),
        tool_timeout: server.read_timeout,
        max_concurrent_calls: server.max_concurrent_calls,
        transport: match &server.transport {
            McpTransport::Stdio { command, args, env, cwd } => {
                Transport::Stdio { command: command.clone(), args: args.clone(), env: env.clone(), cwd: cwd.clone() }
            }
            McpTransport::Http { url, headers } => {
                Transport::Http { url: SecretString::from(url.expose_secret()), headers: headers.clone() }
            }
        },
    }
}

/// What is not configuration of ours and is passed on unread.
#[expect(clippy::disallowed_methods, reason = "no setting of ours: what children need of the system's, by name")]
fn environment() -> Vec<(String, OsString)> {
    let known = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
    std::env::vars_os().filter_map(known).filter(|(name, _)| ENVIRONMENT.contains(&name.as_str())).collect()
}

/// Where this program can be started from again, also when its file has been replaced by a newer one meanwhile.
fn this_program() -> Option<PathBuf> {
    let linux = PathBuf::from("/proc/self/exe");
    if linux.exists() { Some(linux) } else { std::env::current_exe().ok() }
}

/// A server, as readiness sees it: only one that is required can make the service unavailable.
struct ServerCheck {
    tools: Arc<McpTools>,
    server: Arc<str>,
}

#[async_trait]
impl HealthCheck for ServerCheck {
    async fn check(&self) -> Health {
        let status = self.tools.servers().into_iter().find(|status| status.name == self.server);
        let state = match status.as_ref().map(|status| (status.phase, status.required)) {
            Some((Phase::Ready, _)) => HealthState::Up,
            Some((Phase::Reconnecting, _) | (_, false)) => HealthState::Degraded,
            Some((Phase::Starting | Phase::Down, true)) | None => HealthState::Down,
        };
        let note = match status.as_ref().map(|status| status.phase) {
            Some(Phase::Starting | Phase::Reconnecting) => Some("starting"),
            _ => None,
        };
        Health {
            name: format!("mcp:{}", self.server).into(),
            state,
            since: status.as_ref().map(|status| status.since),
            last_error: status.and_then(|status| status.last_error.map(|error| error.to_string())),
            backlog: None,
            note,
        }
    }
}

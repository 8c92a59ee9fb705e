//! The settings of the tools.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::config::url::SecretUrl;

/// The tools.
#[derive(Debug, Clone)]
pub struct Mcp {
    /// The file that the servers were read from, if any was needed: `MCP_AGENT_CONFIG`, else `mcp_agent.config.yaml` in
    /// the working directory or in `config/`.
    pub config_file: Option<PathBuf>,
    /// The servers to use, each name once: those of `MCP_AGENT_SERVERS` in its order, default none; then, if
    /// `MCP_SERVER_URL` is set, the server `default` there, with `MCP_API_KEY` as its bearer token.
    pub servers: Vec<McpServer>,
    /// The client's name: `MCP_AGENT_APP_NAME`, default `chat-backend`.
    pub app_name: String,
    /// How long a tool call may take: `MCP_TOOL_TIMEOUT_SECONDS`, default 30.
    pub tool_timeout: Duration,
    /// How long turns wait for servers that are starting: `MCP_START_TIMEOUT_SECONDS`, default 15.
    pub start_timeout: Duration,
    /// Where a result is cut: `MCP_RESULT_MAX_BYTES`, default 1048576.
    pub result_max_bytes: usize,
    /// Whether servers' stderr is logged: `MCP_LOG_STDERR`, default false.
    pub log_stderr: bool,
}

/// An MCP server.
#[derive(Debug, Clone)]
pub struct McpServer {
    /// Its name: 1 to 64 characters, none of them a control character.
    pub name: String,
    /// How an operator may see it: its transport, and its command or host. They are as the file has them, so that
    /// nothing that came out of a variable is in it.
    pub shown: String,
    /// Whether turns fail while it is down: `required`, default false.
    pub required: bool,
    /// The only tools of it to use, all when `None`: `allowed_tools`.
    pub allowed_tools: Option<Vec<String>>,
    /// How long a call of one of its tools may take, instead of [`Mcp::tool_timeout`]: `read_timeout_seconds`.
    pub read_timeout: Option<Duration>,
    /// Calls that may run at a time: `max_concurrent_calls`, 1 to 1024, default 64.
    pub max_concurrent_calls: usize,
    /// How it is reached.
    pub transport: McpTransport,
}

/// How an MCP server is reached. Its `Debug` shows names and no values: any of them may come out of a variable.
#[derive(Clone)]
pub enum McpTransport {
    /// It is started as a child and spoken to over its stdin and stdout.
    Stdio {
        /// The program; never blank.
        command: String,
        /// Its arguments. Some servers take their keys there.
        args: Vec<SecretString>,
        /// What it sees besides a safe base; names are neither empty nor have they a `=`.
        env: Vec<(String, SecretString)>,
        /// Where it is started, in our own working directory when `None`. Nobody has looked whether it exists.
        cwd: Option<PathBuf>,
    },
    /// It is reached over streamable HTTP.
    Http {
        /// Its endpoint. It may have user and password in it.
        url: SecretUrl,
        /// Sent with every request: valid for HTTP, each name once, and none that the transport itself sets.
        headers: Vec<(String, SecretString)>,
    },
}

impl McpTransport {
    /// The word for it in configuration and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stdio { .. } => "stdio",
            Self::Http { .. } => "streamable_http",
        }
    }
}

impl fmt::Debug for McpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn names(pairs: &[(String, SecretString)]) -> Vec<&str> {
            pairs.iter().map(|(name, _)| name.as_str()).collect()
        }
        match self {
            Self::Stdio { args, env, .. } => {
                f.debug_struct("Stdio").field("args", args).field("env", &names(env)).finish_non_exhaustive()
            }
            Self::Http { headers, .. } => {
                f.debug_struct("Http").field("headers", &names(headers)).finish_non_exhaustive()
            }
        }
    }
}

//! The settings, validated: what the composition root builds from. Each field names its variable and its default.

mod mcp;
mod traces;

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

use super::url::SecretUrl;

pub use mcp::{Mcp, McpServer, McpTransport};
pub use traces::{Sampling, Traces};

/// Everything that can be configured. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How requests come in.
    pub server: Server,
    /// Who may do what, and how often.
    pub access: Access,
    /// What answers: `DEFAULT_PROVIDER`, default `mcp-agent`.
    pub provider: Provider,
    /// The language models behind it.
    pub llm: Llm,
    /// How a turn goes.
    pub agent: Agent,
    /// The tools.
    pub mcp: Mcp,
    /// Live sessions.
    pub memory: Memory,
    /// The archive.
    pub history: History,
    /// What is traced.
    pub traces: Traces,
    /// What is logged.
    pub log: Log,
}

/// How requests come in.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address or host name to listen on: `HOST`, default `0.0.0.0`; an IPv6 address comes without its brackets.
    pub host: String,
    /// The port to listen on, 0 for a free one: `PORT`, default 8000.
    pub port: u16,
    /// Who may call from a web page: `CORS_ALLOW_ORIGINS`, default `*`.
    pub cors_allow_origins: CorsOrigins,
    /// Whose `X-Forwarded-For` is believed: `TRUSTED_PROXIES`, default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Most connections at a time: `MAX_CONNECTIONS`, default 10000.
    pub max_connections: usize,
    /// Longest request body: `MAX_BODY_BYTES`, default 1048576.
    pub max_body_bytes: usize,
    /// How long to serve on after the signal: `SHUTDOWN_DELAY_SECONDS`, default 0.
    pub shutdown_delay: Duration,
    /// How long running requests may take after that: `SHUTDOWN_GRACE_SECONDS`, default 30.
    pub shutdown_grace: Duration,
    /// Whether requests are counted and `/metrics` exists: `METRICS_ENABLED`, default true.
    pub metrics_enabled: bool,
}

/// Which web origins may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All: `*`.
    Any,
    /// These, in lower case; none when empty.
    Only(Vec<String>),
}

/// Who may do what, and how often.
#[derive(Debug, Clone)]
pub struct Access {
    /// The token for the admin API, which is off without: `ADMIN_TOKEN`, default unset.
    pub admin_token: Option<SecretString>,
    /// The keys of which clients need one, if there are any: `API_KEYS`, default none.
    pub api_keys: Vec<SecretString>,
    /// Average requests a second of one identity: `RATE_RPS`, default 1.0.
    pub rate_rps: f64,
    /// Requests at once: `RATE_BURST`, default 5.
    pub rate_burst: u32,
    /// What to do while the limiter's store does not answer: `RATE_LIMIT_ON_ERROR`, default `allow`.
    pub on_limiter_error: OnLimiterError,
}

/// What to do with a request while the limiter's store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimiterError {
    /// Let it pass.
    Allow,
    /// Refuse it.
    Deny,
}

/// What answers a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The agent loop over a language model and tools.
    McpAgent,
    /// The built-in model that needs neither key nor network.
    Demo,
    /// Nothing: every turn is refused.
    Unconfigured,
}

/// The language models.
#[derive(Debug, Clone)]
pub struct Llm {
    /// The backend that is asked first: `MCP_AGENT_LLM`, default `openrouter`.
    pub provider: LlmProvider,
    /// The model asked when a request names none: `MCP_AGENT_MODEL`, else (OpenRouter only) `OPENROUTER_MODEL`, default `openrouter/auto`.
    pub model: String,
    /// `OPENROUTER_KEY` and `OPENROUTER_BASE_URL`, default `https://openrouter.ai/api/v1`.
    pub openrouter: Backend,
    /// `OPENAI_API_KEY` and `OPENAI_BASE_URL`, default `https://api.openai.com/v1`.
    pub openai: Backend,
    /// What is tried next, in order: `LLM_FALLBACKS`, default none.
    pub fallbacks: Vec<Fallback>,
    /// Further attempts on the same backend: `LLM_MAX_RETRIES`, default 2.
    pub max_retries: u32,
    /// Bound of one attempt: `PROVIDER_TIMEOUT_SECONDS`, default 30.
    pub timeout: Duration,
}

impl Llm {
    /// The backend of a provider.
    pub fn backend(&self, provider: LlmProvider) -> &Backend {
        match provider {
            LlmProvider::OpenRouter => &self.openrouter,
            LlmProvider::OpenAi => &self.openai,
        }
    }

    /// What can be asked, in order: the default backend if it has credentials, then the fallbacks.
    /// Empty: nothing is configured, and [`LlmProvider::key_variable`] of the default provider says what to set.
    pub fn candidates(&self) -> Vec<Fallback> {
        let first = self
            .backend(self.provider)
            .is_configured
            .then(|| Fallback { provider: self.provider, model: self.model.clone() });
        first.into_iter().chain(self.fallbacks.iter().cloned()).collect()
    }
}

/// The kinds of backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmProvider {
    /// OpenRouter.
    OpenRouter,
    /// OpenAI, or any server that speaks its API.
    OpenAi,
}

impl LlmProvider {
    /// The name that variables use.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenRouter => "openrouter",
            Self::OpenAi => "openai",
        }
    }

    /// The variable that gives it credentials.
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::OpenRouter => "OPENROUTER_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }
}

/// An endpoint and its credentials.
#[derive(Debug, Clone)]
pub struct Backend {
    /// The key, if there is one.
    pub key: Option<SecretString>,
    /// Where the API is, without a slash at its end.
    pub base_url: SecretUrl,
    /// Whether it can be asked: OpenRouter needs a key; an OpenAI-compatible server at an address of one's own does not.
    pub is_configured: bool,
}

/// A model of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The backend.
    pub provider: LlmProvider,
    /// The model's name there.
    pub model: String,
}

/// How a turn goes.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Fixed when a session is created: `INITIAL_SYSTEM_PROMPT`, default unset.
    pub system_prompt: Option<String>,
    /// Sent instead of it: `MCP_AGENT_INSTRUCTION`, default unset.
    pub instruction: Option<String>,
    /// Most calls of the model in a turn: `AGENT_MAX_STEPS`, default 10.
    pub max_steps: u32,
    /// How long a turn may take: `TURN_TIMEOUT_SECONDS`, default 300.
    pub turn_timeout: Duration,
    /// What becomes of earlier tool calls: `MEMORY_TOOL_ROUNDS`, default `replay`.
    pub tool_rounds: ToolRounds,
    /// Further options that clients may set: `ALLOWED_OPTIONS`, default none.
    pub allowed_options: Vec<String>,
    /// The models that clients may choose, any when empty: `ALLOWED_MODELS`, default none.
    pub allowed_models: Vec<String>,
}

/// What becomes of earlier tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolRounds {
    /// The model sees them again.
    Replay,
    /// Only their messages' text is sent again.
    Drop,
}

/// Live sessions.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Messages remembered per session: `MEMORY_DEFAULT`, default 10.
    pub default_limit: u32,
    /// The most that can be asked for: `MEMORY_MAX`, default 50.
    pub max_limit: u32,
    /// Idle time after which a session ends, never when `None`: `SESSION_TTL_SECONDS`, default 604800.
    pub session_ttl: Option<Duration>,
    /// Most sessions in process: `MAX_SESSIONS`, default 100000.
    pub max_sessions: usize,
    /// The Redis that sessions, limits and the bypass list are kept in, in process when `None`: `REDIS_URL`, default unset.
    pub redis: Option<SecretUrl>,
}

/// The archive.
#[derive(Debug, Clone)]
pub struct History {
    /// Where it is kept: `HISTORY_STORAGE_BACKEND`, default `none`.
    pub backend: HistoryBackend,
    /// What keeps deployments apart: `HISTORY_NAMESPACE`, default `chat_history`.
    pub namespace: String,
    /// Where writes wait, in memory when `None`: `HISTORY_SPOOL_DIR`, default unset.
    pub spool_dir: Option<PathBuf>,
}

/// Where the archive is kept.
#[derive(Debug, Clone)]
pub enum HistoryBackend {
    /// Nowhere.
    None,
    /// In MySQL or MariaDB.
    MySql(MySql),
    /// In MongoDB.
    MongoDb(MongoDb),
    /// In Redis: `HISTORY_REDIS_URL`, else `REDIS_URL`.
    Redis(SecretUrl),
}

impl HistoryBackend {
    /// The name that `HISTORY_STORAGE_BACKEND` uses.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::MySql(_) => "mysql",
            Self::MongoDb(_) => "mongodb",
            Self::Redis(_) => "redis",
        }
    }
}

/// An archive in MySQL.
#[derive(Debug, Clone)]
pub struct MySql {
    /// `HISTORY_MYSQL_HOST`, default `localhost`.
    pub host: String,
    /// `HISTORY_MYSQL_PORT`, default 3306.
    pub port: u16,
    /// `HISTORY_MYSQL_USER`, required.
    pub user: String,
    /// `HISTORY_MYSQL_PASSWORD`, default unset.
    pub password: Option<SecretString>,
    /// `HISTORY_MYSQL_DATABASE`, required.
    pub database: String,
    /// `HISTORY_MYSQL_SESSION_TABLE`, default `chat_sessions`.
    pub session_table: String,
    /// `HISTORY_MYSQL_MESSAGE_TABLE`, default `chat_messages`.
    pub message_table: String,
}

/// An archive in MongoDB.
#[derive(Debug, Clone)]
pub struct MongoDb {
    /// `HISTORY_MONGODB_URI`, default `mongodb://localhost:27017`.
    pub uri: SecretUrl,
    /// `HISTORY_MONGODB_DATABASE`, default `chat_history`.
    pub database: String,
    /// `HISTORY_MONGODB_SESSION_COLLECTION`, default `chat_sessions`.
    pub session_collection: String,
    /// `HISTORY_MONGODB_MESSAGE_COLLECTION`, default `chat_messages`.
    pub message_collection: String,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least important level: `LOG_LEVEL`, default `INFO`.
    pub level: LogLevel,
    /// `LOG_FORMAT`, default `json`.
    pub format: LogFormat,
}

/// Levels, by Rust's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What happens.
    Info,
    /// What should not happen; Python's `WARNING`.
    Warn,
    /// What failed; Python's `CRITICAL` as well.
    Error,
    /// Nothing.
    Off,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// For people.
    Text,
}

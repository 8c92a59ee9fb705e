//! The table of all variables: name, default, what for; aliases after it.

use super::variables::{Group, Variable};

/// The table, group by group.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Language model",
        variables: &[
            Variable::secret("OPENROUTER_KEY", "API key for OpenRouter.").or(&["OPENROUTER_API_KEY"]),
            Variable::url("OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1", "Where OpenRouter's API is."),
            Variable::open("OPENROUTER_MODEL", "openrouter/auto", "The model asked when a request names none.")
                .or(&["OPENROUTER_DEFAULT_MODEL"]),
            Variable::open(
                "MCP_AGENT_LLM",
                "openrouter",
                "Which backend answers: openrouter, or openai for OpenAI and every server that speaks its API.",
            )
            .or(&["MCP_AGENT_LLM_PROVIDER"]),
            Variable::secret("OPENAI_API_KEY", "API key for MCP_AGENT_LLM=openai; a local model server needs none."),
            Variable::url("OPENAI_BASE_URL", "https://api.openai.com/v1", "Where the OpenAI-compatible API is."),
            Variable::open(
                "MCP_AGENT_MODEL",
                "",
                "The model asked by default; blank: OPENROUTER_MODEL. Required for MCP_AGENT_LLM=openai.",
            )
            .or(&["MCP_AGENT_DEFAULT_MODEL"]),
            Variable::open(
                "LLM_FALLBACKS",
                "",
                "What to try in turn when the backend fails: a list of openrouter:MODEL and openai:MODEL.",
            ),
            Variable::open("LLM_MAX_RETRIES", "2", "Further attempts on the same backend before the next one."),
            Variable::open(
                "PROVIDER_TIMEOUT_SECONDS",
                "30",
                "How long one attempt may take: the whole answer, or each gap of a streamed one.",
            ),
            Variable::open(
                "DEFAULT_PROVIDER",
                "mcp-agent",
                "What answers a message: mcp-agent, demo (offline, for trying out), unconfigured (refuses).",
            )
            .or(&["DEFAULT_PROVIDER_NAME"]),
        ],
    },
    Group {
        title: "Agent",
        variables: &[
            Variable::open("INITIAL_SYSTEM_PROMPT", "", "System prompt, fixed when a session is created."),
            Variable::open("MCP_AGENT_INSTRUCTION", "", "Sent instead of INITIAL_SYSTEM_PROMPT."),
            Variable::open("AGENT_MAX_STEPS", "10", "Most calls of the model in one turn, at least 2."),
            Variable::open("TURN_TIMEOUT_SECONDS", "300", "How long a turn may take, waiting included."),
            Variable::open(
                "MEMORY_TOOL_ROUNDS",
                "replay",
                "Whether the model sees earlier tool calls again: replay or drop.",
            ),
            Variable::open("ALLOWED_OPTIONS", "", "Further request options that clients may set."),
            Variable::open("ALLOWED_MODELS", "", "The models that clients may choose; blank: any."),
        ],
    },
    Group {
        title: "Tools (MCP)",
        variables: &[
            Variable::open("MCP_AGENT_CONFIG", "", "The file that describes the MCP servers."),
            Variable::open("MCP_AGENT_SERVERS", "", "The servers to use, by their names in that file; blank: none."),
            Variable::open("MCP_AGENT_APP_NAME", "chat-backend", "The name that MCP servers and OpenRouter see."),
            Variable::url("MCP_SERVER_URL", "", "One more server, named default, over streamable HTTP."),
            Variable::secret("MCP_API_KEY", "Bearer token for MCP_SERVER_URL."),
            Variable::open("MCP_TOOL_TIMEOUT_SECONDS", "30", "How long one tool call may take."),
            Variable::open(
                "MCP_START_TIMEOUT_SECONDS",
                "15",
                "How long turns wait for servers that are still starting, from our own start.",
            ),
            Variable::open("MCP_RESULT_MAX_BYTES", "1048576", "A longer tool result is cut, and marked as cut."),
            Variable::open(
                "MCP_LOG_STDERR",
                "false",
                "Whether what servers print to stderr goes into the log; it may hold contents.",
            ),
        ],
    },
    Group {
        title: "Server",
        variables: &[
            Variable::open("HOST", "0.0.0.0", "The address to listen on."),
            Variable::open("PORT", "8000", "The port to listen on; 0 takes a free one."),
            Variable::open("CORS_ALLOW_ORIGINS", "*", "Web origins whose pages may call us; none: no other."),
            Variable::open("TRUSTED_PROXIES", "", "Addresses and networks whose X-Forwarded-For is believed."),
            Variable::open("MAX_CONNECTIONS", "10000", "Most connections open at a time."),
            Variable::open("MAX_BODY_BYTES", "1048576", "Longest request body."),
            Variable::open(
                "SHUTDOWN_DELAY_SECONDS",
                "0",
                "How long to serve on after the signal, so that load balancers notice.",
            ),
            Variable::open("SHUTDOWN_GRACE_SECONDS", "30", "How long running requests may take to finish after that."),
            Variable::open("METRICS_ENABLED", "true", "Whether requests are counted and /metrics exists."),
        ],
    },
    Group {
        title: "Access",
        variables: &[
            Variable::secret("ADMIN_TOKEN", "Token for the admin API; unset: the admin API is off.")
                .placeholder("change-me"),
            Variable::secret("API_KEYS", "The keys that clients must send; blank: anyone may call."),
            Variable::open("RATE_RPS", "1.0", "Requests a second, on average, of one identity (address or key)."),
            Variable::open("RATE_BURST", "5", "Requests at once before the limit applies."),
            Variable::open("RATE_LIMIT_ON_ERROR", "allow", "What to do while Redis does not answer: allow or deny."),
        ],
    },
    Group {
        title: "Sessions",
        variables: &[
            Variable::open("MEMORY_DEFAULT", "10", "Messages remembered per session."),
            Variable::open("MEMORY_MAX", "50", "The most a client may ask for."),
            Variable::open("SESSION_TTL_SECONDS", "604800", "Idle time after which a session ends; 0: never."),
            Variable::open("MAX_SESSIONS", "100000", "Most sessions held in process."),
            Variable::url(
                "REDIS_URL",
                "",
                "Keeps sessions, limits and the bypass list in Redis, shared by all replicas.",
            ),
        ],
    },
    Group {
        title: "History",
        variables: &[
            Variable::open(
                "HISTORY_STORAGE_BACKEND",
                "none",
                "Where every message is archived: none, mysql, mongodb, redis.",
            ),
            Variable::open("HISTORY_NAMESPACE", "chat_history", "Keeps several deployments apart in one database."),
            Variable::open("HISTORY_SPOOL_DIR", "", "Where writes wait while the database is down; blank: in memory."),
            Variable::open("HISTORY_MYSQL_HOST", "localhost", "MySQL's host."),
            Variable::open("HISTORY_MYSQL_PORT", "3306", "MySQL's port."),
            Variable::open("HISTORY_MYSQL_USER", "", "MySQL's user; required for mysql."),
            Variable::secret("HISTORY_MYSQL_PASSWORD", "MySQL's password."),
            Variable::open("HISTORY_MYSQL_DATABASE", "", "MySQL's database; required for mysql."),
            Variable::open("HISTORY_MYSQL_SESSION_TABLE", "chat_sessions", "The table of sessions."),
            Variable::open("HISTORY_MYSQL_MESSAGE_TABLE", "chat_messages", "The table of messages."),
            Variable::url("HISTORY_MONGODB_URI", "mongodb://localhost:27017", "MongoDB's connection string."),
            Variable::open("HISTORY_MONGODB_DATABASE", "chat_history", "MongoDB's database."),
            Variable::open("HISTORY_MONGODB_SESSION_COLLECTION", "chat_sessions", "The collection of sessions."),
            Variable::open("HISTORY_MONGODB_MESSAGE_COLLECTION", "chat_messages", "The collection of messages."),
            Variable::url("HISTORY_REDIS_URL", "", "The archive's Redis; blank: REDIS_URL."),
        ],
    },
    Group {
        title: "Traces",
        variables: &[
            Variable::url(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "",
                "The OpenTelemetry collector (OTLP over HTTP, such as http://localhost:4318); unset: no traces.",
            ),
            Variable::url(
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "",
                "The whole address for traces, where it is not OTEL_EXPORTER_OTLP_ENDPOINT with /v1/traces.",
            ),
            Variable::secret("OTEL_EXPORTER_OTLP_HEADERS", "Headers for the collector: name=value, percent-encoded."),
            Variable::open("OTEL_SERVICE_NAME", "chat-agent", "What the service is called in traces."),
            Variable::open(
                "OTEL_TRACES_SAMPLER",
                "parentbased_always_on",
                "Which traces are kept: always_on, always_off, traceidratio, or parentbased_ before one of them.",
            ),
            Variable::open("OTEL_TRACES_SAMPLER_ARG", "1", "The share that traceidratio keeps, from 0 to 1."),
            Variable::open(
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
                "false",
                "Whether traces hold what is said, and what tools get and give.",
            ),
        ],
    },
    Group {
        title: "Logs and files",
        variables: &[
            Variable::open("LOG_LEVEL", "INFO", "Least important level logged: TRACE, DEBUG, INFO, WARNING, ERROR."),
            Variable::open("LOG_FORMAT", "json", "json, or text for people."),
            Variable::open(
                "APP_CONFIG_FILE",
                "",
                "The YAML file to read; blank: config/app.config.yaml, if it is there.",
            ),
        ],
    },
];

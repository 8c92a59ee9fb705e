//! From variables to settings, group by group. What one value may be is said here; what values may be together, in `checks`.

use secrecy::ExposeSecret;

use super::mcp;
use super::parse::{self, boolean, choice, integer, key, line, number, seconds, token, verbatim};
use super::reader::Reader;
use super::settings::*;
use super::url::{self, SecretUrl};
use super::variables::variable;

/// The shortest timeout that is one.
pub(super) const A_MOMENT: f64 = 0.001;

/// Reads every variable exactly once, whether it is going to be used or not: a mistake in one is a mistake.
pub(super) fn assemble(reader: &mut Reader<'_>) -> Settings {
    reader.optional("APP_CONFIG_FILE", parse::path);
    let memory = memory(reader);
    Settings {
        server: server(reader),
        access: access(reader),
        provider: provider(reader),
        llm: llm(reader),
        agent: agent(reader),
        mcp: mcp::mcp(reader),
        history: history(reader, memory.redis.as_ref()),
        memory,
        traces: traces(reader),
        log: log(reader),
    }
}

fn server(reader: &mut Reader<'_>) -> Server {
    let origins = reader.list("CORS_ALLOW_ORIGINS", parse::origin);
    Server {
        host: reader.required("HOST", parse::host),
        port: reader.required("PORT", integer(0..=65_535)),
        cors_allow_origins: if origins.iter().any(|origin| origin == "*") {
            CorsOrigins::Any
        } else {
            CorsOrigins::Only(origins)
        },
        trusted_proxies: reader.list("TRUSTED_PROXIES", parse::network),
        max_connections: reader.required("MAX_CONNECTIONS", integer(1..=u64::MAX)),
        max_body_bytes: reader.required("MAX_BODY_BYTES", integer(1..=u64::MAX)),
        shutdown_delay: reader.required("SHUTDOWN_DELAY_SECONDS", seconds(0.0)),
        shutdown_grace: reader.required("SHUTDOWN_GRACE_SECONDS", seconds(0.0)),
        metrics_enabled: reader.required("METRICS_ENABLED", boolean),
    }
}

fn access(reader: &mut Reader<'_>) -> Access {
    let on_error = [("allow", OnLimiterError::Allow), ("deny", OnLimiterError::Deny)];
    Access {
        admin_token: reader.optional("ADMIN_TOKEN", token),
        api_keys: reader.list("API_KEYS", key),
        // Smaller ones make waits that no clock can count.
        rate_rps: reader.required("RATE_RPS", number(0.000_001..=1_000_000.0)),
        rate_burst: reader.required("RATE_BURST", integer(1..=u64::from(u32::MAX))),
        on_limiter_error: reader.required("RATE_LIMIT_ON_ERROR", choice(&on_error, &[])),
    }
}

/// Old files name the backend here. There is one agent for all of them, so that any other name means it.
fn provider(reader: &mut Reader<'_>) -> Provider {
    const NAME: &str = "DEFAULT_PROVIDER";
    let known = [("mcp-agent", Provider::McpAgent), ("demo", Provider::Demo), ("unconfigured", Provider::Unconfigured)];
    let choose = choice(&known, &[]);
    let chosen = reader.required(NAME, |text| Ok(choose(text).map_err(|expected| (expected, text.trim().to_owned()))));
    chosen.unwrap_or_else(|(expected, _)| {
        reader.warn(NAME, &format!("{expected}; anything else means mcp-agent"));
        reader.means(NAME, variable(NAME).default);
        Provider::McpAgent
    })
}

fn llm(reader: &mut Reader<'_>) -> Llm {
    let providers = [("openrouter", LlmProvider::OpenRouter), ("openai", LlmProvider::OpenAi)];
    let provider = reader.required("MCP_AGENT_LLM", choice(&providers, &[]));
    let openrouter_key = reader.optional("OPENROUTER_KEY", key);
    let openai_key = reader.optional("OPENAI_API_KEY", key);
    let openai_url = reader.required("OPENAI_BASE_URL", url::base_url);
    let openrouter_model = reader.required("OPENROUTER_MODEL", line);
    let model = reader.optional("MCP_AGENT_MODEL", line);
    Llm {
        provider,
        model: model.unwrap_or(openrouter_model),
        openrouter: Backend {
            is_configured: openrouter_key.is_some(),
            key: openrouter_key,
            base_url: reader.required("OPENROUTER_BASE_URL", url::base_url),
        },
        openai: Backend {
            is_configured: openai_key.is_some() || openai_url.expose_secret() != variable("OPENAI_BASE_URL").default,
            key: openai_key,
            base_url: openai_url,
        },
        fallbacks: reader.list("LLM_FALLBACKS", parse::fallback),
        max_retries: reader.required("LLM_MAX_RETRIES", integer(0..=100)),
        timeout: reader.required("PROVIDER_TIMEOUT_SECONDS", seconds(A_MOMENT)),
    }
}

fn agent(reader: &mut Reader<'_>) -> Agent {
    let tool_rounds = [("replay", ToolRounds::Replay), ("drop", ToolRounds::Drop)];
    Agent {
        system_prompt: reader.optional("INITIAL_SYSTEM_PROMPT", verbatim),
        instruction: reader.optional("MCP_AGENT_INSTRUCTION", verbatim),
        // The last call must answer without tools, so that with a single one there would never be any.
        max_steps: reader.required("AGENT_MAX_STEPS", integer(2..=1000)),
        turn_timeout: reader.required("TURN_TIMEOUT_SECONDS", seconds(A_MOMENT)),
        tool_rounds: reader.required("MEMORY_TOOL_ROUNDS", choice(&tool_rounds, &[])),
        allowed_options: reader.list("ALLOWED_OPTIONS", parse::word),
        allowed_models: reader.list("ALLOWED_MODELS", parse::word),
    }
}

fn memory(reader: &mut Reader<'_>) -> Memory {
    Memory {
        default_limit: reader.required("MEMORY_DEFAULT", integer(1..=u64::from(u32::MAX))),
        max_limit: reader.required("MEMORY_MAX", integer(1..=u64::from(u32::MAX))),
        session_ttl: Some(reader.required("SESSION_TTL_SECONDS", seconds(0.0))).filter(|ttl| !ttl.is_zero()),
        max_sessions: reader.required("MAX_SESSIONS", integer(1..=u64::MAX)),
        redis: reader.optional("REDIS_URL", url::redis_url),
    }
}

fn history(reader: &mut Reader<'_>, redis: Option<&SecretUrl>) -> History {
    #[derive(Clone, Copy)]
    enum Kind {
        None,
        MySql,
        MongoDb,
        Redis,
    }
    let kinds = [("none", Kind::None), ("mysql", Kind::MySql), ("mongodb", Kind::MongoDb), ("redis", Kind::Redis)];
    let kind = reader.required("HISTORY_STORAGE_BACKEND", choice(&kinds, &[]));
    // What is required is read as optional: it is only missing when its backend is chosen, which the checks know.
    let mysql = MySql {
        host: reader.required("HISTORY_MYSQL_HOST", parse::host),
        port: reader.required("HISTORY_MYSQL_PORT", integer(1..=65_535)),
        user: reader.optional("HISTORY_MYSQL_USER", line).unwrap_or_default(),
        password: reader.optional("HISTORY_MYSQL_PASSWORD", parse::password),
        database: reader.optional("HISTORY_MYSQL_DATABASE", parse::database).unwrap_or_default(),
        session_table: reader.required("HISTORY_MYSQL_SESSION_TABLE", parse::table),
        message_table: reader.required("HISTORY_MYSQL_MESSAGE_TABLE", parse::table),
    };
    let mongodb = MongoDb {
        uri: reader.required("HISTORY_MONGODB_URI", url::mongodb_uri),
        database: reader.required("HISTORY_MONGODB_DATABASE", parse::database),
        session_collection: reader.required("HISTORY_MONGODB_SESSION_COLLECTION", parse::collection),
        message_collection: reader.required("HISTORY_MONGODB_MESSAGE_COLLECTION", parse::collection),
    };
    let own_redis = reader.optional("HISTORY_REDIS_URL", url::redis_url);
    History {
        backend: match kind {
            Kind::None => HistoryBackend::None,
            Kind::MySql => HistoryBackend::MySql(mysql),
            Kind::MongoDb => HistoryBackend::MongoDb(mongodb),
            Kind::Redis => {
                HistoryBackend::Redis(own_redis.or_else(|| redis.cloned()).unwrap_or_else(SecretUrl::nowhere))
            }
        },
        namespace: reader.required("HISTORY_NAMESPACE", parse::namespace),
        spool_dir: reader.optional("HISTORY_SPOOL_DIR", parse::path),
    }
}

fn traces(reader: &mut Reader<'_>) -> Traces {
    #[derive(Clone, Copy)]
    enum Kept {
        All,
        None,
        Share,
    }
    let samplers = [
        ("always_on", (false, Kept::All)),
        ("always_off", (false, Kept::None)),
        ("traceidratio", (false, Kept::Share)),
        ("parentbased_always_on", (true, Kept::All)),
        ("parentbased_always_off", (true, Kept::None)),
        ("parentbased_traceidratio", (true, Kept::Share)),
    ];
    let collector = reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT", url::base_url);
    let (follow_parent, kept) = reader.required("OTEL_TRACES_SAMPLER", choice(&samplers, &[]));
    let share = reader.required("OTEL_TRACES_SAMPLER_ARG", number(0.0..=1.0));
    Traces {
        endpoint: reader
            .optional("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url::endpoint)
            .or_else(|| collector.map(|collector| collector.below("/v1/traces"))),
        headers: reader.list("OTEL_EXPORTER_OTLP_HEADERS", parse::header),
        service_name: reader.required("OTEL_SERVICE_NAME", line),
        sampling: Sampling {
            follow_parent,
            share: match kept {
                Kept::All => 1.0,
                Kept::None => 0.0,
                Kept::Share => share,
            },
        },
        contents: reader.required("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", boolean),
    }
}

fn log(reader: &mut Reader<'_>) -> Log {
    let levels = [
        ("TRACE", LogLevel::Trace),
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARNING", LogLevel::Warn),
        ("ERROR", LogLevel::Error),
        ("CRITICAL", LogLevel::Error),
        ("OFF", LogLevel::Off),
    ];
    let aliases = [("WARN", LogLevel::Warn), ("FATAL", LogLevel::Error)];
    let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    Log {
        level: reader.required("LOG_LEVEL", choice(&levels, &aliases)),
        format: reader.required("LOG_FORMAT", choice(&formats, &[])),
    }
}

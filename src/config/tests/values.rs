//! What each variable may be.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// The defaults that users rely on, written out a second time.
const DEFAULTS: &[(&str, &str)] = &[
    ("ADMIN_TOKEN", ""),
    ("AGENT_MAX_STEPS", "10"),
    ("ALLOWED_MODELS", ""),
    ("ALLOWED_OPTIONS", ""),
    ("API_KEYS", ""),
    ("APP_CONFIG_FILE", ""),
    ("CORS_ALLOW_ORIGINS", "*"),
    ("DEFAULT_PROVIDER", "mcp-agent"),
    ("HISTORY_MONGODB_DATABASE", "chat_history"),
    ("HISTORY_MONGODB_MESSAGE_COLLECTION", "chat_messages"),
    ("HISTORY_MONGODB_SESSION_COLLECTION", "chat_sessions"),
    ("HISTORY_MONGODB_URI", "mongodb://localhost:27017"),
    ("HISTORY_MYSQL_DATABASE", ""),
    ("HISTORY_MYSQL_HOST", "localhost"),
    ("HISTORY_MYSQL_MESSAGE_TABLE", "chat_messages"),
    ("HISTORY_MYSQL_PASSWORD", ""),
    ("HISTORY_MYSQL_PORT", "3306"),
    ("HISTORY_MYSQL_SESSION_TABLE", "chat_sessions"),
    ("HISTORY_MYSQL_USER", ""),
    ("HISTORY_NAMESPACE", "chat_history"),
    ("HISTORY_REDIS_URL", ""),
    ("HISTORY_SPOOL_DIR", ""),
    ("HISTORY_STORAGE_BACKEND", "none"),
    ("HOST", "0.0.0.0"),
    ("INITIAL_SYSTEM_PROMPT", ""),
    ("LLM_FALLBACKS", ""),
    ("LLM_MAX_RETRIES", "2"),
    ("LOG_FORMAT", "json"),
    ("LOG_LEVEL", "INFO"),
    ("MAX_BODY_BYTES", "1048576"),
    ("MAX_CONNECTIONS", "10000"),
    ("MAX_SESSIONS", "100000"),
    ("MCP_AGENT_APP_NAME", "chat-backend"),
    ("MCP_AGENT_CONFIG", ""),
    ("MCP_AGENT_INSTRUCTION", ""),
    ("MCP_AGENT_LLM", "openrouter"),
    ("MCP_AGENT_MODEL", ""),
    ("MCP_AGENT_SERVERS", ""),
    ("MCP_API_KEY", ""),
    ("MCP_LOG_STDERR", "false"),
    ("MCP_RESULT_MAX_BYTES", "1048576"),
    ("MCP_SERVER_URL", ""),
    ("MCP_START_TIMEOUT_SECONDS", "15"),
    ("MCP_TOOL_TIMEOUT_SECONDS", "30"),
    ("MEMORY_DEFAULT", "10"),
    ("MEMORY_MAX", "50"),
    ("MEMORY_TOOL_ROUNDS", "replay"),
    ("METRICS_ENABLED", "true"),
    ("OPENAI_API_KEY", ""),
    ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
    ("OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1"),
    ("OPENROUTER_KEY", ""),
    ("OPENROUTER_MODEL", "openrouter/auto"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    ("OTEL_EXPORTER_OTLP_HEADERS", ""),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""),
    ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "false"),
    ("OTEL_SERVICE_NAME", "chat-agent"),
    ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
    ("OTEL_TRACES_SAMPLER_ARG", "1"),
    ("PORT", "8000"),
    ("PROVIDER_TIMEOUT_SECONDS", "30"),
    ("RATE_BURST", "5"),
    ("RATE_LIMIT_ON_ERROR", "allow"),
    ("RATE_RPS", "1.0"),
    ("REDIS_URL", ""),
    ("SESSION_TTL_SECONDS", "604800"),
    ("SHUTDOWN_DELAY_SECONDS", "0"),
    ("SHUTDOWN_GRACE_SECONDS", "30"),
    ("TRUSTED_PROXIES", ""),
    ("TURN_TIMEOUT_SECONDS", "300"),
];

#[test]
fn the_defaults_are_the_documented_ones_and_every_variable_is_listed_once() {
    let loaded = env(&[]).expect("nothing is required");
    let mut listed: Vec<_> = loaded.effective.iter().map(|line| (line.name, line.value.as_str())).collect();
    assert!(loaded.effective.iter().all(|line| line.source == SourceKind::Default));
    assert!(loaded.warnings.is_empty());
    let table: Vec<_> = variables().map(|variable| variable.name).collect();
    let order: Vec<_> = listed.iter().map(|(name, _)| *name).collect();
    assert_eq!(order, table, "every variable is read exactly once and listed in the table's order");
    listed.sort_unstable();
    assert_eq!(listed, DEFAULTS);
}

#[test]
fn the_defaults_become_settings() {
    let settings = settings(&[]);
    assert_eq!(settings.server.host, "0.0.0.0");
    assert_eq!(settings.server.port, 8000);
    assert_eq!(settings.server.cors_allow_origins, CorsOrigins::Any);
    assert!(settings.server.metrics_enabled);
    assert_eq!(settings.provider, Provider::McpAgent);
    assert_eq!(settings.llm.provider, LlmProvider::OpenRouter);
    assert_eq!(settings.llm.model, "openrouter/auto");
    assert_eq!(settings.llm.timeout, Duration::from_secs(30));
    assert!(settings.llm.candidates().is_empty());
    assert_eq!(settings.agent.turn_timeout, Duration::from_secs(300));
    assert_eq!(settings.agent.tool_rounds, ToolRounds::Replay);
    assert_eq!((settings.memory.default_limit, settings.memory.max_limit), (10, 50));
    assert_eq!(settings.memory.session_ttl, Some(Duration::from_secs(604_800)));
    assert!(settings.access.admin_token.is_none() && settings.access.api_keys.is_empty());
    assert_eq!(settings.history.backend.name(), "none");
    assert!(settings.traces.endpoint.is_none() && !settings.traces.contents);
    assert_eq!(settings.traces.sampling, Sampling { follow_parent: true, share: 1.0 });
    assert_eq!(settings.log, Log { level: LogLevel::Info, format: LogFormat::Json });
}

#[test]
fn empty_and_blank_count_as_unset() {
    for variable in variables() {
        for blank in ["", "  ", "\t\n"] {
            let loaded = env(&[(variable.name, blank)]).expect("blank is unset");
            assert_eq!(effective(&loaded, variable.name).source, SourceKind::Default, "{}", variable.name);
        }
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems = problems(&[
        ("RATE_RPS", "0"),
        ("PORT", "70000"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, nonsense, 1.2.3.4/99"),
        ("HISTORY_STORAGE_BACKEND", "mysql"),
        ("OPENAI_BASE_URL", "nowhere"),
    ]);
    let subjects: Vec<_> = problems.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(subjects.iter().filter(|subject| **subject == "TRUSTED_PROXIES").count(), 2);
    let subjects: BTreeSet<_> = subjects.into_iter().collect();
    let expected =
        ["HISTORY_MYSQL_DATABASE", "HISTORY_MYSQL_USER", "OPENAI_BASE_URL", "PORT", "RATE_RPS", "TRUSTED_PROXIES"];
    assert_eq!(subjects, BTreeSet::from(expected));
}

#[test]
fn every_list_is_written_in_any_of_three_ways() {
    let lists: &[(&str, &str, &str)] = &[
        ("MCP_AGENT_SERVERS", "filesystem", "fetch"),
        ("LLM_FALLBACKS", "openrouter:a/b:free", "openai:gpt-4o"),
        ("TRUSTED_PROXIES", "10.0.0.0/8", "::1/128"),
        ("CORS_ALLOW_ORIGINS", "https://a.example", "http://localhost:3000"),
        ("API_KEYS", "key-one", "0x10"),
        ("ALLOWED_OPTIONS", "safety", "seed2"),
        ("ALLOWED_MODELS", "a/b:free", "openrouter/auto"),
    ];
    let directory =
        Directory::new(&[("mcp_agent.config.yaml", "mcpServers: {filesystem: {command: a}, fetch: {command: b}}")]);
    let credentials = yaml("openrouter_key: k\nopenai_api_key: k");
    for (name, one, two) in lists {
        let of = |layer: Values| {
            let loaded =
                directory.load_layers([layer, credentials.clone()]).unwrap_or_else(|errors| panic!("{name}: {errors}"));
            let shown = effective(&loaded, name).value.clone();
            let settings = loaded.settings;
            (
                shown,
                format!("{:?}", (settings.llm.fallbacks, settings.mcp.servers, settings.server.trusted_proxies)),
                format!(
                    "{:?}",
                    (settings.server.cors_allow_origins, settings.agent.allowed_options, settings.agent.allowed_models)
                ),
                settings
                    .access
                    .api_keys
                    .iter()
                    .map(|key| secrecy::ExposeSecret::expose_secret(key).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let key = name.to_ascii_lowercase();
        let by_commas = of(Values::environment([(*name, format!("{one}, {two},").as_str())]));
        assert_ne!(by_commas, of(Values::environment([])), "{name} has an effect");
        assert_eq!(by_commas, of(Values::environment([(*name, format!(r#"["{one}", "{two}"]"#).as_str())])));
        assert_eq!(by_commas, of(yaml(&format!("{key}: '{one},{two}'"))));
        assert_eq!(by_commas, of(yaml(&format!("{key}:\n  - \"{one}\"\n  - {two}"))));
        assert_eq!(by_commas, of(yaml(&format!("{key}: |\n  {one}\n  {two}"))));
        let empty = of(Values::environment([(*name, "none")]));
        assert_eq!(empty, of(Values::environment([(*name, "NONE")])));
        assert_eq!(empty, of(yaml(&format!("{key}: []"))));
    }
    let nobody = settings(&[("CORS_ALLOW_ORIGINS", "none")]).server.cors_allow_origins;
    assert_eq!(nobody, CorsOrigins::Only(Vec::new()));
}

#[test]
fn a_stronger_none_empties_a_list_of_a_weaker_source() {
    let options = |stronger: &str| {
        load([Values::environment([("ALLOWED_OPTIONS", stronger)]), yaml("allowed_options: [seed2]")])
            .expect("fine")
            .settings
            .agent
            .allowed_options
    };
    assert!(options("none").is_empty());
    assert_eq!(options(""), ["seed2"]);
}

#[test]
fn words_are_taken_in_any_case() {
    let level = |text| settings(&[("LOG_LEVEL", text)]).log.level;
    for (text, expected) in [
        ("debug", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("Warning", LogLevel::Warn),
        ("warn", LogLevel::Warn),
        ("ERROR", LogLevel::Error),
        ("critical", LogLevel::Error),
        ("FATAL", LogLevel::Error),
        ("trace", LogLevel::Trace),
        ("off", LogLevel::Off),
    ] {
        assert_eq!(level(text), expected, "{text}");
    }
    for (text, expected) in [
        ("True", true),
        ("1", true),
        ("YES", true),
        ("on", true),
        ("False", false),
        ("0", false),
        ("no", false),
        ("Off", false),
    ] {
        assert_eq!(settings(&[("METRICS_ENABLED", text)]).server.metrics_enabled, expected, "{text}");
    }
    assert_eq!(settings(&[("MEMORY_TOOL_ROUNDS", "Drop")]).agent.tool_rounds, ToolRounds::Drop);
    assert_eq!(settings(&[("RATE_LIMIT_ON_ERROR", "DENY")]).access.on_limiter_error, OnLimiterError::Deny);
    assert_eq!(settings(&[("LOG_FORMAT", "Text")]).log.format, LogFormat::Text);
    for (text, expected) in
        [("mcp-agent", Provider::McpAgent), ("Demo", Provider::Demo), ("unconfigured", Provider::Unconfigured)]
    {
        assert_eq!(settings(&[("DEFAULT_PROVIDER", text)]).provider, expected);
    }
}

#[test]
fn values_are_put_into_one_form() {
    assert_eq!(settings(&[("RATE_BURST", "5.0")]).access.rate_burst, 5);
    assert_eq!(settings(&[("SESSION_TTL_SECONDS", "0")]).memory.session_ttl, None);
    assert_eq!(settings(&[("HOST", "[::1]")]).server.host, "::1");
    assert_eq!(settings(&[("PORT", "0")]).server.port, 0);
    assert_eq!(settings(&[("PROVIDER_TIMEOUT_SECONDS", " 0.25 ")]).llm.timeout, Duration::from_millis(250));
    let proxies = settings(&[("TRUSTED_PROXIES", "10.1.2.3/8, 192.0.2.7, 2001:db8::1")]).server.trusted_proxies;
    let proxies: Vec<_> = proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"]);
    let origins = settings(&[("CORS_ALLOW_ORIGINS", "https://App.Example, *")]).server.cors_allow_origins;
    assert_eq!(origins, CorsOrigins::Any);
    let url = settings(&[("OPENAI_BASE_URL", "http://localhost:11434/v1/")]).llm.openai.base_url;
    assert_eq!(secrecy::ExposeSecret::expose_secret(&url), "http://localhost:11434/v1");
    let prompt = settings(&[("INITIAL_SYSTEM_PROMPT", " Be kind.\n\nبه فارسی پاسخ بده.\n")]).agent.system_prompt;
    assert_eq!(prompt.as_deref(), Some(" Be kind.\n\nبه فارسی پاسخ بده.\n"));
}

#[test]
fn fallbacks_keep_their_order_and_the_colons_of_their_models() {
    let llm = settings(&[
        ("OPENROUTER_KEY", "k"),
        ("OPENAI_BASE_URL", "http://localhost:1234/v1"),
        ("LLM_FALLBACKS", "openrouter:meta-llama/llama-3.1-8b:free, OpenAI: gpt-4o ,openrouter:x/y"),
    ])
    .llm;
    let names: Vec<_> = llm.candidates().iter().map(|one| format!("{}|{}", one.provider.name(), one.model)).collect();
    assert_eq!(
        names,
        ["openrouter|openrouter/auto", "openrouter|meta-llama/llama-3.1-8b:free", "openai|gpt-4o", "openrouter|x/y"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written into a variable: no panic, and no complaint about anything else.
    #[test]
    fn no_text_breaks_any_variable(text in any::<String>()) {
        for variable in variables() {
            for problem in problems(&[(variable.name, &text)]) {
                let related = problem.starts_with(variable.name)
                    // Choosing a backend can make another variable necessary.
                    || problem.contains(variable.name);
                prop_assert!(related, "{}: {problem}", variable.name);
            }
        }
    }
}

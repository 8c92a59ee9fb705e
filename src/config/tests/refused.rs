//! What no variable may be, and what is said about it.

use super::*;

/// What is refused, and a piece of what is said about it.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "RATE_RPS",
        &["0", "-1", "NaN", "nan", "inf", "-inf", "1e400", "1e-9", "fast", "1,5", "1 000"],
        "must be a number from",
    ),
    ("RATE_BURST", &["0", "-1", "2.5", "4294967296", "five"], "must be a whole number from 1 to"),
    ("MEMORY_DEFAULT", &["0", "-3", "ten", "1e2"], "must be a whole number"),
    ("MEMORY_MAX", &["0", "1.5"], "must be a whole number"),
    ("PORT", &["-1", "65536", "99999999999999999999", "http", "80a"], "must be a whole number from 0 to 65535"),
    ("HISTORY_MYSQL_PORT", &["0", "65536"], "must be a whole number from 1 to 65535"),
    ("AGENT_MAX_STEPS", &["0", "1", "-1"], "must be a whole number from 2"),
    ("LLM_MAX_RETRIES", &["-1", "1000"], "must be a whole number from 0"),
    ("MAX_SESSIONS", &["0", "many"], "must be a whole number of at least 1"),
    ("MAX_CONNECTIONS", &["0"], "must be a whole number of at least 1"),
    ("MAX_BODY_BYTES", &["0", "1MiB"], "must be a whole number of at least 1"),
    ("MCP_RESULT_MAX_BYTES", &["0"], "must be a whole number of at least 1"),
    ("PROVIDER_TIMEOUT_SECONDS", &["0", "-5", "NaN", "inf", "30s", "1e300"], "must be a number of seconds"),
    ("TURN_TIMEOUT_SECONDS", &["0", "-1", "5m"], "must be a number of seconds"),
    ("MCP_TOOL_TIMEOUT_SECONDS", &["0"], "must be a number of seconds"),
    ("SESSION_TTL_SECONDS", &["-1", "NaN", "never", "1e12"], "must be a number of seconds"),
    ("SHUTDOWN_DELAY_SECONDS", &["-1"], "must be a number of seconds"),
    ("SHUTDOWN_GRACE_SECONDS", &["-0.5"], "must be a number of seconds"),
    ("METRICS_ENABLED", &["maybe", "2", "enabled"], "must be true or false"),
    ("MCP_LOG_STDERR", &["nope"], "must be true or false"),
    ("OTEL_TRACES_SAMPLER", &["sometimes", "xray"], "must be one of always_on, always_off, traceidratio, parentbased_"),
    ("OTEL_TRACES_SAMPLER_ARG", &["2", "-0.1", "half"], "must be a number from 0 to 1"),
    ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", &["SPAN_ONLY"], "must be true or false"),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        &["localhost:4318", "grpc://h:4317", "http://h?x=1"],
        "must be an http:// or https:// URL",
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &["/v1/traces"], "must be an http:// or https:// URL"),
    ("OTEL_EXPORTER_OTLP_HEADERS", &["token", "a b=c", "a=%2", "a=%zz", "a=%0A", "a="], "must be a list of NAME=VALUE"),
    ("LOG_LEVEL", &["LOUD", "20"], "must be one of TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("LOG_FORMAT", &["xml"], "must be one of json, text"),
    ("MEMORY_TOOL_ROUNDS", &["keep"], "must be one of replay, drop"),
    ("RATE_LIMIT_ON_ERROR", &["ignore"], "must be one of allow, deny"),
    ("MCP_AGENT_LLM", &["anthropic", "open ai"], "must be one of openrouter, openai"),
    ("HISTORY_STORAGE_BACKEND", &["postgres", "sqlite"], "must be one of none, mysql, mongodb, redis"),
    (
        "TRUSTED_PROXIES",
        &["10.0.0.0/33", "10.0.0/8", "proxy.local", "10.0.0.1,::1/129"],
        "must be a list of addresses and networks",
    ),
    (
        "CORS_ALLOW_ORIGINS",
        &["app.example.com", "https://a.example/", "https://*.example.com", "https://"],
        "must be `*` or a list of origins",
    ),
    ("HOST", &["0.0.0.0:80", "http://localhost", "a b", "*"], "must be an address or a host name"),
    (
        "OPENROUTER_BASE_URL",
        &[
            "openrouter.ai/api",
            "ftp://a/b",
            "https://",
            "https:///v1",
            "https://a:0/",
            "https://a:b/",
            "https://a/v1?x=1",
            "https://a/#f",
            "https://a b/",
            "https://a/v 1",
            "//a",
        ],
        "must be an http:// or https:// URL with a host",
    ),
    (
        "OPENAI_BASE_URL",
        &["localhost:11434/v1", "http://[::1/v1", "http://[1.2.3.4]/"],
        "must be an http:// or https:// URL with a host",
    ),
    ("MCP_SERVER_URL", &["stdio", "ws://a/b", "http://:80/"], "must be an http:// or https:// URL with a host"),
    (
        "REDIS_URL",
        &[
            "localhost:6379",
            "http://redis",
            "redis://",
            "redis://:secret@",
            "redis://host:port",
            "redis://host/zero",
            "unix:///run/redis",
        ],
        "must be a URL like redis://",
    ),
    ("HISTORY_REDIS_URL", &["redis"], "must be a URL like redis://"),
    (
        "HISTORY_MONGODB_URI",
        &["localhost:27017", "mongo://a", "mongodb://", "mongodb://a,,b", "mongodb://u:p@"],
        "must be a URL like mongodb://",
    ),
    (
        "HISTORY_NAMESPACE",
        &["a\nb", "n2345678901234567890123456789012345678901234567890123456789012345"],
        "must be at most 64 characters",
    ),
    (
        "HISTORY_MYSQL_SESSION_TABLE",
        &[
            "chat-sessions",
            "a;drop",
            "tab le",
            "`a`",
            "t2345678901234567890123456789012345678901234567890123456789012345",
        ],
        "must be 1 to 64 letters, digits and underscores",
    ),
    ("HISTORY_MYSQL_MESSAGE_TABLE", &["chat.messages"], "must be 1 to 64 letters, digits and underscores"),
    ("HISTORY_MYSQL_DATABASE", &["a b", "a/b", "a`b"], "must be the name of a database"),
    ("HISTORY_MONGODB_DATABASE", &["a.b", "$x"], "must be the name of a database"),
    ("HISTORY_MONGODB_SESSION_COLLECTION", &["system.x", "a$b"], "must be at most 120 characters"),
    ("HISTORY_MYSQL_HOST", &["db:3306"], "must be an address or a host name"),
    (
        "LLM_FALLBACKS",
        &["gpt-4o", "azure:gpt-4o", "openrouter:", "openrouter: ,openai"],
        "must be a list of openrouter:MODEL and openai:MODEL",
    ),
    (
        "MCP_AGENT_SERVERS",
        &["file\tsystem", "[\"a\\u0007\"]", "n2345678901234567890123456789012345678901234567890123456789012345"],
        "must be a list of names of at most 64 characters",
    ),
    ("MCP_AGENT_SERVERS", &["[\"a\"", "[{}]", "[[1]]"], "must be a list"),
    ("ADMIN_TOKEN", &["tök€n", "two\nlines"], "must be printable ASCII on one line"),
    ("OPENROUTER_KEY", &["“sk-or”", "sk\tor", "sk or"], "must be printable ASCII without spaces"),
    ("API_KEYS", &["one, t wo", "[\"ключ\"]"], "must be printable ASCII without spaces"),
    ("API_KEYS", &["[1e3]", "[true]", "[null]"], "must be a list of strings"),
    ("OPENROUTER_MODEL", &["a\nb"], "must be one line"),
];

#[test]
fn what_makes_no_sense_is_refused_with_what_would_be_right() {
    for (name, values, expected) in REFUSED {
        for value in *values {
            let problems = problems(&[(name, value)]);
            assert!(!problems.is_empty(), "{name}={value} should be refused");
            for problem in problems {
                assert!(problem.starts_with(&format!("{name} (environment): ")), "{name}={value}: {problem}");
                assert!(problem.contains(expected), "{name}={value}: {problem}");
            }
        }
    }
}

#[test]
fn a_value_that_is_no_secret_is_quoted_on_one_line() {
    assert_eq!(
        problems(&[("PORT", "80\n81")]),
        ["PORT (environment): must be a whole number from 0 to 65535, not `80\\n81`"]
    );
    let problem = problems(&[("PORT", &"9".repeat(5000))]).remove(0);
    assert!(problem.len() < 200, "{problem}");
}

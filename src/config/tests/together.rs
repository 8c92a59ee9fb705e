//! What values may be together, and what a build without a backend says.

use super::*;

#[test]
fn the_default_memory_fits_into_the_maximum() {
    assert_eq!(
        problems(&[("MEMORY_DEFAULT", "60")]),
        ["MEMORY_DEFAULT (environment): must be at most MEMORY_MAX, and 60 is more than 50"]
    );
    assert_eq!(
        problems(&[("MEMORY_MAX", "9")]),
        ["MEMORY_DEFAULT (not set): must be at most MEMORY_MAX, and 10 is more than 9"]
    );
    assert_eq!(settings(&[("MEMORY_DEFAULT", "50")]).memory.default_limit, 50);
    let problems = problems(&[("MEMORY_DEFAULT", "60"), ("MEMORY_MAX", "x")]);
    assert_eq!(problems.len(), 1, "one mistake, one problem: {problems:?}");
}

#[test]
fn openai_needs_a_model_of_its_own() {
    let openai = ("MCP_AGENT_LLM", "openai");
    for others in [vec![], vec![("OPENROUTER_MODEL", "a/b"), ("OPENAI_API_KEY", "sk")]] {
        let problems = problems(&[vec![openai], others].concat());
        assert_eq!(
            problems,
            ["MCP_AGENT_MODEL (not set): must name a model for MCP_AGENT_LLM=openai, like gpt-4o-mini"]
        );
    }
    let llm = settings(&[openai, ("MCP_AGENT_MODEL", "gpt-4o"), ("OPENROUTER_MODEL", "a/b")]).llm;
    assert_eq!((llm.provider, llm.model.as_str()), (LlmProvider::OpenAi, "gpt-4o"));
}

#[test]
fn a_backend_without_credentials_is_unconfigured() {
    let configured = |pairs: &[(&str, &str)]| {
        let llm = settings(pairs).llm;
        (llm.backend(LlmProvider::OpenRouter).is_configured, llm.backend(LlmProvider::OpenAi).is_configured)
    };
    assert_eq!(configured(&[]), (false, false));
    assert_eq!(configured(&[("OPENROUTER_KEY", "sk")]), (true, false));
    assert_eq!(configured(&[("OPENROUTER_BASE_URL", "http://localhost:1/v1")]), (false, false));
    assert_eq!(configured(&[("OPENAI_API_KEY", "sk")]), (false, true));
    assert_eq!(configured(&[("OPENAI_BASE_URL", "http://localhost:11434/v1")]), (false, true));
    assert_eq!(configured(&[("OPENAI_BASE_URL", "https://api.openai.com/v1/")]), (false, false));
    assert_eq!(LlmProvider::OpenRouter.key_variable(), "OPENROUTER_KEY");
    assert_eq!(LlmProvider::OpenAi.key_variable(), "OPENAI_API_KEY");
}

#[test]
fn the_agents_model_overrides_openrouters() {
    let model = |pairs: &[(&str, &str)]| settings(pairs).llm.model;
    assert_eq!(model(&[("OPENROUTER_MODEL", "a/b")]), "a/b");
    assert_eq!(model(&[("OPENROUTER_MODEL", "a/b"), ("MCP_AGENT_MODEL", "c/d")]), "c/d");
}

#[test]
fn a_fallback_needs_credentials() {
    assert_eq!(
        problems(&[("LLM_FALLBACKS", "openrouter:a/b,openai:gpt-4o")]),
        [
            "LLM_FALLBACKS (environment): `openrouter:a/b` has no credentials; set OPENROUTER_KEY",
            "LLM_FALLBACKS (environment): `openai:gpt-4o` has no credentials; set OPENAI_API_KEY \
             (or OPENAI_BASE_URL, for a server that needs no key)",
        ]
    );
    let candidates = settings(&[("LLM_FALLBACKS", "openai:gpt-4o"), ("OPENAI_API_KEY", "sk")]).llm.candidates();
    assert_eq!(candidates.len(), 1, "a fallback answers although the first backend has no credentials");
}

#[test]
fn another_provider_name_means_the_agent() {
    let loaded = env(&[("DEFAULT_PROVIDER", "openrouter")]).expect("only a warning");
    assert_eq!(loaded.settings.provider, Provider::McpAgent);
    assert_eq!(
        warnings(&loaded),
        ["DEFAULT_PROVIDER (environment): must be one of mcp-agent, demo, unconfigured; anything else means mcp-agent"]
    );
    assert_eq!(effective(&loaded, "DEFAULT_PROVIDER").value, "mcp-agent");
}

#[test]
fn the_templates_admin_token_counts_as_unset() {
    let loaded = env(&[("ADMIN_TOKEN", " change-me ")]).expect("only a warning");
    assert!(loaded.settings.access.admin_token.is_none());
    assert_eq!(effective(&loaded, "ADMIN_TOKEN").source, SourceKind::Default);
    assert_eq!(warnings(&loaded), ["ADMIN_TOKEN (environment): still has the template's value, which counts as unset"]);
    let layers = [Values::environment([("ADMIN_TOKEN", "change-me")]), yaml("admin_token: real-one")];
    let token = load(layers).expect("fine").settings.access.admin_token;
    assert_eq!(token.as_ref().map(secrecy::ExposeSecret::expose_secret), Some("real-one"));
}

#[test]
fn a_history_backend_needs_its_settings() {
    assert_eq!(
        problems(&[("HISTORY_STORAGE_BACKEND", "mysql")]),
        [
            "HISTORY_MYSQL_USER (not set): must be set for HISTORY_STORAGE_BACKEND=mysql",
            "HISTORY_MYSQL_DATABASE (not set): must be set for HISTORY_STORAGE_BACKEND=mysql",
        ]
    );
    assert_eq!(
        problems(&[("HISTORY_STORAGE_BACKEND", "redis")]),
        ["HISTORY_REDIS_URL (not set): must be set for HISTORY_STORAGE_BACKEND=redis, here or as REDIS_URL"]
    );
    assert_eq!(settings(&[("HISTORY_STORAGE_BACKEND", "MongoDB")]).history.backend.name(), "mongodb");
    let redis = |pairs: &[(&str, &str)]| match settings(pairs).history.backend {
        HistoryBackend::Redis(url) => url.to_string(),
        other => panic!("{other:?}"),
    };
    let chosen = ("HISTORY_STORAGE_BACKEND", "redis");
    assert_eq!(redis(&[chosen, ("REDIS_URL", "redis://one")]), "redis://one");
    assert_eq!(redis(&[chosen, ("REDIS_URL", "redis://one"), ("HISTORY_REDIS_URL", "redis://two")]), "redis://two");
    let mysql = settings(&[
        ("HISTORY_STORAGE_BACKEND", "mysql"),
        ("HISTORY_MYSQL_USER", "chat"),
        ("HISTORY_MYSQL_DATABASE", "archive-1"),
    ]);
    let HistoryBackend::MySql(mysql) = mysql.history.backend else { panic!("mysql") };
    assert_eq!((mysql.host.as_str(), mysql.port, mysql.database.as_str()), ("localhost", 3306, "archive-1"));
    assert!(mysql.password.is_none());
}

#[test]
fn an_archive_in_redis_keeps_out_of_the_sessions_keys() {
    let ours = [("HISTORY_STORAGE_BACKEND", "redis"), ("REDIS_URL", "redis://one/0"), ("HISTORY_NAMESPACE", "chat")];
    for others in [&[][..], &[("HISTORY_REDIS_URL", "redis://one/0")]] {
        let problems = problems(&[&ours, others].concat());
        assert_eq!(problems.len(), 1, "{problems:?}");
        let expected = "HISTORY_NAMESPACE (environment): must not be `chat` where the sessions are";
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
    // An archive of that name may be there already.
    settings(&[&ours[..], &[("HISTORY_REDIS_URL", "redis://one/1")]].concat());
    settings(&[ours[0], ours[2], ("HISTORY_REDIS_URL", "redis://one/0")]);
    settings(&[ours[1], ours[2]]);
    settings(&[ours[0], ours[1], ("HISTORY_NAMESPACE", "chat_history")]);
}

#[test]
fn an_archive_in_redis_has_no_braces_in_its_name() {
    for namespace in ["{chat}", "a}", "a{b"] {
        let chosen = [("REDIS_URL", "redis://one"), ("HISTORY_NAMESPACE", namespace)];
        let problems = problems(&[&chosen[..], &[("HISTORY_STORAGE_BACKEND", "redis")]].concat());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("HISTORY_NAMESPACE (environment): must have no braces"), "{problems:?}");
        settings(&chosen);
    }
}

#[test]
fn sessions_and_messages_are_not_kept_in_one_table() {
    let mysql = [
        ("HISTORY_STORAGE_BACKEND", "mysql"),
        ("HISTORY_MYSQL_USER", "chat"),
        ("HISTORY_MYSQL_DATABASE", "chat"),
        ("HISTORY_MYSQL_MESSAGE_TABLE", "chat_sessions"),
    ];
    assert_eq!(problems(&mysql), ["HISTORY_MYSQL_MESSAGE_TABLE (environment): must not be the table of the sessions"]);
    let mongodb = [("HISTORY_STORAGE_BACKEND", "mongodb"), ("HISTORY_MONGODB_MESSAGE_COLLECTION", "chat_sessions")];
    assert_eq!(problems(&mongodb).len(), 1);
}

#[test]
fn what_is_not_in_the_build_is_refused_by_name() {
    let none = BuiltIn { redis: false, mysql: false, mongodb: false, otel: false };
    let refused = |pairs: &[(&str, &str)], built_in: BuiltIn| {
        let sources = Sources::in_memory([Values::environment(pairs.iter().copied())]);
        lines(Settings::load(&sources, &built_in))
    };
    let mysql = [("HISTORY_STORAGE_BACKEND", "mysql"), ("HISTORY_MYSQL_USER", "u"), ("HISTORY_MYSQL_DATABASE", "d")];
    let redis_history = [("HISTORY_STORAGE_BACKEND", "redis"), ("HISTORY_REDIS_URL", "redis://h")];
    let cases = [
        (&[("REDIS_URL", "redis://h")][..], BuiltIn { redis: true, ..none }, ("REDIS_URL", "redis")),
        (&redis_history, BuiltIn { redis: true, ..none }, ("HISTORY_STORAGE_BACKEND", "redis")),
        (&mysql, BuiltIn { mysql: true, ..none }, ("HISTORY_STORAGE_BACKEND", "mysql")),
        (
            &[("HISTORY_STORAGE_BACKEND", "mongodb")],
            BuiltIn { mongodb: true, ..none },
            ("HISTORY_STORAGE_BACKEND", "mongodb"),
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318")],
            BuiltIn { otel: true, ..none },
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel"),
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://h:4318/v1/traces")],
            BuiltIn { otel: true, ..none },
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "otel"),
        ),
    ];
    for (pairs, enough, (variable, feature)) in cases {
        let problems = refused(pairs, none);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with(&format!("{variable} (environment): needs what is not in this build")),
            "{problems:?}"
        );
        assert!(problems[0].contains(&format!("the feature `{feature}`")), "{problems:?}");
        assert!(refused(pairs, enough).is_empty(), "{pairs:?} needs nothing else");
    }
    let unused = [
        ("MCP_AGENT_CONFIG", "mcp.yaml"),
        ("HISTORY_REDIS_URL", "redis://h"),
        ("MCP_AGENT_SERVERS", "none"),
        ("OTEL_SERVICE_NAME", "chat"),
    ];
    assert!(refused(&unused, none).is_empty(), "settings of what is not chosen are fine");
}

#[test]
fn a_key_for_no_server_is_a_warning() {
    let loaded = env(&[("MCP_API_KEY", "k")]).expect("only a warning");
    assert_eq!(warnings(&loaded), ["MCP_API_KEY (environment): has no effect without MCP_SERVER_URL"]);
}

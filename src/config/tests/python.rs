//! The files that users of the Python service have work as they are.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

const DOTENV: &str = include_str!("../../../tests/fixtures/python/.env");
const YAML: &str = include_str!("../../../tests/fixtures/python/app.config.yaml");
const MCP: &str = include_str!("../../../tests/fixtures/python/mcp_agent.config.yaml");

fn names(settings: &Settings) -> Vec<&str> {
    settings.mcp.servers.iter().map(|server| server.name.as_str()).collect()
}

#[test]
fn the_yaml_file_loads() {
    let loaded = Directory::new(&[("app/config/app.config.yaml", YAML), ("mcp_agent.config.yaml", MCP)])
        .load_env(&[])
        .expect("it works as it is");
    assert_eq!(loaded.file, Some(PathBuf::from("app/config/app.config.yaml")));
    assert_eq!(
        warnings(&loaded),
        [
            "admin_token (app/config/app.config.yaml): still has the template's value, which counts as unset",
            "default_provider_name (app/config/app.config.yaml): must be one of mcp-agent, demo, unconfigured; \
             anything else means mcp-agent",
        ],
        "and no key of it is unknown"
    );
    let settings = loaded.settings;
    assert!(settings.access.admin_token.is_none());
    assert_eq!(settings.provider, Provider::McpAgent);
    assert_eq!(
        settings.llm.openrouter.key.as_ref().map(ExposeSecret::expose_secret),
        Some("sk-or-v1-yaml-fixture-key")
    );
    assert_eq!(settings.llm.model, "openai/gpt-4o-mini");
    assert!(settings.llm.openai.key.is_none());
    assert_eq!(names(&settings), ["filesystem", "fetch"]);
    assert_eq!(settings.mcp.config_file, Some(PathBuf::from("mcp_agent.config.yaml")));
    assert_eq!(
        settings.agent.system_prompt.as_deref(),
        Some("You are a helpful assistant.\nKeep your answers short.\n")
    );
    assert!(settings.agent.instruction.is_none() && settings.memory.redis.is_none());
    let HistoryBackend::MongoDb(mongodb) = settings.history.backend else { panic!("mongodb") };
    assert_eq!(mongodb.uri.to_string(), "mongodb://chat:***@mongo-0:27017,mongo-1:27017/?***");
    assert_eq!(settings.llm.timeout, Duration::from_secs(30));
    assert_eq!((settings.access.rate_rps, settings.access.rate_burst), (1.0, 5));
}

#[test]
fn the_dotenv_file_loads() {
    let loaded =
        Directory::new(&[(".env", DOTENV), ("mcp_agent.config.yaml", MCP)]).load_env(&[]).expect("it works as it is");
    let settings = &loaded.settings;
    assert_eq!(loaded.warnings.len(), 2, "the template's token and the old provider: {:?}", loaded.warnings);
    assert_eq!(
        settings.llm.openrouter.key.as_ref().map(ExposeSecret::expose_secret),
        Some("sk-or-v1-dotenv-fixture-key")
    );
    assert_eq!(settings.llm.model, "anthropic/claude-3.5-sonnet");
    assert_eq!(settings.llm.timeout, Duration::from_secs(45));
    assert_eq!(names(settings), ["filesystem", "fetch"]);
    assert_eq!(
        settings.agent.system_prompt.as_deref(),
        Some("You are a helpful shop assistant. Answer in Persian when asked in Persian.")
    );
    let redis = settings.memory.redis.as_ref().map(ExposeSecret::expose_secret);
    assert_eq!(redis, Some("redis://:fixture-redis-pass@redis:6379/0"));
    let HistoryBackend::MySql(mysql) = &settings.history.backend else { panic!("mysql") };
    assert_eq!(mysql.password.as_ref().map(ExposeSecret::expose_secret), Some(r"pa$$w0rd\fixture"));
    assert_eq!((mysql.host.as_str(), mysql.user.as_str(), mysql.database.as_str()), ("mysql", "chat", "chat_archive"));
    assert_eq!((settings.access.rate_rps, settings.access.rate_burst), (2.5, 10));
    assert_eq!((settings.memory.default_limit, settings.memory.max_limit), (12, 60));
    assert!(settings.server.metrics_enabled);
    assert_eq!(settings.log.level, LogLevel::Warn);
}

#[test]
fn both_together_load_with_dotenv_on_top() {
    let directory =
        Directory::new(&[(".env", DOTENV), ("app/config/app.config.yaml", YAML), ("mcp_agent.config.yaml", MCP)]);
    let loaded = directory.load_env(&[("RATE_RPS", "9")]).expect("fine");
    assert_eq!(loaded.settings.access.rate_rps, 9.0);
    assert_eq!(loaded.settings.history.backend.name(), "mysql");
    assert_eq!(effective(&loaded, "OPENROUTER_MODEL").source, SourceKind::Dotenv);
    assert_eq!(effective(&loaded, "HISTORY_MONGODB_URI").source, SourceKind::Yaml);
}

#[test]
fn a_build_without_their_backends_says_which_are_missing() {
    let directory = Directory::new(&[(".env", DOTENV), ("mcp_agent.config.yaml", MCP)]);
    let sources = Sources::gather(Flags::default(), Values::environment([]), &directory.0);
    let built_in = BuiltIn { redis: false, mysql: false, mongodb: false, otel: false };
    let problems = lines(Settings::load(&sources, &built_in));
    let subjects: Vec<_> = problems.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(subjects, ["REDIS_URL", "HISTORY_STORAGE_BACKEND"]);
}

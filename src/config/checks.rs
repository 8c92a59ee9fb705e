//! What values may be together, and what this build can do.

use super::reader::Reader;
use super::settings::{HistoryBackend, LlmProvider, MySql, Settings};
use super::url::SecretUrl;
use secrecy::ExposeSecret;

/// What the names of all our keys in Redis begin with, but for the archive's.
pub const REDIS_PREFIX: &str = "chat";

/// What is compiled into this program. The configuration knows every backend, so that choosing one that is missing
/// is an error that says so, and not an unknown word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Sessions, limits and history in Redis.
    pub redis: bool,
    /// History in MySQL.
    pub mysql: bool,
    /// History in MongoDB.
    pub mongodb: bool,
    /// Traces.
    pub otel: bool,
}

impl BuiltIn {
    /// Everything there is.
    pub const ALL: Self = Self { redis: true, mysql: true, mongodb: true, otel: true };

    /// What this program was built with.
    pub const fn this_build() -> Self {
        Self {
            redis: cfg!(feature = "redis"),
            mysql: cfg!(feature = "mysql"),
            mongodb: cfg!(feature = "mongodb"),
            otel: cfg!(feature = "otel"),
        }
    }

    /// The features' names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [("redis", self.redis), ("mysql", self.mysql), ("mongodb", self.mongodb), ("otel", self.otel)];
        all.into_iter().filter(|(_, present)| *present).map(|(name, _)| name)
    }
}

/// Refuses what is configured but not compiled in.
pub(super) fn check_built_in(reader: &mut Reader<'_>, settings: &Settings, built_in: &BuiltIn) {
    let collectors = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    let collectors = collectors.map(|variable| (variable, reader.is_set(variable)));
    let mut need = |wanted: bool, variable: &'static str, present: bool, feature: &str| {
        if wanted && !present {
            let message = format!(
                "needs what is not in this build: build it with the feature `{feature}` (cargo build --features {feature})"
            );
            reader.object(variable, message);
        }
    };
    let history = &settings.history.backend;
    need(settings.memory.redis.is_some(), "REDIS_URL", built_in.redis, "redis");
    need(matches!(history, HistoryBackend::Redis(_)), "HISTORY_STORAGE_BACKEND", built_in.redis, "redis");
    need(matches!(history, HistoryBackend::MySql(_)), "HISTORY_STORAGE_BACKEND", built_in.mysql, "mysql");
    need(matches!(history, HistoryBackend::MongoDb(_)), "HISTORY_STORAGE_BACKEND", built_in.mongodb, "mongodb");
    for (variable, is_set) in collectors {
        need(is_set, variable, built_in.otel, "otel");
    }
}

/// Refuses values that contradict each other.
pub(super) fn check_together(reader: &mut Reader<'_>, settings: &Settings) {
    check_memory(reader, settings);
    check_llm(reader, settings);
    check_history(reader, settings);
}

fn check_memory(reader: &mut Reader<'_>, settings: &Settings) {
    let (default, max) = (settings.memory.default_limit, settings.memory.max_limit);
    if default > max {
        reader.conflict(
            &["MEMORY_DEFAULT", "MEMORY_MAX"],
            format!("must be at most MEMORY_MAX, and {default} is more than {max}"),
        );
    }
}

fn check_llm(reader: &mut Reader<'_>, settings: &Settings) {
    let llm = &settings.llm;
    if llm.provider == LlmProvider::OpenAi && !reader.is_set("MCP_AGENT_MODEL") {
        reader.conflict(
            &["MCP_AGENT_MODEL", "MCP_AGENT_LLM"],
            "must name a model for MCP_AGENT_LLM=openai, like gpt-4o-mini",
        );
    }
    for fallback in &llm.fallbacks {
        if !llm.backend(fallback.provider).is_configured {
            let (name, key) = (fallback.provider.name(), fallback.provider.key_variable());
            let without_key = match fallback.provider {
                LlmProvider::OpenRouter => "",
                LlmProvider::OpenAi => " (or OPENAI_BASE_URL, for a server that needs no key)",
            };
            let model = &fallback.model;
            reader.conflict(
                &["LLM_FALLBACKS", key, "OPENAI_BASE_URL"],
                format!("`{name}:{model}` has no credentials; set {key}{without_key}"),
            );
        }
    }
}

/// The names of the archive's keys begin with the namespace, and those of everything else with [`REDIS_PREFIX`].
fn check_redis_namespace(reader: &mut Reader<'_>, settings: &Settings, url: &SecretUrl) {
    let namespace = &settings.history.namespace;
    if namespace.contains(['{', '}']) {
        reader.conflict(
            &["HISTORY_NAMESPACE", "HISTORY_STORAGE_BACKEND"],
            "must have no braces with HISTORY_STORAGE_BACKEND=redis: they decide where Redis Cluster keeps a key",
        );
    }
    let is_shared = |sessions: &SecretUrl| sessions.expose_secret() == url.expose_secret();
    if namespace == REDIS_PREFIX && settings.memory.redis.as_ref().is_some_and(is_shared) {
        reader.conflict(
            &["HISTORY_NAMESPACE", "HISTORY_REDIS_URL", "REDIS_URL"],
            format!(
                "must not be `{REDIS_PREFIX}` where the sessions are, whose keys begin with it: choose another name, or for an \
                 archive of that name another Redis or database, as HISTORY_REDIS_URL"
            ),
        );
    }
}

fn check_history(reader: &mut Reader<'_>, settings: &Settings) {
    const CHOICE: &str = "HISTORY_STORAGE_BACKEND";
    match &settings.history.backend {
        HistoryBackend::MySql(MySql { user, database, session_table, message_table, .. }) => {
            if user.is_empty() {
                reader.conflict(&["HISTORY_MYSQL_USER", CHOICE], format!("must be set for {CHOICE}=mysql"));
            }
            if database.is_empty() {
                reader.conflict(&["HISTORY_MYSQL_DATABASE", CHOICE], format!("must be set for {CHOICE}=mysql"));
            }
            if session_table == message_table {
                reader.conflict(
                    &["HISTORY_MYSQL_MESSAGE_TABLE", "HISTORY_MYSQL_SESSION_TABLE"],
                    "must not be the table of the sessions",
                );
            }
        }
        HistoryBackend::MongoDb(mongodb) if mongodb.session_collection == mongodb.message_collection => {
            reader.conflict(
                &["HISTORY_MONGODB_MESSAGE_COLLECTION", "HISTORY_MONGODB_SESSION_COLLECTION"],
                "must not be the collection of the sessions",
            );
        }
        HistoryBackend::Redis(_) if !reader.is_set("HISTORY_REDIS_URL") && !reader.is_set("REDIS_URL") => {
            reader.conflict(
                &["HISTORY_REDIS_URL", "REDIS_URL", CHOICE],
                format!("must be set for {CHOICE}=redis, here or as REDIS_URL"),
            );
        }
        HistoryBackend::Redis(url) => check_redis_namespace(reader, settings, url),
        _ => {}
    }
}

//! From settings to adapters: which one serves which port. What is not compiled in was refused with the configuration.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    admission::{Admission, OnLimiterError},
    agent::{
        AgentPolicy,
        failover::{Backend, Failover},
        window::PastRounds,
    },
    archive::Archive,
    chat::{ChatPolicy, ChatService},
    options::OptionPolicy,
    ports::{
        Clock, Ports,
        health::{Health, HealthCheck, HealthState},
        llm::{LlmPort, LlmStatus},
    },
    session::{MemoryLimit, MemoryLimits},
};
use chat_local::{
    bypass::LocalBypass,
    demo::DemoLlm,
    system::{SystemClock, SystemIds, SystemRandom, TrackedTasks},
    unconfigured::UnconfiguredLlm,
};
use chat_openai::{HttpClient, ModelChoice, OpenAiConfig, OpenAiLlm};
use poem::http::HeaderValue;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use super::{
    StartError,
    mcp::ToolServers,
    storage::{Storage, Surroundings, Upkeep},
};
use crate::{
    config::{self, BuiltIn, CorsOrigins, Loaded, Provider, Settings},
    http::{
        AllowedOrigins, ApiKeys, ConfigEntry, Context, Guesses, HealthChecks, RuntimeInfo,
        meta::{HistoryInfo, MemoryInfo, ProviderInfo},
        metrics::Metrics,
    },
    telemetry::{LlmNames, Tracing},
};

/// What a service is made of.
pub(super) struct Parts {
    pub(super) context: Context,
    pub(super) tools: ToolServers,
    pub(super) tasks: Arc<TrackedTasks>,
    pub(super) upkeep: Upkeep,
}

/// Between two words of the demo model: fast enough to be pleasant, slow enough to be seen.
const DEMO_PAUSE: Duration = Duration::from_millis(30);

/// A body may take this long to arrive: a megabyte over a slow phone line.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn compose(
    loaded: &Loaded,
    draining: Arc<AtomicBool>,
    tracing: &Tracing,
) -> Result<Parts, StartError> {
    let settings = &loaded.settings;
    warn_of_open_tools(settings);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let tasks = Arc::new(TrackedTasks::new(Handle::current()));
    let metrics = Arc::new(Metrics::default());

    let around = Surroundings { clock: clock.clone(), tasks: tasks.clone(), observer: metrics.clone() };
    let storage = Storage::open(settings, &around).await?;
    let Storage { sessions, limiter, admin_limiter, bypass, archive, upkeep, memory_backend, .. } = storage;
    let llm = llm(settings, tracing, &clock, &metrics)?;
    let tools = ToolServers::start(&settings.mcp, tracing.propagation(), clock.clone(), metrics.clone())?;

    let ports = Ports {
        sessions: sessions.clone(),
        llm: llm.clone(),
        tools: tracing.tools(tools.port()),
        clock: clock.clone(),
        ids: Arc::new(SystemIds),
        tasks: tasks.clone(),
        observer: metrics.clone(),
    };
    let mut checks: Vec<Arc<dyn HealthCheck>> = vec![Arc::new(LlmCheck(llm)), Arc::new(ArchiveCheck(archive.clone()))];
    checks.extend(storage.checks);
    checks.extend(tools.checks());
    let policy = chat_policy(settings)?;
    let memory = policy.memory;
    let on_error = match settings.access.on_limiter_error {
        config::OnLimiterError::Allow => OnLimiterError::Allow,
        config::OnLimiterError::Deny => OnLimiterError::Deny,
    };
    let context = Context {
        chat: Arc::new(ChatService::new(ports, archive.clone(), policy)),
        archive: archive.clone(),
        sessions,
        memory,
        options: OptionPolicy {
            extra: settings.agent.allowed_options.iter().cloned().collect(),
            models: settings.agent.allowed_models.iter().cloned().collect(),
        },
        admission: Admission { limiter, bypass, on_error },
        // Nobody may guess without a limit: who is known is known for what costs money.
        admin_admission: Admission { limiter: admin_limiter, bypass: Arc::new(LocalBypass::new()), on_error },
        guesses: Guesses::default(),
        api_keys: ApiKeys::new(&settings.access.api_keys),
        admin_token: settings.access.admin_token.clone(),
        trusted_proxies: settings.server.trusted_proxies.clone(),
        cors: allowed_origins(&settings.server.cors_allow_origins),
        max_body_bytes: settings.server.max_body_bytes,
        body_timeout: BODY_TIMEOUT,
        tracing: tracing.clone(),
        metrics,
        metrics_enabled: settings.server.metrics_enabled,
        checks: HealthChecks::new(checks),
        runtime: runtime_info(settings, memory_backend, tools.clone()),
        config: loaded.effective.iter().map(config_entry).collect(),
        draining,
    };
    Ok(Parts { context, tools, tasks, upkeep })
}

/// Tools do things, and where no key is asked for, every website that somebody visits may have them done.
fn warn_of_open_tools(settings: &Settings) {
    let is_open = settings.access.api_keys.is_empty() && matches!(settings.server.cors_allow_origins, CorsOrigins::Any);
    if is_open && !settings.mcp.servers.is_empty() {
        tracing::warn!(
            event = "open_tools",
            "any web page that somebody opens who can reach this service can use its tools: set API_KEYS, or list your \
             origins in CORS_ALLOW_ORIGINS"
        );
    }
}

pub(super) fn part(what: &'static str, source: impl Into<chat_domain::ports::BoxError>) -> StartError {
    StartError::Part { what, source: source.into() }
}

fn llm(
    settings: &Settings,
    tracing: &Tracing,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn LlmPort>, StartError> {
    let failover = |backends| {
        let retries = settings.llm.max_retries;
        Arc::new(Failover::new(backends, retries, clock.clone(), Arc::new(SystemRandom), metrics.clone()))
            as Arc<dyn LlmPort>
    };
    let candidates = settings.llm.candidates();
    match settings.provider {
        Provider::Demo => {
            let names = LlmNames {
                provider: "demo",
                backend: "demo".to_owned(),
                model: "demo".to_owned(),
                is_fixed: true,
                server: None,
            };
            let demo = tracing.llm(Arc::new(DemoLlm::new(DEMO_PAUSE)), names);
            return Ok(failover(vec![Backend::new("demo", demo)]));
        }
        Provider::Unconfigured => {
            return Ok(Arc::new(UnconfiguredLlm::new(
                "No model answers here: DEFAULT_PROVIDER is set to unconfigured",
            )));
        }
        Provider::McpAgent if candidates.is_empty() => {
            let variable = settings.llm.provider.key_variable();
            let remedy =
                format!("No model is configured: set {variable} (or run `chat-agent demo` to try without one)");
            return Ok(Arc::new(UnconfiguredLlm::new(remedy)));
        }
        Provider::McpAgent => {}
    }
    let http = HttpClient::new();
    let mut backends = Vec::with_capacity(candidates.len());
    let mut fallbacks = 0;
    for (index, candidate) in candidates.into_iter().enumerate() {
        let backend = settings.llm.backend(candidate.provider);
        // The first one's model is a client's to change; a fallback is a model that the operator chose.
        let is_first =
            index == 0 && candidate.model == settings.llm.model && candidate.provider == settings.llm.provider;
        // The metrics are open to everybody, and which backends and models answer is not everybody's business.
        let name = if is_first {
            "primary".to_owned()
        } else {
            fallbacks += 1;
            format!("fallback_{fallbacks}")
        };
        tracing::info!(backend = name, provider = candidate.provider.name(), model = candidate.model, "LLM backend");
        let names = LlmNames {
            provider: candidate.provider.name(),
            backend: name.clone(),
            model: candidate.model.clone(),
            is_fixed: !is_first,
            server: backend.base_url.host(),
        };
        let model = if is_first { ModelChoice::Default(candidate.model) } else { ModelChoice::Always(candidate.model) };
        let mut config = OpenAiConfig::new(backend.base_url.expose_secret(), model);
        config.api_key = backend.key.clone();
        config.attempt_timeout = settings.llm.timeout;
        config.title = Some(settings.mcp.app_name.clone());
        config.propagation = tracing.propagation();
        let llm = OpenAiLlm::new(config, &http, clock.clone()).map_err(|error| part("an LLM backend", error))?;
        backends.push(Backend::new(name, tracing.llm(Arc::new(llm), names)));
    }
    Ok(failover(backends))
}

fn chat_policy(settings: &Settings) -> Result<ChatPolicy, StartError> {
    let limit = |messages: u32| {
        MemoryLimit::new(messages).ok_or_else(|| part("memory", "MEMORY_DEFAULT and MEMORY_MAX must be at least 1"))
    };
    Ok(ChatPolicy {
        memory: MemoryLimits { default: limit(settings.memory.default_limit)?, max: limit(settings.memory.max_limit)? },
        system_prompt: settings.agent.system_prompt.as_deref().map(Into::into),
        instruction: settings.agent.instruction.as_deref().map(Into::into),
        turn_timeout: settings.agent.turn_timeout,
        agent: AgentPolicy {
            max_steps: settings.agent.max_steps,
            past_rounds: match settings.agent.tool_rounds {
                config::ToolRounds::Replay => PastRounds::Replay,
                config::ToolRounds::Drop => PastRounds::Drop,
            },
        },
    })
}

fn allowed_origins(origins: &CorsOrigins) -> AllowedOrigins {
    match origins {
        CorsOrigins::Any => AllowedOrigins::Any,
        CorsOrigins::Only(origins) => {
            AllowedOrigins::Only(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
        }
    }
}

fn config_entry(line: &config::Effective) -> ConfigEntry {
    ConfigEntry { name: line.name.to_owned(), value: line.value.clone(), source: line.source.to_string() }
}

fn runtime_info(
    settings: &Settings,
    memory_backend: &str,
    tools: ToolServers,
) -> Box<dyn Fn() -> RuntimeInfo + Send + Sync> {
    let provider = match settings.provider {
        Provider::McpAgent if settings.llm.candidates().is_empty() => "unconfigured",
        Provider::McpAgent => "mcp-agent",
        Provider::Demo => "demo",
        Provider::Unconfigured => "unconfigured",
    };
    let info = RuntimeInfo {
        provider: ProviderInfo {
            default: provider.to_owned(),
            available: vec![provider.to_owned()],
            llm_provider: settings.llm.provider.name().to_owned(),
            uses_openrouter: settings.llm.provider == config::LlmProvider::OpenRouter,
            default_model: settings.llm.model.clone(),
            openrouter_base_url: settings.llm.openrouter.base_url.to_string(),
            mcp_servers_configured: settings.mcp.servers.len() as u32,
            mcp_servers_active: 0,
            mcp_server_names: settings.mcp.servers.iter().map(|server| server.name.clone()).collect(),
            mcp_servers_required_minimum: 1,
        },
        memory: MemoryInfo {
            backend: memory_backend.to_owned(),
            default_limit: settings.memory.default_limit,
            max_limit: settings.memory.max_limit,
        },
        history: HistoryInfo {
            configured_backend: settings.history.backend.name().to_owned(),
            backend: settings.history.backend.name().to_owned(),
            enabled: !matches!(settings.history.backend, config::HistoryBackend::None),
            namespace: settings.history.namespace.clone(),
        },
        features: BuiltIn::this_build().names().map(str::to_owned).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mcp_servers: Vec::new(),
    };
    Box::new(move || {
        let mcp_servers = tools.infos();
        let mut info = RuntimeInfo { mcp_servers, ..info.clone() };
        info.provider.mcp_servers_active =
            info.mcp_servers.iter().filter(|server| server.status == "ready").count() as u32;
        info
    })
}

/// The model, as readiness sees it: without one nothing can be answered, but nothing is lost either, so it is never more
/// than degraded.
struct LlmCheck(Arc<dyn LlmPort>);

#[async_trait]
impl HealthCheck for LlmCheck {
    async fn check(&self) -> Health {
        let (state, last_error) = match self.0.status() {
            LlmStatus::Ready => (HealthState::Up, None),
            LlmStatus::Degraded { backend } => (HealthState::Degraded, Some(format!("backend {backend} is failing"))),
            LlmStatus::Unconfigured { remedy } => (HealthState::Degraded, Some(remedy.to_string())),
        };
        Health { name: "llm".into(), state, since: None, last_error, backlog: None, note: None }
    }
}

struct ArchiveCheck(Archive);

#[async_trait]
impl HealthCheck for ArchiveCheck {
    async fn check(&self) -> Health {
        self.0.check().await.unwrap_or_else(|| Health {
            name: "history".into(),
            state: HealthState::Up,
            since: None,
            last_error: None,
            backlog: None,
            note: Some("nothing is archived"),
        })
    }
}

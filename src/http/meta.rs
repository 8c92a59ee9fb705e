//! What the service says about itself: that it is there, how it is, what it counts, its documentation.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use chat_domain::ports::health::{Health, HealthState};
use futures_util::future::join;
use poem::{
    Endpoint, EndpointExt, Request, Response, Result, Route,
    endpoint::make_sync,
    get,
    http::{HeaderMap, HeaderValue, header},
};
use poem_openapi::{ApiResponse, Object, OpenApi, ResponseContent, payload::PlainText};
use serde::Serialize;

use super::{
    Context,
    dto::Status,
    errors::ApiError,
    json::Written,
    metrics::{Now, Snapshot},
    pipeline::X_ADMIN_TOKEN,
    same_secret,
};

/// The operations anybody may ask, free of limits.
pub struct MetaApi(pub Arc<Context>);

/// That the process serves.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Health")]
struct HealthBody {
    /// `ok`.
    status: String,
    /// Seconds since the start.
    uptime_seconds: f64,
    /// Chat requests.
    requests_total: u64,
    /// Chat responses.
    responses_total: u64,
    /// Chat responses with a status of 500 or more.
    errors_total: u64,
}

/// Whether turns can be answered.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Readiness")]
struct ReadinessBody {
    /// `ready`, `degraded`, `unavailable` or `draining`.
    status: String,
    /// With the admin token: each dependency in use.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<CheckBody>>,
}

/// A dependency.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "DependencyCheck")]
struct CheckBody {
    /// Its name.
    name: String,
    /// `up`, `degraded` or `down`.
    state: String,
    /// Since when, if that is known.
    since: Option<String>,
    /// Its last failure.
    last_error: Option<String>,
    /// How much waits for it.
    backlog: Option<u64>,
    /// What to know besides.
    note: Option<String>,
}

impl From<Health> for CheckBody {
    fn from(health: Health) -> Self {
        Self {
            name: health.name.to_string(),
            state: health.state.as_str().to_owned(),
            since: health.since.map(|since| since.to_string()),
            last_error: health.last_error,
            backlog: health.backlog,
            note: health.note.map(str::to_owned),
        }
    }
}

#[derive(ApiResponse)]
enum Readiness {
    /// Turns can be answered, perhaps not as well as usual.
    #[oai(status = 200)]
    Ready(Written<ReadinessBody>),
    /// No turn can be answered, or the service is on its way out.
    #[oai(status = 503)]
    Unavailable(Written<ReadinessBody>),
}

#[derive(ApiResponse)]
enum Counted {
    /// All numbers: as JSON, or with `Accept: text/plain` or `application/openmetrics-text` for Prometheus.
    #[oai(status = 200)]
    Counted(Numbers),
}

#[derive(ResponseContent)]
enum Numbers {
    Json(Written<Snapshot>),
    #[oai(content_type = "text/plain; version=0.0.4; charset=utf-8")]
    Prometheus(PlainText<String>),
    #[oai(content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")]
    OpenMetrics(PlainText<String>),
}

/// Where readiness is asked for, and where the admin token shows more.
pub(super) const READY: &str = "/health/ready";

#[OpenApi]
impl MetaApi {
    /// That the service is there
    #[oai(path = "/", method = "get", operation_id = "root")]
    async fn root(&self) -> Written<Status> {
        Written::new(&Status { status: "ok".to_owned() })
    }

    /// That the process serves
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> Written<HealthBody> {
        let counted = self.0.metrics.snapshot(0);
        Written::new(&HealthBody {
            status: "ok".to_owned(),
            uptime_seconds: counted.uptime_seconds,
            requests_total: counted.requests_total,
            responses_total: counted.responses_total,
            errors_total: counted.errors_total,
        })
    }

    /// Whether turns can be answered
    ///
    /// 503 only for what no turn can do without. With `X-Admin-Token`, each dependency is told. What is found is good for
    /// a second.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self, request: &Request) -> Readiness {
        let (status, checks) = self.readiness().await;
        let is_ready = matches!(status, "ready" | "degraded");
        let checks = self.is_operator(request.headers()).then(|| checks.iter().cloned().map(CheckBody::from).collect());
        let body = Written::new(&ReadinessBody { status: status.to_owned(), checks });
        if is_ready { Readiness::Ready(body) } else { Readiness::Unavailable(body) }
    }

    /// What is counted
    ///
    /// Chat traffic only: sessions made and messages posted.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self, request: &Request) -> Result<Counted> {
        if !self.0.metrics_enabled {
            return Err(ApiError::not_found().into());
        }
        let metrics = &self.0.metrics;
        Ok(Counted::Counted(match wanted(request.headers()) {
            Form::Json => Numbers::Json(Written::new(&metrics.snapshot(self.active_sessions().await))),
            Form::Prometheus => Numbers::Prometheus(PlainText(metrics.text(&self.now().await, false))),
            Form::OpenMetrics => Numbers::OpenMetrics(PlainText(metrics.text(&self.now().await, true))),
        }))
    }
}

impl MetaApi {
    /// How everything is that turns depend on, in a word and one by one.
    async fn readiness(&self) -> (&'static str, Arc<[Health]>) {
        let checks = self.0.checks.ask().await;
        let worst = checks.iter().map(|health| health.state).max().unwrap_or(HealthState::Up);
        let status = match worst {
            _ if self.0.draining.load(Ordering::Relaxed) => "draining",
            HealthState::Up => "ready",
            HealthState::Degraded => "degraded",
            HealthState::Down => "unavailable",
        };
        (status, checks)
    }

    async fn active_sessions(&self) -> u64 {
        // A store that does not answer is no reason to show nothing.
        self.0.sessions.count().await.unwrap_or(0) as u64
    }

    async fn now(&self) -> Now {
        let (active_sessions, (readiness, _)) = join(self.active_sessions(), self.readiness()).await;
        Now { active_sessions, readiness, spool_is_durable: self.0.archive.is_durable() }
    }

    fn is_operator(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(X_ADMIN_TOKEN).map(HeaderValue::as_bytes);
        matches!((shown, &self.0.admin_token), (Some(shown), Some(token)) if same_secret(shown, token))
    }
}

enum Form {
    Json,
    Prometheus,
    OpenMetrics,
}

/// The form a client names first; one that names none gets JSON.
fn wanted(headers: &HeaderMap) -> Form {
    let ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for range in ranges {
        match range.split(';').next().unwrap_or_default().trim() {
            "application/json" => return Form::Json,
            "text/plain" => return Form::Prometheus,
            "application/openmetrics-text" => return Form::OpenMetrics,
            _ => {}
        }
    }
    Form::Json
}

/// How all is set up, for the operator.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Runtime")]
pub struct RuntimeInfo {
    /// What answers.
    pub provider: ProviderInfo,
    /// What is remembered.
    pub memory: MemoryInfo,
    /// What is archived.
    pub history: HistoryInfo,
    /// The outside technologies this build knows.
    pub features: Vec<String>,
    /// The service's version.
    pub version: String,
    /// The tool servers.
    pub mcp_servers: Vec<McpServerInfo>,
}

/// What answers.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "RuntimeProvider")]
pub struct ProviderInfo {
    /// What is in use.
    pub default: String,
    /// What could be.
    pub available: Vec<String>,
    /// The LLM backend asked first.
    pub llm_provider: String,
    /// Whether that is OpenRouter.
    pub uses_openrouter: bool,
    /// The model asked when a client names none.
    pub default_model: String,
    /// Where OpenRouter is.
    pub openrouter_base_url: String,
    /// How many tool servers are configured.
    pub mcp_servers_configured: u32,
    /// How many of them are there now.
    pub mcp_servers_active: u32,
    /// Their names.
    pub mcp_server_names: Vec<String>,
    /// How many the agent needs to use tools at all.
    pub mcp_servers_required_minimum: u32,
}

/// What is remembered.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "RuntimeMemory")]
pub struct MemoryInfo {
    /// Where.
    pub backend: String,
    /// Messages, when a session asks for nothing.
    pub default_limit: u32,
    /// Messages at the most.
    pub max_limit: u32,
}

/// What is archived.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "RuntimeHistory")]
pub struct HistoryInfo {
    /// Where it should be.
    pub configured_backend: String,
    /// Where it is.
    pub backend: String,
    /// Whether it is.
    pub enabled: bool,
    /// Under what name.
    pub namespace: String,
}

/// A tool server.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "RuntimeMcpServer")]
pub struct McpServerInfo {
    /// Its configured name.
    pub name: String,
    /// How it is reached.
    pub transport: String,
    /// How it is.
    pub status: String,
    /// Its tools.
    pub tools: Vec<String>,
    /// Its last failure.
    pub last_error: Option<String>,
}

/// A variable of the effective configuration.
#[derive(Debug, Clone, Serialize, Object)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `***` for a secret.
    pub value: String,
    /// Where that comes from: `default`, `yaml`, `dotenv`, `env` or `flag`.
    pub source: String,
}

/// Adds what the spec does not describe: the spec itself and the page that shows it.
pub fn routes(api: Route, spec: &str, docs: String) -> impl Endpoint<Output = Response> + use<> {
    // Shared by all who ask: the page is large, and asking is free of limits.
    let (spec, docs) = (Bytes::from(spec.to_owned()), Bytes::from(docs));
    let spec = make_sync(move |_| Response::builder().content_type("application/json").body(spec.clone()));
    let docs = make_sync(move |_| docs_page(docs.clone()));
    api.at("/openapi.json", get(spec)).at("/docs", get(docs)).map_to_response()
}

/// The page holds all it needs; its own inline script and style are what its policy allows, and nothing from elsewhere.
fn docs_page(html: Bytes) -> Response {
    let mut response = Response::builder().content_type("text/html; charset=utf-8").body(html);
    let headers = response.headers_mut();
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

//! [`McpTools`]: the port.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    json::parse,
    message::ToolOutcome,
    ports::{
        Clock, Observer, Random,
        tools::{Tool, ToolCatalogue, ToolPort},
    },
    time::Moment,
};
use rmcp::{
    ServiceError,
    model::{CallToolRequestParams, CallToolResponse, JsonObject, MetaObject, RequestMetaObject},
};
use serde_json::value::RawValue;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    catalogue,
    config::McpConfig,
    connection::Connector,
    error::{self, BuildError},
    guard::Guard,
    http, outcome, process,
    server::{Link, Phase, Server, ServerStatus},
    supervisor::Supervisor,
};

/// How long a call waits for a connection that was lost a moment ago to be made again.
const RECONNECTION: Duration = Duration::from_secs(5);

/// What a server says of its own failure is cut to this, in characters.
const ERROR_MAX: usize = 2000;

/// The tools of all configured servers.
///
/// Servers are started and connected to in the background, from [`McpTools::start`] to [`McpTools::stop`]; dropping it
/// instead ends them without waiting for it.
pub struct McpTools {
    config: Arc<McpConfig>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// Turns wait for starting servers until then.
    start_until: Moment,
    supervisors: TaskTracker,
    stop: CancellationToken,
}

/// What supervisors and calls share.
pub(crate) struct Shared {
    servers: Vec<Arc<Server>>,
    catalogue: RwLock<Arc<ToolCatalogue>>,
    /// Held while the catalogue is made, so that an older one never replaces a newer.
    making: Mutex<()>,
    /// Whether any server has not answered yet since the start, for good or bad.
    starting: watch::Sender<bool>,
}

impl Shared {
    /// Makes the catalogue anew, after a server has changed.
    pub(crate) fn rebuild(&self) {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        // One look at all states for both: who hears that nobody is starting finds all in the catalogue.
        let states: Vec<_> = self.servers.iter().map(|server| (server.clone(), server.state())).collect();
        *self.catalogue.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalogue::of(&states));
        let starting = states.iter().any(|(_, state)| state.phase == Phase::Starting);
        self.starting.send_if_modified(|before| std::mem::replace(before, starting) != starting);
    }
}

impl McpTools {
    /// Begins to connect to all servers. Needs a tokio runtime.
    ///
    /// If any of them is a child, this process cannot be looked into by others of its user from now on (Linux): children
    /// could read its environment and its memory. Debuggers and profilers then need root, and there are no core dumps.
    ///
    /// # Errors
    /// [`BuildError`]: only for what no attempt could mend; a server that is not there is no error.
    pub fn start(
        config: McpConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, BuildError> {
        let now = clock.now();
        let mut servers: Vec<Arc<Server>> = Vec::new();
        for server in &config.servers {
            if servers.iter().any(|other| *other.name == *server.name) {
                return Err(BuildError::DuplicateName(server.name.clone()));
            }
            servers.push(Arc::new(Server::new(server.clone(), now)?));
        }
        let shared = Arc::new(Shared {
            servers,
            catalogue: RwLock::default(),
            making: Mutex::default(),
            starting: watch::Sender::new(false),
        });
        shared.rebuild();
        let client = http::client(&config)?;
        let guard = if config.servers.iter().any(|server| !server.transport.is_http()) {
            process::keep_to_ourselves();
            Guard::start(config.guard.clone())
        } else {
            Guard::default()
        };
        let config = Arc::new(config);
        let connector = Arc::new(Connector { config: config.clone(), client, guard });
        let (supervisors, stop) = (TaskTracker::new(), CancellationToken::new());
        for server in &shared.servers {
            observer.tool_server(&server.name, false);
            let supervisor = Supervisor {
                server: server.clone(),
                shared: shared.clone(),
                connector: connector.clone(),
                clock: clock.clone(),
                random: random.clone(),
                observer: observer.clone(),
                stop: stop.clone(),
            };
            supervisors.spawn(supervisor.run());
        }
        supervisors.close();
        let start_until = clock.moment().plus(config.start_timeout);
        Ok(Self { config, shared, clock, start_until, supervisors, stop })
    }

    /// All servers as they are now, in their configured order.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.shared.servers.iter().map(|server| server.status()).collect()
    }

    /// Closes all connections and ends all children, with theirs. Takes some seconds at most.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.supervisors.wait().await;
    }

    /// With what ties the call to its trace, where the protocol has a place for that.
    fn traced(&self, mut params: CallToolRequestParams) -> CallToolRequestParams {
        let told = self.config.propagation.current();
        if !told.is_empty() {
            let told = told.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
            params.meta = Some(RequestMetaObject(MetaObject(told.collect())));
        }
        params
    }

    async fn attempt(&self, server: &Server, tool: &Tool, arguments: JsonObject) -> ToolOutcome {
        let Ok(_running) = server.calls.acquire().await else { return unavailable(server) };
        let mut lost = None;
        loop {
            let Some((link, generation)) = connection(server, lost).await else { return unavailable(server) };
            if !server.state().tools.iter().any(|offer| offer.name == tool.name) {
                return ToolOutcome::error(format!("The server {} has no tool {} any more.", server.name, tool.name));
            }
            let first = lost.is_none();
            if first && link.line.closed.is_cancelled() {
                lost = Some(generation);
                continue;
            }
            let params = CallToolRequestParams::new(tool.name.to_string()).with_arguments(arguments.clone());
            let params = self.traced(params);
            let before = link.written();
            return match link.peer.call_tool_once(params).await {
                Ok(CallToolResponse::Complete(result)) => outcome::of(result, self.config.result_max_bytes),
                Ok(_) => ToolOutcome::error("The tool asks for something that only a person could give it."),
                Err(ServiceError::McpError(told)) if error::is_refusal(&told) => {
                    let message = server.config.transport.redact(&told.message, ERROR_MAX);
                    ToolOutcome::error(format!("The server {} refused the call: {message}", server.name))
                }
                Err(error) => {
                    server.doubt.notify_one();
                    let unheard = before.is_some() && before == link.written();
                    if first && (unheard || error::was_not_sent(&error, &server.config.transport)) {
                        lost = Some(generation);
                        continue;
                    }
                    let why = server.config.transport.redact(&error::service(&error), ERROR_MAX);
                    ToolOutcome::error(format!(
                        "The call failed, and whether the tool did its work is not known: {why}."
                    ))
                }
            };
        }
    }
}

/// Whom to call: a connection, and another one than was lost.
async fn connection(server: &Server, lost: Option<u64>) -> Option<(Link, u64)> {
    let mut states = server.state.subscribe();
    let settled = states.wait_for(|state| {
        let another = lost != Some(state.generation);
        match state.phase {
            Phase::Ready => another,
            Phase::Reconnecting => false,
            // Nobody can have been offered a tool of a server that was never there.
            Phase::Starting | Phase::Down => true,
        }
    });
    let state = timeout(RECONNECTION, settled).await.ok()?.ok()?.clone();
    Some((state.link.clone()?, state.generation))
}

fn unavailable(server: &Server) -> ToolOutcome {
    ToolOutcome::error(format!("The server {} is not available at the moment.", server.name))
}

#[async_trait]
impl ToolPort for McpTools {
    fn catalogue(&self) -> Arc<ToolCatalogue> {
        self.shared.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn started(&self, deadline: Moment) {
        let mut starting = self.shared.starting.subscribe();
        if !*starting.borrow_and_update() {
            return;
        }
        let wait = self.start_until.min(deadline).since(self.clock.moment());
        let _ = timeout(wait, starting.wait_for(|starting| !starting)).await;
    }

    async fn call(&self, _id: &str, tool: &Tool, arguments: &RawValue, deadline: Moment) -> ToolOutcome {
        let Some(server) = self.shared.servers.iter().find(|server| server.name == tool.server) else {
            return ToolOutcome::error(format!("There is no server {}.", tool.server));
        };
        // The catalogue holds nothing else; this is the lock behind that door.
        if !server.allows(&tool.name) {
            return ToolOutcome::error(format!("There is no tool {}.", tool.function));
        }
        let Ok(arguments) = parse::<JsonObject>(arguments.get()) else {
            return ToolOutcome::error("The arguments are no JSON object.");
        };
        let began = self.clock.moment();
        let bound = server.config.tool_timeout.unwrap_or(self.config.tool_timeout);
        let bound = bound.min(deadline.since(began));
        let outcome = match timeout(bound, self.attempt(server, tool, arguments)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                server.doubt.notify_one();
                ToolOutcome::error(format!("The tool did not answer within {:.1} s.", bound.as_secs_f64()))
            }
        };
        tracing::info!(
            event = "tool_called",
            server = %server.name,
            tool = %tool.name,
            is_error = outcome.is_error,
            duration_ms = self.clock.moment().since(began).as_secs_f64() * 1000.0,
            "tool called"
        );
        outcome
    }
}

impl Drop for McpTools {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

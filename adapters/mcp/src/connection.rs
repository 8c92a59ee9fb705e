//! A connection to a server: made, with the handshake and the list of tools, and ended.

use std::{
    future::pending,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::{
    Peer, RoleClient, ServiceError,
    handler::client::ClientHandler,
    model::{
        ClientCapabilities, ClientConfig, ClientRequest, Implementation, ListToolsRequest, PaginatedRequestParams,
        ProtocolVersion, ServerResult, SubscriptionFilter,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt, NotificationContext, RunningService,
        RunningServiceCancellationToken, Subscription,
    },
    transport::async_rw::AsyncRwTransport,
};
use serde_json::{Map, Value};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    config::{McpConfig, Transport},
    error::{self, ConnectError},
    guard::Guard,
    http,
    process::{Process, Start},
    server::{Link, Offer, Server},
};

/// More tools than this of one server are not looked at: a list without an end is no list.
const MOST_TOOLS: usize = 1000;

/// How long the closing of a connection may take.
const CLOSING: Duration = Duration::from_secs(1);

/// What makes connections.
pub(crate) struct Connector {
    pub(crate) config: Arc<McpConfig>,
    pub(crate) client: reqwest::Client,
    pub(crate) guard: Guard,
}

/// A connection over which a server has told its tools.
pub(crate) struct Connection {
    pub(crate) link: Link,
    pub(crate) tools: Arc<[Offer]>,
    /// Rung when the server says that its tools have changed.
    changed: Arc<Notify>,
    subscription: Option<Subscription>,
    /// Resolves when the connection is closed, by whomever; none once it has.
    closed: Option<BoxFuture<'static, ()>>,
    closer: RunningServiceCancellationToken,
    process: Option<Process>,
}

/// What happens on a connection by itself.
pub(crate) enum Event {
    /// The server says that its tools have changed.
    Changed,
    /// It is over.
    Closed,
}

/// Our side of the protocol. It offers nothing: no sampling, no elicitation, no roots.
struct Handler {
    info: ClientConfig,
    changed: Arc<Notify>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        self.info.clone()
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

impl Connector {
    /// Connects: starts the server if it is a child, shakes hands, and asks for the tools.
    pub(crate) async fn connect(&self, server: &Server) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + self.config.handshake_timeout;
        // Every server in use knows the protocol of 2025; one of 2026 may know nothing else, and says so.
        match self.attempt(server, ClientLifecycleMode::Initialize, deadline).await {
            Err(Attempt { error, refused: true }) => {
                let newest = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
                // If that fails as well, the first error is the one that helps.
                self.attempt(server, newest, deadline).await.map_err(|_| error)
            }
            other => other.map_err(|attempt| attempt.error),
        }
    }

    async fn attempt(
        &self,
        server: &Server,
        mode: ClientLifecycleMode,
        deadline: Instant,
    ) -> Result<Connection, Attempt> {
        let modern = mode != ClientLifecycleMode::Initialize;
        let changed = Arc::new(Notify::new());
        let app = Implementation::new(&self.config.app_name, &self.config.app_version);
        let info = ClientConfig::new(ClientCapabilities::default(), app)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE);
        let handler = Handler { info, changed: changed.clone() };
        let (mut process, mut written) = (None, None);
        let shaken = match &server.config.transport {
            Transport::Stdio { command, args, env, cwd } => {
                let transport = &server.config.transport;
                let start = Start { server: &server.name, transport, command, args, env, cwd: cwd.as_deref() };
                let (mut child, (stdout, stdin)) = Process::start(&start, &self.config, &self.guard)?;
                written = Some(stdin.written.clone());
                let pipes = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(http::MESSAGE_MAX);
                let shaken = tokio::select! {
                    shaken = timeout_at(deadline, handler.serve_with_lifecycle(pipes, mode)) => shaken,
                    () = child.ended() => {
                        let exit = child.exit().await.map(|status| status.to_string());
                        return Err(ConnectError::Ended { exit }.into());
                    }
                };
                process = Some(child);
                shaken
            }
            Transport::Http { url, .. } => {
                let most = server.config.max_concurrent_calls;
                let transport = http::transport(self.client.clone(), url, &server.headers, most);
                timeout_at(deadline, handler.serve_with_lifecycle(transport, mode)).await
            }
        };
        let silent = || ConnectError::Silent(self.config.handshake_timeout.as_secs());
        let service = match shaken {
            Ok(Ok(service)) => service,
            Ok(Err(error)) => {
                let refused = is_refusal(&error, server);
                let mut error = error::handshake(&error);
                if let (ConnectError::Ended { exit }, Some(process)) = (&mut error, &mut process) {
                    *exit = process.exit().await.map(|status| status.to_string());
                }
                return Err(Attempt { error, refused });
            }
            Err(_) => return Err(silent().into()),
        };
        let mut connection = Connection::new(service, changed, process, written);
        match timeout_at(deadline, list_tools(&connection.link.peer, server)).await {
            Ok(Ok(tools)) => connection.tools = tools,
            Ok(Err(error)) => {
                let error = ConnectError::Tools(error::service(&error));
                connection.end().await;
                return Err(error.into());
            }
            Err(_) => {
                connection.end().await;
                return Err(silent().into());
            }
        }
        if modern {
            // In this generation a server tells of changes only those who have asked.
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            let listening = timeout_at(deadline, connection.link.peer.listen(filter)).await;
            connection.subscription = listening.ok().and_then(Result::ok);
        }
        Ok(connection)
    }
}

/// A failed attempt.
struct Attempt {
    error: ConnectError,
    /// The server is there, and answered that it does not shake hands in this way.
    refused: bool,
}

impl From<ConnectError> for Attempt {
    fn from(error: ConnectError) -> Self {
        Self { error, refused: false }
    }
}

fn is_refusal(error: &ClientInitializeError, server: &Server) -> bool {
    match error {
        ClientInitializeError::JsonRpcError(_)
        | ClientInitializeError::NoCompatibleProtocolVersion { .. }
        | ClientInitializeError::ExpectedInitResult(_) => true,
        // A server without sessions may answer 400 to a request without its generation's headers.
        ClientInitializeError::TransportError { error, .. } => {
            server.config.transport.is_http() && error::is_bad_request(error.error.as_ref())
        }
        _ => false,
    }
}

impl Connection {
    fn new(
        service: RunningService<RoleClient, Handler>,
        changed: Arc<Notify>,
        process: Option<Process>,
        written: Option<Arc<AtomicU64>>,
    ) -> Self {
        let link = Link { peer: service.peer().clone(), written };
        let closer = service.cancellation_token();
        let closed = async move {
            let _ = service.waiting().await;
        };
        Self { link, tools: Arc::default(), changed, subscription: None, closed: Some(closed.boxed()), closer, process }
    }

    /// Resolves when something happens.
    pub(crate) async fn event(&mut self) -> Event {
        let Some(closed) = &mut self.closed else { return Event::Closed };
        let changed = async {
            match &mut self.subscription {
                None => self.changed.notified().await,
                Some(subscription) => {
                    if !matches!(subscription.next().await, Ok(Some(_))) {
                        // What the server tells no more is seen when it is looked after the next time.
                        self.subscription = None;
                    }
                }
            }
        };
        let ended = async {
            match &mut self.process {
                Some(process) => process.ended().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = closed => {
                self.closed = None;
                Event::Closed
            }
            () = ended => Event::Closed,
            () = changed => Event::Changed,
        }
    }

    /// Closes it, and ends the server if it is a child.
    pub(crate) async fn end(mut self) {
        drop(self.subscription.take());
        self.closer.cancel();
        if let Some(closed) = self.closed {
            let _ = timeout(CLOSING, closed).await;
        }
        if let Some(process) = self.process {
            process.end().await;
        }
    }
}

/// Asks for all tools, page by page. What a server describes in a way that no model could use it is left out, and the log
/// says so; its other tools are not worse for it.
pub(crate) async fn list_tools(peer: &Peer<RoleClient>, server: &Server) -> Result<Arc<[Offer]>, ServiceError> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut cursor = None;
    loop {
        let params = cursor.take().map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let request = ListToolsRequest { params, ..ListToolsRequest::default() };
        let (page, next) = match peer.send_request(ClientRequest::ListToolsRequest(request)).await? {
            ServerResult::ListToolsResult(page) => {
                let read = |tool: rmcp::model::Tool| Found {
                    description: tool.description.map(Into::into),
                    name: tool.name.into(),
                    schema: Some(Arc::unwrap_or_clone(tool.input_schema)),
                };
                (page.tools.into_iter().map(read).collect(), page.next_cursor)
            }
            // One tool that is not as the protocol says makes the whole list something else.
            ServerResult::CustomResult(page) => read_leniently(page.0).ok_or(ServiceError::UnexpectedResponse)?,
            _ => return Err(ServiceError::UnexpectedResponse),
        };
        let page: Vec<Found> = page;
        offers.extend(
            page.into_iter().filter(|found| server.allows(&found.name)).filter_map(|found| found.check(server)),
        );
        if offers.len() > MOST_TOOLS {
            tracing::warn!(server = %server.name, most = MOST_TOOLS, "an MCP server has too many tools; the rest is left out");
            offers.truncate(MOST_TOOLS);
            break;
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    Ok(offers.into())
}

/// A tool as a server describes it, rightly or not.
struct Found {
    name: String,
    description: Option<String>,
    schema: Option<Map<String, Value>>,
}

fn read_leniently(mut page: Value) -> Option<(Vec<Found>, Option<String>)> {
    let next = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
    let Value::Array(tools) = page.get_mut("tools")?.take() else { return None };
    let read = |mut tool: Value| {
        let name = tool.get("name")?.as_str()?.to_owned();
        let description = tool.get("description").and_then(Value::as_str).map(str::to_owned);
        let schema = match tool.get_mut("inputSchema").map(Value::take) {
            Some(Value::Object(schema)) => Some(schema),
            _ => None,
        };
        Some(Found { name, description, schema })
    };
    Some((tools.into_iter().filter_map(read).collect(), next))
}

impl Found {
    /// The tool, if its arguments are an object's: what models and backends know how to fill.
    fn check(self, server: &Server) -> Option<Offer> {
        let mut schema = self.schema.unwrap_or_default();
        let usable = match schema.get("type") {
            None => !schema.is_empty(),
            Some(kind) => kind == "object",
        };
        if !usable || self.name.is_empty() {
            tracing::warn!(
                server = %server.name,
                tool = %self.name.chars().take(100).collect::<String>(),
                "a tool is left out: the schema of its arguments is not an object's"
            );
            return None;
        }
        schema.insert("type".into(), "object".into());
        let schema = serde_json::value::to_raw_value(&schema).ok()?;
        Some(Offer { name: self.name.into(), description: self.description.map(Into::into), schema: schema.into() })
    }
}

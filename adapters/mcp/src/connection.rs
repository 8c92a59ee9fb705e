//! A connection to a server: made, with the handshake and the list of tools, and ended.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::{
    RoleClient,
    handler::client::ClientHandler,
    model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion, SubscriptionFilter},
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt, NotificationContext, RunningService,
        RunningServiceCancellationToken, Subscription,
    },
    transport::async_rw::AsyncRwTransport,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    config::{McpConfig, Transport},
    error::{self, ConnectError},
    guard::Guard,
    http,
    listing::{Listed, list_tools},
    process::{self, Process, Start},
    server::{Link, Server},
    transport::{Line, Watched},
};

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
    pub(crate) listed: Listed,
    /// Rung when the server says that its tools have changed.
    changed: Arc<Notify>,
    /// Whether the server tells of changes only those who have asked, as those of 2026 do.
    tells_if_asked: bool,
    subscription: Option<Subscription>,
    /// Resolves when nothing of the connection is left.
    finished: BoxFuture<'static, ()>,
    closer: RunningServiceCancellationToken,
    process: Option<Process>,
}

/// What happens on a connection by itself.
pub(crate) enum Event {
    /// The server says that its tools have changed.
    Changed,
    /// It is over, for this reason.
    Closed(&'static str),
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
        let line = Line::default();
        let shaken = match &server.config.transport {
            Transport::Stdio { command, args, env, cwd } => {
                let transport = &server.config.transport;
                let start = Start { server: &server.name, transport, command, args, env, cwd: cwd.as_deref() };
                let (mut child, (stdout, stdin)) = Process::start(&start, &self.config, &self.guard)?;
                written = Some(stdin.written.clone());
                let pipes = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(process::MESSAGE_MAX);
                let pipes = Watched::new(pipes, &line);
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
                let transport = Watched::new(transport, &line);
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
        let link = Link { peer: service.peer().clone(), line, written };
        let mut connection = Connection::new(service, link, changed, modern, process);
        match timeout_at(deadline, list_tools(&connection.link.peer, server)).await {
            Ok(Ok(listed)) => connection.listed = listed,
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
        let _ = timeout_at(deadline, connection.listen()).await;
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
        link: Link,
        changed: Arc<Notify>,
        tells_if_asked: bool,
        process: Option<Process>,
    ) -> Self {
        let closer = service.cancellation_token();
        let finished = async move {
            let _ = service.waiting().await;
        };
        let (listed, finished) = (Listed::default(), finished.boxed());
        Self { link, listed, changed, tells_if_asked, subscription: None, finished, closer, process }
    }

    /// Asks to be told of changes, if one has to and has not.
    pub(crate) async fn listen(&mut self) {
        if self.tells_if_asked && self.subscription.is_none() {
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            self.subscription = self.link.peer.listen(filter).await.ok();
        }
    }

    /// Whether the server may be gone, or have changed, without a word: only a child's pipe tells of its end, and only who
    /// is heard tells of changes.
    pub(crate) fn is_quiet(&self) -> bool {
        self.process.is_none() || (self.tells_if_asked && self.subscription.is_none())
    }

    /// Resolves when something happens.
    pub(crate) async fn event(&mut self) -> Event {
        let changed = async {
            match &mut self.subscription {
                None => self.changed.notified().await,
                Some(subscription) => {
                    if !matches!(subscription.next().await, Ok(Some(_))) {
                        // Whatever it did not tell at its end is seen now, and what comes when it is looked after.
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
            () = self.link.line.closed.cancelled() => Event::Closed(self.link.line.why()),
            () = ended => Event::Closed(self.link.line.why()),
            () = changed => Event::Changed,
        }
    }

    /// Closes it, and ends the server if it is a child.
    pub(crate) async fn end(mut self) {
        drop(self.subscription.take());
        self.closer.cancel();
        let _ = timeout(CLOSING, self.finished).await;
        if let Some(process) = self.process {
            process.end().await;
        }
    }
}

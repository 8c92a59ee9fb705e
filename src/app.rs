//! The composition root: configuration in, a running service out. The only place that names adapters.

mod backends;
mod files;
pub(crate) mod mcp;
mod storage;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_local::system::TrackedTasks;
use thiserror::Error;
use tokio::{
    net::{TcpListener, lookup_host},
    signal::unix::{SignalKind, signal},
};

use crate::{
    config::{BuiltIn, Loaded, Server, Settings, Sources},
    http::{
        Service,
        server::{ConnectionLimits, serve},
    },
    telemetry::Tracing,
};

/// A service that is ready to be run.
pub struct App {
    server: Server,
    service: Service,
    tools: mcp::ToolServers,
    tasks: Arc<TrackedTasks>,
    upkeep: storage::Upkeep,
    draining: Arc<AtomicBool>,
    tracing: Tracing,
}

/// The API's OpenAPI document. It is the same for every configuration.
///
/// # Errors
/// When the default configuration cannot be built, which would be our mistake.
pub fn describe() -> Result<String, StartError> {
    let failed = |source| StartError::Part { what: "the default configuration", source };
    let sources = Sources::in_memory([]);
    let loaded = Settings::load(&sources, &BuiltIn::this_build()).map_err(|errors| failed(errors.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ok(App::build(loaded).await?.service.document().to_owned()) })
}

/// Why the service did not start, in a line for an operator.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {host}:{port}: {source}{}", hint(source))]
    Listen {
        /// `HOST`.
        host: String,
        /// `PORT`.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A part cannot be built.
    #[error("{what} cannot be set up: {source}")]
    Part {
        /// Which part.
        what: &'static str,
        /// Why.
        #[source]
        source: chat_domain::ports::BoxError,
    },
    /// The operating system.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another program listens there; choose another with PORT or --port)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need rights; choose another with PORT or --port)",
        _ => "",
    }
}

/// How many connections the kernel holds for us while we are busy.
const BACKLOG: u32 = 1024;

impl App {
    /// Builds all parts.
    ///
    /// # Errors
    /// When one cannot be built.
    pub async fn build(loaded: Loaded) -> Result<Self, StartError> {
        let draining = Arc::new(AtomicBool::new(false));
        let tracing = Tracing::start(&loaded.settings.traces).map_err(|error| backends::part("traces", error))?;
        let parts = backends::compose(&loaded, draining.clone(), &tracing).await?;
        let Settings { server, .. } = loaded.settings;
        Ok(Self {
            server,
            service: Service::new(parts.context),
            tools: parts.tools,
            tasks: parts.tasks,
            upkeep: parts.upkeep,
            draining,
            tracing,
        })
    }

    /// Takes the configured address.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn bind(&self) -> Result<TcpListener, StartError> {
        let Server { host, port, .. } = &self.server;
        let failed = |source| StartError::Listen { host: host.clone(), port: *port, source };
        let address = lookup_host((host.as_str(), *port)).await.map_err(failed)?.next();
        let address = address.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        listen(address).map_err(failed)
    }

    /// Serves until a signal says to end, then lets go in order.
    pub async fn run(self, listener: TcpListener) {
        let upkeep = self.upkeep.start();
        let max_connections = files::room_for(self.server.max_connections);
        let limits = ConnectionLimits { max_connections, ..ConnectionLimits::default() };
        let stop = stop_signal(self.draining.clone(), self.server.shutdown_delay);
        // The start's last word: whoever waits for it has read all that a start says, and may stop the service at once.
        if let Ok(address) = listener.local_addr() {
            tracing::info!(event = "listening", address = %address, "listening");
        }
        let all_ended = serve(listener, self.service, limits, stop, self.server.shutdown_grace).await;
        upkeep.abort();
        // No turn needs them any more.
        self.tools.stop().await;
        // What has begun to be stored is stored, connections or not.
        let stored = tokio::time::timeout(DETACHED_GRACE, self.tasks.close_and_wait()).await.is_ok();
        self.tracing.stop().await;
        if all_ended && stored {
            tracing::info!(event = "stopped", "stopped");
        } else {
            tracing::warn!(
                event = "stopped",
                requests_ended = all_ended,
                storing_ended = stored,
                "stopped before all had ended"
            );
        }
    }
}

/// How long what outlives its request may take after the last request has ended. A spool on disk keeps what is left.
const DETACHED_GRACE: Duration = Duration::from_secs(5);

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Resolves when the service is to stop accepting: after a signal, and after the time that load balancers need to notice
/// that it is no longer ready. A second signal ends that wait.
///
/// Signals are caught from the call on, not from the first poll: one that comes in between ends the service in order.
fn stop_signal(draining: Arc<AtomicBool>, delay: Duration) -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            tracing::error!("signals cannot be listened to: the service can only be killed");
            return std::future::pending().await;
        };
        let mut next = async || tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
        let name = next().await;
        draining.store(true, Ordering::Relaxed);
        tracing::info!(event = "draining", signal = name, delay_seconds = delay.as_secs_f64(), "draining");
        let _ = tokio::time::timeout(delay, next()).await;
    }
}

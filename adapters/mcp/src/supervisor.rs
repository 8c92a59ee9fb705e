//! Keeps one server's connection: makes it, watches over it, makes it again.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chat_domain::{
    ports::{Clock, Observer, Random},
    time::Timestamp,
};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::{Connection, Connector, Event},
    error,
    listing::{LeftOut, list_tools},
    server::{Phase, Server, State},
    tools::Shared,
};

/// The first pause between attempts; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between attempts, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection that held this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// So many connections in a row that were not good are made again at once all the same: one call that kills its server
/// should not cost everybody else the server's tools.
const QUICK: u32 = 3;

/// How long a server may take to answer when it is asked whether it is still there.
const PROBE: Duration = Duration::from_secs(10);

/// How often a quiet HTTP server is looked after. Of a child's end its pipe tells; of an HTTP server's nobody does.
const LOOK_AFTER: Duration = Duration::from_secs(30);

/// A burst of changes is one.
const SETTLE: Duration = Duration::from_millis(100);

/// A server that always says that its tools have changed is asked for them no more often.
const SPACING: Duration = Duration::from_secs(1);

/// Where what went wrong is cut, in characters.
const ERROR_MAX: usize = 400;

pub(crate) struct Supervisor {
    pub(crate) server: Arc<Server>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) stop: CancellationToken,
}

/// Why a connection is over.
enum Over {
    Lost(String),
    Stopped,
}

impl Supervisor {
    /// Runs until it is stopped, and ends the connection then.
    pub(crate) async fn run(self) {
        // Without this the server would be for ever what it was when a fault of ours ended this.
        let mut panics = 0;
        while AssertUnwindSafe(self.supervise()).catch_unwind().await.is_err() {
            panics += 1;
            tracing::error!(server = %self.server.name, "the supervisor of an MCP server panicked, and begins anew");
            self.lost(Phase::Down, "a fault of the client; see the log");
            tokio::select! {
                () = sleep(self.pause(panics)) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn supervise(&self) {
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            let connecting = self.connector.connect(&self.server);
            let connected = tokio::select! {
                connected = connecting => connected,
                () = self.stop.cancelled() => break,
            };
            match connected {
                Ok(connection) => {
                    let since = Instant::now();
                    self.ready(&connection);
                    let (connection, over) = self.watch(connection).await;
                    if let Over::Lost(error) = &over {
                        failures = if since.elapsed() >= GOOD { 0 } else { failures + 1 };
                        let phase = if failures <= QUICK { Phase::Reconnecting } else { Phase::Down };
                        self.lost(phase, error);
                    }
                    connection.end().await;
                    if matches!(over, Over::Stopped) {
                        break;
                    }
                    if failures <= QUICK {
                        continue;
                    }
                }
                Err(error) => {
                    failures += 1;
                    self.lost(Phase::Down, &error.to_string());
                }
            }
            tokio::select! {
                () = sleep(self.pause(failures)) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Looks after a connection until it is over.
    async fn watch(&self, mut connection: Connection) -> (Connection, Over) {
        let mut listed = Instant::now();
        // When the server is asked for its tools because it has said that they are others now.
        let mut again = None;
        loop {
            let quiet = Instant::now() + LOOK_AFTER;
            let looked_after = tokio::select! {
                () = self.stop.cancelled() => return (connection, Over::Stopped),
                event = connection.event() => match event {
                    Event::Closed(why) => return (connection, Over::Lost(why.into())),
                    Event::Changed => {
                        again.get_or_insert((Instant::now() + SETTLE).max(listed + SPACING));
                        continue;
                    }
                },
                () = self.server.doubt.notified() => false,
                () = sleep_until(again.unwrap_or(quiet)), if again.is_some() || connection.is_quiet() => {
                    if again.is_none() && !self.server.is_idle() {
                        continue;
                    }
                    again.is_none()
                }
            };
            let tools = tokio::select! {
                tools = timeout(PROBE, list_tools(&connection.link.peer, &self.server)) => tools,
                () = self.stop.cancelled() => return (connection, Over::Stopped),
            };
            (listed, again) = (Instant::now(), None);
            match tools {
                Ok(Ok(tools)) => {
                    let left_out = std::mem::replace(&mut connection.listed, tools).left_out;
                    if left_out != connection.listed.left_out {
                        self.warn_of(connection.listed.left_out.as_ref());
                    }
                    self.refresh(&connection);
                }
                // It is there, but will not tell: the last good list is kept.
                Ok(Err(rmcp::ServiceError::McpError(told))) => {
                    let told = error::service(&rmcp::ServiceError::McpError(told));
                    let told = self.server.config.transport.redact(&told, ERROR_MAX);
                    tracing::warn!(server = %self.server.name, error = %told, "the tools of an MCP server cannot be listed anew");
                }
                Ok(Err(error)) => return (connection, Over::Lost(error::service(&error))),
                Err(_) => return (connection, Over::Lost("it does not answer any more".into())),
            }
            if looked_after {
                let _ = timeout(PROBE, connection.listen()).await;
            }
        }
    }

    fn warn_of(&self, left_out: Option<&LeftOut>) {
        if let Some(LeftOut { count, first, why }) = left_out {
            tracing::warn!(server = %self.server.name, count, %first, why, "tools of an MCP server are left out");
        }
    }

    fn ready(&self, connection: &Connection) {
        tracing::info!(
            event = "mcp_ready", server = %self.server.name, tools = connection.listed.offers.len(), "an MCP server is ready"
        );
        self.change(|state, now| State {
            phase: Phase::Ready,
            since: now,
            tools: connection.listed.offers.clone(),
            link: Some(connection.link.clone()),
            generation: state.generation + 1,
            last_error: state.last_error.clone(),
        });
        self.warn_of(connection.listed.left_out.as_ref());
    }

    fn refresh(&self, connection: &Connection) {
        let same = self
            .server
            .state()
            .tools
            .iter()
            .map(|offer| (&offer.name, offer.schema.get(), &offer.description))
            .eq(connection.listed.offers.iter().map(|offer| (&offer.name, offer.schema.get(), &offer.description)));
        if !same {
            tracing::info!(
                event = "mcp_tools_changed", server = %self.server.name, tools = connection.listed.offers.len(),
                "the tools of an MCP server have changed"
            );
            self.change(|state, _| State { tools: connection.listed.offers.clone(), ..state.clone() });
        }
    }

    fn lost(&self, phase: Phase, error: &str) {
        let error = self.server.config.transport.redact(error, ERROR_MAX);
        // An operator who reads the log once a day wants one line for an outage, not one for each attempt.
        let state = self.server.state();
        if state.phase != Phase::Down || state.last_error.as_deref() != Some(&*error) {
            tracing::warn!(event = "mcp_down", server = %self.server.name, error = %error, "an MCP server is not there");
        }
        self.change(|state, now| State {
            phase,
            since: if state.phase == phase { state.since } else { now },
            last_error: Some(error.as_str().into()),
            link: None,
            ..state.clone()
        });
    }

    fn change(&self, change: impl FnOnce(&State, Timestamp) -> State) {
        let now = self.clock.now();
        self.server.state.send_modify(|state| *state = Arc::new(change(state, now)));
        self.observer.tool_server(&self.server.name, self.server.state().phase == Phase::Ready);
        self.shared.rebuild();
    }

    /// Doubles from pause to pause, and differs by a quarter up or down, so that replicas do not come together.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
        doubled.min(LONGEST_PAUSE).mul_f64(0.75 + self.random.unit() / 2.0)
    }
}

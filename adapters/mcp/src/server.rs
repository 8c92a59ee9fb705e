//! A server as calls and reports see it: its configuration and its state.

use std::{collections::HashMap, sync::Arc};

use chat_domain::time::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::{Peer, RoleClient};
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    config::{ServerConfig, Transport},
    error::BuildError,
    http,
    process::Written,
    transport::Line,
};

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not answered yet since we were started.
    Starting,
    /// It has told its tools.
    Ready,
    /// Its connection was lost, and the first attempt at another is under way.
    Reconnecting,
    /// It cannot be talked to. It is tried again.
    Down,
}

impl Phase {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting | Self::Reconnecting => "starting",
            Self::Ready => "ready",
            Self::Down => "down",
        }
    }
}

/// A server, for operators.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// `stdio` or `streamable_http`.
    pub transport: &'static str,
    /// Whether no turn may go on without it.
    pub required: bool,
    /// How it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// The tools it has, or had when it was last there, by its own names for them.
    pub tools: Vec<Arc<str>>,
    /// What went wrong last, without secrets.
    pub last_error: Option<Arc<str>>,
}

/// A tool as its server offers it.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) name: Arc<str>,
    pub(crate) description: Option<Arc<str>>,
    pub(crate) schema: Arc<RawValue>,
}

/// What changes. Readers take a copy of the pointer.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) since: Timestamp,
    /// The last good list.
    pub(crate) tools: Arc<[Offer]>,
    pub(crate) last_error: Option<Arc<str>>,
    /// Whom to call, in [`Phase::Ready`] only.
    pub(crate) link: Option<Link>,
    /// Counts connections, so that a call can wait for another than the one it lost.
    pub(crate) generation: u64,
}

/// A connection, for calls.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) line: Line,
    /// What a child's stdin has taken.
    pub(crate) written: Option<Written>,
}

impl Link {
    pub(crate) fn written(&self) -> Option<u64> {
        self.written.as_ref().map(Written::bytes)
    }
}

pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) config: ServerConfig,
    pub(crate) headers: HashMap<HeaderName, HeaderValue>,
    pub(crate) state: watch::Sender<Arc<State>>,
    /// The calls that may run.
    pub(crate) calls: Semaphore,
    /// Rung when a call has reason to doubt that the server is still there.
    pub(crate) doubt: Notify,
}

impl Server {
    pub(crate) fn new(config: ServerConfig, now: Timestamp) -> Result<Self, BuildError> {
        let headers = match &config.transport {
            Transport::Http { headers, .. } => http::headers(&config.name, headers)?,
            Transport::Stdio { .. } => HashMap::new(),
        };
        let state = State {
            phase: Phase::Starting,
            since: now,
            tools: Arc::default(),
            last_error: None,
            link: None,
            generation: 0,
        };
        Ok(Self {
            name: config.name.as_str().into(),
            headers,
            state: watch::Sender::new(Arc::new(state)),
            calls: Semaphore::new(config.max_concurrent_calls.max(1)),
            doubt: Notify::new(),
            config,
        })
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    pub(crate) fn status(&self) -> ServerStatus {
        let state = self.state();
        ServerStatus {
            name: self.name.clone(),
            transport: self.config.transport.name(),
            required: self.config.required,
            phase: state.phase,
            since: state.since,
            tools: state.tools.iter().map(|offer| offer.name.clone()).collect(),
            last_error: state.last_error.clone(),
        }
    }

    /// Whether a tool of this name may be used at all.
    pub(crate) fn allows(&self, tool: &str) -> bool {
        self.config.allowed_tools.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == tool))
    }

    /// No call of it is running.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.available_permits() >= self.config.max_concurrent_calls.max(1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn offer(name: &str) -> Offer {
        let schema = RawValue::from_string(r#"{"type":"object"}"#.into()).expect("JSON");
        Offer { name: name.into(), description: None, schema: schema.into() }
    }

    pub(crate) fn server(name: &str, tools: Vec<Offer>, phase: Phase) -> Arc<Server> {
        let config = ServerConfig {
            name: name.into(),
            required: false,
            allowed_tools: None,
            tool_timeout: None,
            max_concurrent_calls: 1,
            transport: Transport::Http { url: "http://127.0.0.1:1/mcp".into(), headers: vec![] },
        };
        let server = Server::new(config, Timestamp::default()).expect("a server");
        server.state.send_modify(|state| {
            *state = Arc::new(State { phase, tools: tools.into(), ..State::clone(state) });
        });
        Arc::new(server)
    }
}

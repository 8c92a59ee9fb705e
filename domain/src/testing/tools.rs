//! [`ScriptedTools`]: tools that behave as a test wants them to, and remember how they were called.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use serde_json::{Value, value::RawValue};

use crate::{
    agent::window::cut,
    message::ToolOutcome,
    ports::{
        Clock,
        tools::{AbsentServer, Tool, ToolCatalogue, ToolPort},
    },
    time::Moment,
};

/// What a tool does when it is called.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// It answers this.
    Answers(String),
    /// It answers with its argument `text`.
    Echoes,
    /// It fails with these words.
    Fails(String),
    /// It answers this after that time.
    Slowly(Duration, String),
    /// It never answers.
    Hangs,
    /// It answers once the gate is open.
    Gated(Gate),
}

/// A gate that opens when enough have come: it shows who runs beside whom. Cloning gives the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Mutex<Passing>>);

#[derive(Debug)]
struct Passing {
    missing: usize,
    needed: usize,
    opened: usize,
    waiting: Vec<Waker>,
}

impl Gate {
    /// A gate that lets `needed` through together, again and again.
    pub fn of(needed: usize) -> Self {
        Self(Arc::new(Mutex::new(Passing { missing: needed, needed, opened: 0, waiting: vec![] })))
    }

    fn lock(&self) -> MutexGuard<'_, Passing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the others.
    pub async fn pass(&self) {
        let (mine, woken) = {
            let mut gate = self.lock();
            let mine = gate.opened;
            gate.missing = gate.missing.saturating_sub(1);
            let mut woken = Vec::new();
            if gate.missing == 0 {
                gate.missing = gate.needed;
                gate.opened += 1;
                woken = std::mem::take(&mut gate.waiting);
            }
            (mine, woken)
        };
        woken.into_iter().for_each(Waker::wake);
        poll_fn(|cx| {
            let mut gate = self.lock();
            if gate.opened > mine {
                return Poll::Ready(());
            }
            gate.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// What [`ScriptedTools`] lets through of a result, in bytes.
pub const RESULT_MAX: usize = 64 * 1024;

/// Tools of a test. Cloning gives the same tools.
#[derive(Clone)]
pub struct ScriptedTools {
    state: Arc<Mutex<Workshop>>,
    clock: Arc<dyn Clock>,
}

struct Workshop {
    catalogue: Arc<ToolCatalogue>,
    behaviours: HashMap<(Arc<str>, Arc<str>), Behaviour>,
    calls: Vec<String>,
    cancelled: usize,
    starting: Option<Moment>,
}

impl ScriptedTools {
    /// These tools: server, name, behaviour. The model knows them as `server_name`.
    pub fn new<'a>(clock: Arc<dyn Clock>, tools: impl IntoIterator<Item = (&'a str, &'a str, Behaviour)>) -> Self {
        let mut behaviours = HashMap::new();
        let mut offered = Vec::new();
        for (server, name, behaviour) in tools {
            let tool = tool(server, name);
            behaviours.insert((tool.server.clone(), tool.name.clone()), behaviour);
            offered.push(tool);
        }
        let catalogue = Arc::new(ToolCatalogue::new(offered, vec![]));
        let workshop = Workshop { catalogue, behaviours, calls: vec![], cancelled: 0, starting: None };
        Self { state: Arc::new(Mutex::new(workshop)), clock }
    }

    /// From now on these servers are missing.
    pub fn set_absent(&self, absent: Vec<AbsentServer>) {
        let mut state = self.lock();
        state.catalogue = Arc::new(ToolCatalogue::new(state.catalogue.tools().to_vec(), absent));
    }

    /// From now on a turn waits for servers that start, until this moment.
    pub fn set_starting(&self, until: Moment) {
        self.lock().starting = Some(until);
    }

    /// All calls that were begun: `server.tool(arguments)`.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// How many calls were dropped before their end.
    pub fn cancelled(&self) -> usize {
        self.lock().cancelled
    }

    fn lock(&self) -> MutexGuard<'_, Workshop> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn perform(&self, behaviour: Option<Behaviour>, arguments: &RawValue) -> ToolOutcome {
        match behaviour {
            None => ToolOutcome::error("There is no such tool."),
            Some(Behaviour::Answers(text)) => ToolOutcome::ok(text),
            Some(Behaviour::Echoes) => {
                let arguments: Value = serde_json::from_str(arguments.get()).unwrap_or_default();
                ToolOutcome::ok(arguments["text"].as_str().unwrap_or_default())
            }
            Some(Behaviour::Fails(text)) => ToolOutcome::error(text),
            Some(Behaviour::Slowly(time, text)) => {
                self.clock.sleep_until(self.clock.moment().plus(time)).await;
                ToolOutcome::ok(text)
            }
            Some(Behaviour::Hangs) => std::future::pending().await,
            Some(Behaviour::Gated(gate)) => {
                gate.pass().await;
                ToolOutcome::ok("passed")
            }
        }
    }
}

/// A tool without a description whose arguments may be any object.
pub fn tool(server: &str, name: &str) -> Tool {
    Tool {
        function: format!("{server}_{name}").into(),
        server: server.into(),
        name: name.into(),
        description: None,
        schema: RawValue::from_string(r#"{"type":"object"}"#.to_owned()).expect("JSON").into(),
    }
}

/// A call: counted as cancelled when dropped before its end.
struct Call<'a> {
    tools: &'a ScriptedTools,
    ended: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.tools.lock().cancelled += usize::from(!self.ended);
    }
}

#[async_trait]
impl ToolPort for ScriptedTools {
    fn catalogue(&self) -> Arc<ToolCatalogue> {
        self.lock().catalogue.clone()
    }

    async fn started(&self, deadline: Moment) {
        let starting = self.lock().starting;
        if let Some(until) = starting {
            self.clock.sleep_until(until.min(deadline)).await;
        }
    }

    async fn call(&self, _id: &str, tool: &Tool, arguments: &RawValue, deadline: Moment) -> ToolOutcome {
        let behaviour = {
            let mut state = self.lock();
            state.calls.push(format!("{}.{}({})", tool.server, tool.name, arguments.get()));
            state.behaviours.get(&(tool.server.clone(), tool.name.clone())).cloned()
        };
        let mut call = Call { tools: self, ended: false };
        let performed = Box::pin(self.perform(behaviour, arguments));
        let outcome = match select(performed, self.clock.sleep_until(deadline)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => ToolOutcome::error("The tool did not answer in time."),
        };
        call.ended = true;
        match cut(&outcome.content, RESULT_MAX) {
            Some(short) => ToolOutcome { content: short.into(), ..outcome },
            None => outcome,
        }
    }
}

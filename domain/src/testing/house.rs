//! [`House`]: the whole service over fakes, for the domain's own tests.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;

use super::{
    Behaviour, InlineTasks, MemoryHistory, MemorySessions, MemorySpool, RecordingObserver, Reply, ScriptedLlm,
    ScriptedTools, SeqIds, paused::PausedClock, samples::limit,
};
use crate::{
    agent::{
        AgentPolicy,
        events::{TurnEvent, TurnEvents},
        window::PastRounds,
    },
    archive::Archive,
    chat::{ChatPolicy, ChatService, NewSession, PostMessage, TurnOutcome, error::ChatError},
    message::Role,
    options::CompletionOptions,
    ports::{Clock, Ports, llm::Delivery, sessions::SessionStore},
    session::{Caller, MemoryLimits, SessionId},
};

pub(crate) const ANYBODY: Caller = Caller::Client(None);

/// What a house is built of; everything has a default.
pub(crate) struct Plan {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) llm: ScriptedLlm,
    pub(crate) tools: ScriptedTools,
    pub(crate) sessions: MemorySessions,
    /// What the service sees instead of the sessions themselves.
    pub(crate) store: Option<Arc<dyn SessionStore>>,
    pub(crate) archived: bool,
    pub(crate) spool_room: usize,
    pub(crate) policy: ChatPolicy,
}

/// The service, and all it stands on.
pub(crate) struct House {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) llm: ScriptedLlm,
    pub(crate) tools: ScriptedTools,
    pub(crate) sessions: MemorySessions,
    pub(crate) history: MemoryHistory,
    pub(crate) spool: MemorySpool,
    pub(crate) tasks: InlineTasks,
    pub(crate) observer: RecordingObserver,
    pub(crate) archive: Archive,
    pub(crate) service: Arc<ChatService>,
    pub(crate) ports: Ports,
}

impl Plan {
    /// A house whose model gives these answers.
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::new());
        Self::by(clock.clone(), ScriptedLlm::new(clock, replies))
    }

    /// A house by this clock, with this model.
    pub(crate) fn by(clock: Arc<dyn Clock>, llm: ScriptedLlm) -> Self {
        Self {
            llm,
            tools: ScriptedTools::new(clock.clone(), []),
            sessions: MemorySessions::new(clock.clone()),
            store: None,
            archived: true,
            spool_room: 1000,
            policy: ChatPolicy {
                memory: MemoryLimits { default: limit(10), max: limit(50) },
                system_prompt: None,
                instruction: None,
                turn_timeout: Duration::from_secs(300),
                agent: AgentPolicy { max_steps: 10, past_rounds: PastRounds::Replay },
            },
            clock,
        }
    }

    /// With these tools: server, name, behaviour.
    pub(crate) fn with_tools<'a>(mut self, tools: impl IntoIterator<Item = (&'a str, &'a str, Behaviour)>) -> Self {
        self.tools = ScriptedTools::new(self.clock.clone(), tools);
        self
    }

    /// With another policy.
    pub(crate) fn with_policy(mut self, change: impl FnOnce(&mut ChatPolicy)) -> Self {
        change(&mut self.policy);
        self
    }

    pub(crate) fn build(self) -> House {
        let history = MemoryHistory::new(self.clock.clone());
        let spool = MemorySpool::new(self.spool_room);
        let (tasks, observer) = (InlineTasks::default(), RecordingObserver::default());
        let archive = if self.archived {
            let (history, spool) = (Arc::new(history.clone()), Arc::new(spool.clone()));
            Archive::new(history, spool, self.clock.clone(), Arc::new(tasks.clone()), Arc::new(observer.clone()))
        } else {
            Archive::disabled()
        };
        let ports = Ports {
            sessions: self.store.unwrap_or_else(|| Arc::new(self.sessions.clone())),
            llm: Arc::new(self.llm.clone()),
            tools: Arc::new(self.tools.clone()),
            clock: self.clock.clone(),
            ids: Arc::new(SeqIds::default()),
            tasks: Arc::new(tasks.clone()),
            observer: Arc::new(observer.clone()),
        };
        let service = Arc::new(ChatService::new(ports.clone(), archive.clone(), self.policy));
        House {
            clock: self.clock,
            llm: self.llm,
            tools: self.tools,
            sessions: self.sessions,
            history,
            spool,
            tasks,
            observer,
            archive,
            service,
            ports,
        }
    }
}

/// A user's message, to be answered whole.
pub(crate) fn post(content: &str) -> PostMessage {
    PostMessage {
        content: content.into(),
        role: Role::User,
        memory_limit: None,
        options: Arc::new(CompletionOptions::default()),
        delivery: Delivery::Whole,
    }
}

/// The same, answered as it comes.
pub(crate) fn streamed(content: &str) -> PostMessage {
    PostMessage { delivery: Delivery::Streamed, ..post(content) }
}

/// A user's message that forces a tool.
pub(crate) fn forcing(content: &str, tool: &str) -> PostMessage {
    let options = CompletionOptions { tool_name: Some(tool.into()), ..CompletionOptions::default() };
    PostMessage { options: Arc::new(options), ..post(content) }
}

/// An event in a line that can be compared.
pub(crate) fn line(event: &TurnEvent) -> String {
    match event {
        TurnEvent::Started { .. } => "started".into(),
        TurnEvent::Delta(text) => format!("delta {text}"),
        TurnEvent::ToolStarted { call, server, tool } => {
            format!("tool {} {server}.{tool}({})", call.id, call.arguments)
        }
        TurnEvent::ToolFinished { call_id, server, tool, is_error, .. } => {
            format!("{} {call_id} {server}.{tool}", if *is_error { "failed" } else { "finished" })
        }
        TurnEvent::Completed(outcome) => format!("completed {}", outcome.message.content),
        TurnEvent::Failed(error) => format!("failed {error}"),
    }
}

/// All events of a turn, a line each.
pub(crate) async fn lines(events: TurnEvents) -> Vec<String> {
    events.map(|event| line(&event)).collect().await
}

/// The end of a turn.
pub(crate) async fn outcome(events: TurnEvents) -> Result<TurnOutcome, ChatError> {
    match events.collect::<Vec<_>>().await.pop() {
        Some(TurnEvent::Completed(outcome)) => Ok(*outcome),
        Some(TurnEvent::Failed(error)) => Err(error),
        other => panic!("a turn ended with {other:?}"),
    }
}

impl House {
    /// A session of nobody in particular.
    pub(crate) async fn session(&self) -> SessionId {
        self.service.create(NewSession::default(), &ANYBODY).await.expect("a session").id
    }

    /// Posts a message and waits for the end of its turn.
    pub(crate) async fn send(&self, id: SessionId, post: PostMessage) -> Result<TurnOutcome, ChatError> {
        outcome(self.service.send(id, &ANYBODY, post).await?).await
    }

    /// Posts a message that must be answered; gives the answer.
    pub(crate) async fn say(&self, id: SessionId, content: &str) -> String {
        self.send(id, post(content)).await.expect("an answer").message.content.to_string()
    }

    /// What the session remembers.
    pub(crate) fn memory(&self, id: SessionId) -> Vec<String> {
        self.sessions.memory(id).expect("the session is there")
    }

    /// That memory and archive hold this and nothing else.
    pub(crate) fn holds(&self, id: SessionId, expected: &[&str]) {
        assert_eq!(self.memory(id), expected, "in memory");
        assert_eq!(self.history.contents(id).unwrap_or_default(), expected, "in the archive");
    }

    /// What the model was shown in its `call`th call, a line each.
    pub(crate) fn shown(&self, call: usize) -> Vec<String> {
        self.llm.asked()[call].shown.clone()
    }
}

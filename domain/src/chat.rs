//! The service: sessions are opened, read, deleted and spoken in.

pub mod error;
mod to_the_end;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_util::future::BoxFuture;

use self::{error::ChatError, to_the_end::ToTheEnd};
use crate::{
    agent::{
        AgentPolicy, Answer, Brief, Turn,
        driver::drive,
        events::{Emitter, TurnEvent, TurnEvents},
        window::Window,
    },
    archive::Archive,
    json::Text,
    message::{Extra, Message, Role, Usage},
    options::CompletionOptions,
    ports::{
        Ports,
        llm::{Delivery, LlmStatus},
        sessions::{Deletion, Opened, Place, Snapshot, TurnTicket},
        tools::{ForceError, ToolCatalogue},
    },
    session::{Caller, MemoryLimit, MemoryLimits, Metadata, Session, SessionId},
    time::Moment,
};

/// What the operator decided about sessions and turns.
#[derive(Debug, Clone)]
pub struct ChatPolicy {
    /// How much is remembered.
    pub memory: MemoryLimits,
    /// What new sessions are given as their system prompt.
    pub system_prompt: Option<Arc<str>>,
    /// What is sent instead of any session's prompt.
    pub instruction: Option<Arc<str>>,
    /// From a message's arrival to its answer, waiting included.
    pub turn_timeout: Duration,
    /// How far the agent may go.
    pub agent: AgentPolicy,
}

/// A session as a client asks for one.
#[derive(Debug, Default)]
pub struct NewSession {
    /// How much it is to remember.
    pub memory_limit: Option<MemoryLimit>,
    /// The client's own notes.
    pub metadata: Metadata,
}

/// A message as a client posts one.
#[derive(Debug)]
pub struct PostMessage {
    /// What is said; not empty.
    pub content: Text,
    /// Who says it: [`Role::User`] or [`Role::Assistant`].
    pub role: Role,
    /// How much this turn sees and leaves behind; none: as much as the session's.
    pub memory_limit: Option<MemoryLimit>,
    /// What the client asks of the model.
    pub options: Arc<CompletionOptions>,
    /// How the answer is wanted.
    pub delivery: Delivery,
}

/// What a turn gave.
#[derive(Debug)]
pub struct TurnOutcome {
    /// Its session.
    pub session: SessionId,
    /// The answer.
    pub message: Arc<Message>,
    /// What its LLM calls used together, if any told.
    pub usage: Option<Usage>,
    /// The memory after the turn, oldest first.
    pub history: Vec<Arc<Message>>,
}

/// The chat service. It owns no state: that is the stores'.
pub struct ChatService {
    ports: Ports,
    archive: Archive,
    policy: ChatPolicy,
}

impl ChatService {
    /// The service over these ports.
    pub fn new(ports: Ports, archive: Archive, policy: ChatPolicy) -> Self {
        Self { ports, archive, policy }
    }

    /// Makes a session.
    ///
    /// # Errors
    /// When it asks for too much memory, or cannot be kept.
    pub async fn create(&self, new: NewSession, caller: &Caller) -> Result<Arc<Session>, ChatError> {
        let memory_limit = self.policy.memory.resolve(new.memory_limit, self.policy.memory.default)?;
        self.archive.admit(None).await?;
        let created_at = self.ports.clock.now();
        let owner = match caller {
            Caller::Client(key) => key.map(Box::new),
            Caller::Operator => None,
        };
        let session = Arc::new(Session {
            id: self.ports.ids.session(),
            owner,
            memory_limit,
            created_at,
            metadata: new.metadata,
            system_prompt: self.policy.system_prompt.clone(),
        });
        let prompt = session
            .system_prompt
            .as_deref()
            .map(|text| Arc::new(Message::said(self.ports.ids.message(created_at), created_at, Role::System, text)));
        let (sessions, archive) = (self.ports.sessions.clone(), self.archive.clone());
        let create = async move {
            sessions.create(session.clone()).await?;
            if let Err(error) = archive.open(&session, prompt).await {
                // Nobody will ever know its id: it would only take up room.
                let _ = sessions.delete(session.id, &Caller::Operator).await;
                sessions.finish_deletion(session.id).await;
                return Err(error.into());
            }
            Ok(session)
        };
        ToTheEnd::new(&self.ports.tasks, create).await
    }

    /// A session and its memory.
    ///
    /// # Errors
    /// When there is none that the caller may know of.
    pub async fn read(&self, id: SessionId, caller: &Caller) -> Result<Snapshot, ChatError> {
        self.ports.sessions.read(id, caller).await?.ok_or(ChatError::SessionNotFound)
    }

    /// Deletes a session with its memory and its history. The session's turns end. A caller who had no answer, or an error,
    /// asks again, and what is left goes then. The archive knows no owners: what has expired and only it still has is the
    /// operator's to delete, or anybody's where clients are not told apart.
    ///
    /// # Errors
    /// When there is nothing to delete that the caller may know of, or its history could not be deleted.
    pub async fn delete(&self, id: SessionId, caller: &Caller) -> Result<(), ChatError> {
        // Before anything is gone: a client could not ask again for the history alone.
        self.archive.admit(Some(id)).await?;
        let (sessions, archive, caller) = (self.ports.sessions.clone(), self.archive.clone(), *caller);
        let delete = async move {
            let deletion = sessions.delete(id, &caller).await?;
            let is_told_apart = matches!(caller, Caller::Client(Some(_)));
            if deletion == Deletion::Foreign || deletion == Deletion::Missing && is_told_apart {
                return Err(ChatError::SessionNotFound);
            }
            let was_archived = archive.forget(id, deletion == Deletion::Deleted).await?;
            match deletion {
                Deletion::Deleted => sessions.finish_deletion(id).await,
                _ if was_archived => {}
                _ => return Err(ChatError::SessionNotFound),
            }
            Ok(())
        };
        // A client that hangs up after the session is gone must not leave its history behind.
        ToTheEnd::new(&self.ports.tasks, delete).await
    }

    /// Says something in a session: the answer is the last of the events. Resolves when the turn has its place in the
    /// session's order; dropping the future or the stream ends the turn, unless its answer is complete.
    ///
    /// # Errors
    /// What is decided before the turn has its place. Later failures are the stream's [`TurnEvent::Failed`].
    pub async fn send(
        self: &Arc<Self>,
        id: SessionId,
        caller: &Caller,
        post: PostMessage,
    ) -> Result<TurnEvents, ChatError> {
        let deadline = self.ports.clock.moment().plus(self.policy.turn_timeout);
        if let LlmStatus::Unconfigured { remedy } = self.ports.llm.status() {
            return Err(ChatError::Unconfigured { remedy });
        }
        self.policy.memory.resolve(post.memory_limit, self.policy.memory.default)?;
        self.archive.admit(Some(id)).await?;
        self.ports.tools.started(deadline).await;
        let tools = self.ports.tools.catalogue();
        if let Some(server) = tools.absent().iter().find(|server| server.required) {
            return Err(ChatError::ToolsUnavailable { server: server.name.clone() });
        }
        let forced = post.options.tool_name.as_deref().map(|wanted| force(&tools, wanted)).transpose()?;
        let place = self.ports.sessions.open_turn(id, caller, deadline).await?;
        let service = self.clone();
        Ok(TurnEvents::of(move |emitter| async move {
            match service.run(place, post, tools, forced, deadline, &emitter).await {
                Ok(outcome) => TurnEvent::Completed(Box::new(outcome)),
                Err(error) => TurnEvent::Failed(error),
            }
        }))
    }

    async fn run(
        &self,
        place: Place,
        post: PostMessage,
        tools: Arc<ToolCatalogue>,
        forced: Option<Arc<str>>,
        deadline: Moment,
        emitter: &Emitter,
    ) -> Result<TurnOutcome, ChatError> {
        let Opened { session, mut memory, mut ticket } = match place {
            Place::Open(opened) => opened,
            Place::Waiting(waiting) => waiting.await?,
        };
        emitter.emit(TurnEvent::Started { session: session.id }).await;

        let keep = self.policy.memory.resolve(post.memory_limit, session.memory_limit)?;
        let last_at = memory.last().map_or(session.created_at, |message| message.at);
        let posted_at = self.ports.clock.now().after(last_at);
        let posted = Arc::new(Message::said(self.ports.ids.message(posted_at), posted_at, post.role, post.content));
        let system = self.policy.instruction.clone().or_else(|| session.system_prompt.clone());
        let window = Window::new(system, &memory, keep.as_usize(), posted.clone(), self.policy.agent.past_rounds);
        let unavailable_servers: Vec<Arc<str>> = tools.absent().iter().map(|server| server.name.clone()).collect();
        let brief = Brief { window, tools, forced, options: post.options, delivery: post.delivery, deadline };

        let Answer { text, finish, usage, rounds } = {
            let turn = pin!(drive(Turn::new(brief, self.policy.agent), &self.ports, emitter));
            let deadline = self.ports.clock.sleep_until(deadline);
            race(turn, &mut *ticket, deadline, self.policy.turn_timeout).await?
        };

        let answered_at = self.ports.clock.now().after(posted_at);
        let has_extra = !rounds.is_empty() || !unavailable_servers.is_empty();
        let message = Arc::new(Message {
            id: self.ports.ids.message(answered_at),
            at: answered_at,
            role: Role::Assistant,
            content: text.into(),
            finish,
            extra: has_extra.then(|| Box::new(Extra { rounds, unavailable_servers })),
        });
        let new: Arc<[Arc<Message>]> = Arc::from([posted, message.clone()]);
        memory.extend_from_slice(&new);
        memory.drain(..memory.len().saturating_sub(keep.as_usize()));

        // The point of no return: the answer is complete, and is stored and archived whether anybody waits for it or not.
        let (archive, id) = (self.archive.clone(), session.id);
        let store = async move {
            // It may have turned out since the turn began that nothing can be archived: then nothing is remembered either.
            archive.admit(Some(id)).await?;
            ticket.commit(new.clone(), keep).await?;
            archive.record(&session, &new).await?;
            Ok::<(), ChatError>(())
        };
        ToTheEnd::new(&self.ports.tasks, store).await?;
        Ok(TurnOutcome { session: id, message, usage, history: memory })
    }
}

fn force(tools: &ToolCatalogue, wanted: &str) -> Result<Arc<str>, ChatError> {
    match tools.force(wanted) {
        Ok(tool) => Ok(tool.function.clone()),
        Err(ForceError::ServerDown { server }) => Err(ChatError::ToolDown { tool: wanted.into(), server }),
        Err(error) => Err(ChatError::UnknownTool(error)),
    }
}

/// The one race of a turn: all that can be cancelled, against all that cancels it. (The client that goes away cancels by
/// dropping the whole.) What cancels is looked at first: a model that gives up at the deadline, too, must not make it a
/// matter of chance what the client is told.
async fn race<T, E: Into<ChatError>>(
    mut turn: Pin<&mut impl Future<Output = Result<T, E>>>,
    ticket: &mut dyn TurnTicket,
    mut deadline: BoxFuture<'static, ()>,
    limit: Duration,
) -> Result<T, ChatError> {
    poll_fn(|cx| {
        if let Poll::Ready(lost) = ticket.poll_lost(cx) {
            return Poll::Ready(Err(lost.into()));
        }
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(ChatError::TurnTimeout { limit }));
        }
        turn.as_mut().poll(cx).map_err(Into::into)
    })
    .await
}

#[cfg(test)]
mod tests;

//! [`MemorySessions`]: the plainest [`SessionStore`] that keeps all of its promises.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    message::Message,
    ports::{
        Clock,
        sessions::{
            CommitError, CreateError, Deletion, Lost, MAX_WAITING, OpenError, Opened, Place, SessionStore, Snapshot,
            TurnTicket, Unavailable,
        },
    },
    session::{Caller, KeyHash, MemoryLimit, Session, SessionId},
    time::Moment,
};

/// Sessions under one lock. Cloning gives the same store.
#[derive(Clone)]
pub struct MemorySessions {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    capacity: usize,
    idle: Option<Duration>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Entry>,
    /// The owners of those whose deletion is not finished.
    unfinished: HashMap<SessionId, Option<Box<KeyHash>>>,
    last_ticket: u64,
    /// The store is said not to answer.
    away: bool,
}

struct Entry {
    session: Arc<Session>,
    memory: Vec<Arc<Message>>,
    /// The running turn and, behind it, the waiting ones, each with whom to wake when its place changes.
    line: VecDeque<(u64, Option<Waker>)>,
    used: Moment,
}

impl Entry {
    fn place(&mut self, ticket: u64) -> Option<(usize, &mut Option<Waker>)> {
        let place = self.line.iter().position(|(other, _)| *other == ticket)?;
        Some((place, &mut self.line[place].1))
    }
}

impl MemorySessions {
    /// An empty store that tells deadlines by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::default(), clock, capacity: usize::MAX, idle: None }
    }

    /// The same, for at most so many sessions.
    #[must_use]
    pub fn with_capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// The same, letting sessions go that were idle for so long.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// From now on nothing is answered, or it is again.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// The contents a session remembers, whoever's it is.
    pub fn memory(&self, id: SessionId) -> Option<Vec<String>> {
        let state = self.lock();
        let entry = state.sessions.get(&id)?;
        Some(entry.memory.iter().map(|message| message.content.to_string()).collect())
    }

    /// How many turns of a session run or wait.
    pub fn turns(&self, id: SessionId) -> usize {
        self.lock().sessions.get(&id).map_or(0, |entry| entry.line.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, without the sessions whose time has come; an error while the store is away.
    fn live(&self) -> Result<MutexGuard<'_, State>, Unavailable> {
        let mut state = self.lock();
        if state.away {
            return Err(Unavailable("the store is away".into()));
        }
        if let Some(idle) = self.idle {
            let now = self.clock.moment();
            state.sessions.retain(|_, entry| !entry.line.is_empty() || now.since(entry.used) < idle);
        }
        Ok(state)
    }

    fn leave(&self, id: SessionId, ticket: u64) {
        let next = {
            let mut state = self.lock();
            let Some(entry) = state.sessions.get_mut(&id) else { return };
            let Some((place, _)) = entry.place(ticket) else { return };
            entry.line.remove(place);
            entry.used = self.clock.moment();
            entry.line.front_mut().and_then(|(_, waker)| waker.take())
        };
        next.into_iter().for_each(Waker::wake);
    }
}

#[async_trait]
impl SessionStore for MemorySessions {
    async fn create(&self, session: Arc<Session>) -> Result<(), CreateError> {
        let used = self.clock.moment();
        let mut state = self.live()?;
        if state.sessions.len() >= self.capacity {
            return Err(CreateError::Capacity);
        }
        let entry = Entry { session: session.clone(), memory: vec![], line: VecDeque::new(), used };
        state.sessions.insert(session.id, entry);
        Ok(())
    }

    async fn read(&self, id: SessionId, caller: &Caller) -> Result<Option<Snapshot>, Unavailable> {
        let now = self.clock.moment();
        let mut state = self.live()?;
        let entry = state.sessions.get_mut(&id).filter(|entry| caller.may_use(&entry.session));
        Ok(entry.map(|entry| {
            entry.used = now;
            Snapshot { session: entry.session.clone(), memory: entry.memory.clone() }
        }))
    }

    async fn delete(&self, id: SessionId, caller: &Caller) -> Result<Deletion, Unavailable> {
        let removed = {
            let mut state = self.live()?;
            let owner = state.sessions.get(&id).map(|entry| entry.session.owner.clone());
            let Some(owner) = owner.or_else(|| state.unfinished.get(&id).cloned()) else {
                return Ok(Deletion::Missing);
            };
            if !caller.may_act_for(owner.as_deref()) {
                return Ok(Deletion::Foreign);
            }
            state.unfinished.insert(id, owner);
            state.sessions.remove(&id)
        };
        let line = removed.into_iter().flat_map(|entry| entry.line);
        line.filter_map(|(_, waker)| waker).for_each(Waker::wake);
        Ok(Deletion::Deleted)
    }

    async fn finish_deletion(&self, id: SessionId) {
        self.lock().unfinished.remove(&id);
    }

    async fn list(&self, offset: usize, limit: usize) -> Result<(Vec<Arc<Session>>, usize), Unavailable> {
        let state = self.live()?;
        let mut all: Vec<_> = state.sessions.values().map(|entry| entry.session.clone()).collect();
        all.sort_by_key(|session| (Reverse(session.created_at), session.id));
        let count = all.len();
        Ok((all.into_iter().skip(offset).take(limit).collect(), count))
    }

    async fn count(&self) -> Result<usize, Unavailable> {
        Ok(self.live()?.sessions.len())
    }

    async fn open_turn(&self, id: SessionId, caller: &Caller, deadline: Moment) -> Result<Place, OpenError> {
        let mut state = self.live()?;
        let state = &mut *state;
        let entry = state.sessions.get_mut(&id).filter(|entry| caller.may_use(&entry.session));
        let entry = entry.ok_or(OpenError::NotFound)?;
        if entry.line.len() > MAX_WAITING {
            return Err(OpenError::QueueFull);
        }
        state.last_ticket += 1;
        entry.line.push_back((state.last_ticket, None));
        let ticket = Ticket { store: self.clone(), id, ticket: state.last_ticket };
        if entry.line.len() == 1 {
            return Ok(Place::Open(opened(entry, ticket)));
        }
        let deadline = self.clock.sleep_until(deadline);
        Ok(Place::Waiting(Box::pin(Waiting { ticket: Some(ticket), deadline })))
    }
}

fn opened(entry: &Entry, ticket: Ticket) -> Opened {
    Opened { session: entry.session.clone(), memory: entry.memory.clone(), ticket: Box::new(ticket) }
}

/// A place in the line, given up when dropped.
struct Ticket {
    store: MemorySessions,
    id: SessionId,
    ticket: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.store.leave(self.id, self.ticket);
    }
}

struct Waiting {
    ticket: Option<Ticket>,
    deadline: BoxFuture<'static, ()>,
}

impl Future for Waiting {
    type Output = Result<Opened, OpenError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = self.ticket.take() else { return Poll::Pending };
        let store = ticket.store.clone();
        let mut state = store.lock();
        let Some(entry) = state.sessions.get_mut(&ticket.id) else { return Poll::Ready(Err(OpenError::NotFound)) };
        match entry.place(ticket.ticket) {
            None => return Poll::Ready(Err(OpenError::NotFound)),
            Some((0, _)) => return Poll::Ready(Ok(opened(entry, ticket))),
            Some((_, waker)) => *waker = Some(cx.waker().clone()),
        }
        drop(state);
        if self.deadline.poll_unpin(cx).is_ready() {
            return Poll::Ready(Err(OpenError::Busy));
        }
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

#[async_trait]
impl TurnTicket for Ticket {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        let mut state = self.store.lock();
        match state.sessions.get_mut(&self.id).and_then(|entry| entry.place(self.ticket)) {
            Some((_, waker)) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(Lost::Deleted),
        }
    }

    async fn commit(self: Box<Self>, new: Arc<[Arc<Message>]>, keep: MemoryLimit) -> Result<(), CommitError> {
        let mut state = self.store.live()?;
        let entry = state.sessions.get_mut(&self.id);
        let entry = entry.filter(|entry| entry.line.front().is_some_and(|(ticket, _)| *ticket == self.ticket));
        let entry = entry.ok_or(Lost::Deleted)?;
        entry.memory.extend_from_slice(&new);
        entry.memory.drain(..entry.memory.len().saturating_sub(keep.as_usize()));
        // Dropping the ticket, after the lock, lets the next one go.
        Ok(())
    }
}

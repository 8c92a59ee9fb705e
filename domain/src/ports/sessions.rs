//! Sessions, their memory and the order of their turns: [`SessionStore`]. One port, because they change together.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use thiserror::Error;

use super::BoxError;
use crate::{
    message::Message,
    session::{Caller, MemoryLimit, Session, SessionId},
    time::Moment,
};

/// How many turns of one session may wait behind the running one: enough for an impatient user, too few for a queue
/// that nobody will live to see the end of.
pub const MAX_WAITING: usize = 32;

/// How long a store remembers a deletion that was not finished: longer than anybody tries again.
pub const UNFINISHED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps sessions with their memory, and lets the turns of a session run one at a time.
///
/// # Promises
/// - A session that was created is found until it is deleted, or has been idle for the configured time. Reading it,
///   creating it and every turn end its idleness.
/// - Turns of one session run one at a time, in the order in which [`SessionStore::open_turn`] was called. Different
///   sessions never wait for each other.
/// - [`TurnTicket::commit`] appends, trims and lets the next turn go in one step: whoever opens the next turn, or reads,
///   sees all of it or nothing.
/// - A ticket, a [`Place::Waiting`] or the future of `open_turn` that is dropped leaves no trace, and the next one goes on.
/// - Deleting a session ends its running turn and its waiting ones: [`TurnTicket::poll_lost`] resolves, the waiting get
///   [`OpenError::NotFound`], and a commit that comes later is [`CommitError::Lost`] and stores nothing.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Keeps a new session.
    async fn create(&self, session: Arc<Session>) -> Result<(), CreateError>;

    /// A session and its memory, oldest first; none if there is no such session or the caller may not know of it.
    async fn read(&self, id: SessionId, caller: &Caller) -> Result<Option<Snapshot>, Unavailable>;

    /// Deletes a session with its memory, if there is one and it is the caller's. To whoever may do so it was just there
    /// until [`SessionStore::finish_deletion`]: after an error, or an answer that was lost, asking again must lead to all
    /// the rest that goes with it.
    async fn delete(&self, id: SessionId, caller: &Caller) -> Result<Deletion, Unavailable>;

    /// Nothing is left that goes with a deleted session: from now on it is missing. Where this does not get through, it is
    /// so after [`UNFINISHED_FOR`], or with the end of a store that lives no longer.
    async fn finish_deletion(&self, id: SessionId);

    /// The sessions, newest first, and how many there are in all.
    async fn list(&self, offset: usize, limit: usize) -> Result<(Vec<Arc<Session>>, usize), Unavailable>;

    /// How many sessions there are, as last known: it is asked for every scrape of the metrics.
    async fn count(&self) -> Result<usize, Unavailable>;

    /// Takes a place in the session's order of turns: the turn itself if it is free, else a place to wait at.
    /// Resolves without waiting for other turns.
    async fn open_turn(&self, id: SessionId, caller: &Caller, deadline: Moment) -> Result<Place, OpenError>;
}

/// A session with its memory at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The session.
    pub session: Arc<Session>,
    /// Its memory, oldest first.
    pub memory: Vec<Arc<Message>>,
}

/// What came of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The session is gone, by this call or by one that was not finished.
    Deleted,
    /// There was none.
    Missing,
    /// It is another caller's, and still there.
    Foreign,
}

/// A place in the order of turns.
pub enum Place {
    /// It is this turn's turn.
    Open(Opened),
    /// Others come first. Resolves when it is this turn's turn, or at the deadline as [`OpenError::Busy`].
    Waiting(BoxFuture<'static, Result<Opened, OpenError>>),
}

/// A turn that may run.
pub struct Opened {
    /// The session.
    pub session: Arc<Session>,
    /// Its memory, oldest first.
    pub memory: Vec<Arc<Message>>,
    /// The right to change it.
    pub ticket: Box<dyn TurnTicket>,
}

/// The right to end a turn by storing its messages. Dropped, it stores nothing.
#[async_trait]
pub trait TurnTicket: Send {
    /// Resolves when the turn can no longer be committed.
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Lost>;

    /// Appends `new` to the memory and keeps the last `keep` messages of it, if the ticket still holds.
    async fn commit(self: Box<Self>, new: Arc<[Arc<Message>]>, keep: MemoryLimit) -> Result<(), CommitError>;
}

/// Why a turn cannot be committed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Lost {
    /// The session was deleted.
    #[error("the session was deleted")]
    Deleted,
    /// The turn was taken for dead and another one let in.
    #[error("the turn was taken for dead")]
    FencedOff,
}

/// The store does not answer.
#[derive(Debug, Error)]
#[error("session store unavailable")]
pub struct Unavailable(#[source] pub BoxError);

/// Why a session was not created.
#[derive(Debug, Error)]
pub enum CreateError {
    /// There are as many as there may be.
    #[error("as many sessions as may be")]
    Capacity,
    /// The store does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a turn was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no such session, or it is another caller's.
    #[error("no such session")]
    NotFound,
    /// The deadline came before the turn's turn.
    #[error("the session is busy")]
    Busy,
    /// More than [`MAX_WAITING`] turns are waiting.
    #[error("too many turns are waiting")]
    QueueFull,
    /// The store does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a turn was not committed.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The ticket no longer holds: nothing was stored.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The store does not answer: the turn may or may not have been stored.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

//! The archive's two sides: [`HistoryStore`], a database, and [`Spool`], what catches its writes while it is away.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::BoxError;
use crate::{
    message::Message,
    session::{Session, SessionId},
    time::Timestamp,
};

/// One change to the archive. Each carries all it needs, so that it can be applied by another process, later, twice.
///
/// As JSON it is an object of one member, named by what it does. (A tag beside the members would have serde buffer them,
/// and raw JSON, as messages hold it, does not survive that.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryOp {
    /// Archive a session, its system prompt as the first message.
    Open {
        /// The session.
        session: Arc<Session>,
        /// Its system prompt, if it has one.
        prompt: Option<Arc<Message>>,
    },
    /// Archive messages of a session, and the session if it is not yet there.
    Record {
        /// The session.
        session: Arc<Session>,
        /// The messages, oldest first.
        messages: Vec<Arc<Message>>,
    },
    /// Remove a session with its messages, for good.
    Forget {
        /// The session.
        session: SessionId,
        /// Whether it is known that there was such a session. Then it is remembered as forgotten also where nothing of it is
        /// archived, since what was said in it may still lie in another process's spool.
        #[serde(default = "known")]
        is_known: bool,
    },
}

/// Of what an earlier version left in the spool.
fn known() -> bool {
    true
}

impl HistoryOp {
    /// The session it changes.
    pub fn session(&self) -> SessionId {
        match self {
            HistoryOp::Open { session, .. } | HistoryOp::Record { session, .. } => session.id,
            HistoryOp::Forget { session, .. } => *session,
        }
    }

    /// The messages it archives, oldest first.
    pub fn messages(&self) -> &[Arc<Message>] {
        match self {
            HistoryOp::Open { prompt, .. } => prompt.as_slice(),
            HistoryOp::Record { messages, .. } => messages,
            HistoryOp::Forget { .. } => &[],
        }
    }
}

/// An archive of every message of every session.
///
/// # Promises
/// - [`HistoryStore::apply`] is idempotent: an operation applied again changes nothing. Messages are told apart by id.
/// - A `Record` of a session that was never opened archives the session too.
/// - A `Forget` is final: what is applied for that session afterwards changes nothing and succeeds. (For
///   [`FORGOTTEN_FOR`], that is.)
/// - A `Forget` of a session that is not known, and of which nothing is archived, changes nothing and leaves nothing: who
///   makes up ids fills no database.
/// - An operation is there whole once it was acknowledged; one that was not is completed by applying it again. One that was
///   given up (its future dropped) may still be applied, within the implementation's own bound.
/// - Messages of a session are read in the order of their times, then ids; sessions newest first, then by id.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// Applies one operation. For `Forget` the answer is whether there was anything to forget; else true.
    async fn apply(&self, op: &HistoryOp) -> Result<bool, HistoryError>;

    /// The archived sessions that match.
    async fn sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>, HistoryError>;

    /// A session's messages, those of role `system` left out; none if the session is not archived.
    async fn messages(
        &self,
        session: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>, HistoryError>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), HistoryError>;
}

/// Which archived sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// Created at this time or later.
    pub from: Option<Timestamp>,
    /// Created at this time or earlier.
    pub until: Option<Timestamp>,
    /// How many to leave out.
    pub offset: u64,
    /// How many to give at the most.
    pub limit: u32,
}

/// A part of a result, and the size of the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// This part.
    pub items: Vec<T>,
    /// How many match in all.
    pub total: u64,
}

impl<T> Page<T> {
    /// A page of what was found behind `offset`, `found` of them, also where some cannot be shown; the whole was counted
    /// afterwards. That may be less than what was seen, if something was deleted in between.
    pub fn counted_after(items: Vec<T>, found: usize, offset: u64, counted: u64) -> Self {
        let total = if found == 0 { counted } else { counted.max(offset + found as u64) };
        Self { items, total }
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0 }
    }
}

/// A session as the archive has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedSession {
    /// The session; its prompt and owner are not archived with it.
    pub session: Session,
    /// What answered it, as stored: the Python service wrote its provider's name.
    pub provider: Option<Box<str>>,
    /// What would have answered instead.
    pub fallback_provider: Option<Box<str>>,
}

/// A message as the archive has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedMessage {
    /// The message.
    pub message: Message,
    /// When it was archived.
    pub stored_at: Timestamp,
}

/// Why the archive did not take or give something.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// It does not answer, or not now: again.
    #[error("history storage unavailable")]
    Unavailable(#[source] BoxError),
    /// It will never take this.
    #[error("history storage refuses the record")]
    Permanent(#[source] BoxError),
}

impl HistoryError {
    /// What happened, in the adapter's words: fit for an operator, without contents, URLs and passwords.
    pub fn cause(&self) -> &BoxError {
        match self {
            HistoryError::Unavailable(cause) | HistoryError::Permanent(cause) => cause,
        }
    }
}

/// A spooled operation's identity. Larger is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(pub u64);

/// Keeps operations that the database could not take.
///
/// # Promises
/// - What [`Spool::append`] acknowledged is found by [`Spool::load`] until [`Spool::remove`] or [`Spool::bury`]; if
///   [`Spool::is_durable`], by the next process too, whatever happened to this one.
/// - Ids increase in the order of appending, also over what another process left.
/// - It is bounded: what it cannot take is an error, and what it has is not harmed by it.
#[async_trait]
pub trait Spool: Send + Sync {
    /// Keeps an operation.
    async fn append(&self, op: &HistoryOp) -> Result<SpoolId, SpoolError>;

    /// What it holds, oldest first, with the session each belongs to: at the start of the process, what earlier ones left.
    async fn pending(&self) -> Result<Vec<(SpoolId, SessionId)>, SpoolError>;

    /// One operation it holds.
    async fn load(&self, id: SpoolId) -> Result<HistoryOp, SpoolError>;

    /// Lets go of an operation that the database has taken. Of one it does not hold: nothing happens.
    async fn remove(&self, id: SpoolId) -> Result<(), SpoolError>;

    /// Lays an operation aside that no database will ever take, where an operator finds it.
    async fn bury(&self, id: SpoolId, reason: &str) -> Result<(), SpoolError>;

    /// Whether it can take another operation now, found out by trying.
    async fn probe(&self) -> Result<(), SpoolError>;

    /// Whether what it holds outlives the process.
    fn is_durable(&self) -> bool;
}

/// Why the spool did not take or give something.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// As much as it may hold.
    #[error("the history spool is full")]
    Full,
    /// What it holds under this id cannot be read.
    #[error("a spooled record cannot be read")]
    Corrupt(#[source] BoxError),
    /// The disk.
    #[error("the history spool failed")]
    Io(#[source] BoxError),
}

/// How long it is remembered that a session was forgotten. It has to be longer than anything of the session may lie in the
/// spool of another process before it is written, which is as long as a database may be away, or a replica's disk may be
/// in a drawer; what comes later than this archives the session anew. Longer than necessary costs some 100 bytes for each
/// deletion meanwhile.
pub const FORGOTTEN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a write to the database may keep a client waiting before it goes to the spool.
pub const WRITE_PATIENCE: Duration = Duration::from_millis(500);

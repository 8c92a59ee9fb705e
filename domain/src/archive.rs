//! History that never loses: operations are written to the database, or spooled and written later, in the order of their
//! session.

mod database;
mod drain;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;

use crate::{
    message::Message,
    ports::{
        BoxError, Clock, Observer, Tasks,
        health::{Health, HealthState},
        history::{
            ArchivedMessage, ArchivedSession, HistoryError, HistoryOp, HistoryStore, Page, SessionQuery, Spool,
            SpoolError, SpoolId, WRITE_PATIENCE,
        },
    },
    session::{Session, SessionId},
    time::{Moment, Timestamp},
};

/// How often it is tried whether something can be kept again, while nothing can.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long a health check waits for the database: less than probes wait for us.
const PING_PATIENCE: Duration = Duration::from_secs(1);

/// The archive as the service uses it. Cloning gives the same archive.
#[derive(Clone, Default)]
pub struct Archive(Option<Arc<Inner>>);

/// Neither the database nor the spool can take a record.
#[derive(Debug, Error)]
#[error("history can be neither written nor spooled")]
pub struct Unarchived(#[source] pub BoxError);

struct Inner {
    store: Arc<dyn HistoryStore>,
    spool: Arc<dyn Spool>,
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    observer: Arc<dyn Observer>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is spooled, by session, in order. A session with a lane writes nothing past it.
    lanes: HashMap<SessionId, VecDeque<SpoolId>>,
    /// The sessions with a lane, each once, in the order in which they are tried; but for those that are being tried.
    turns: VecDeque<SessionId>,
    backlog: usize,
    draining: bool,
    /// The database does not answer anybody: since then, and how that showed.
    away: Option<(Timestamp, String)>,
    /// When it last answered anything.
    answered: Option<Moment>,
    /// What kept the last record from being written, while the database answered.
    trouble: Option<String>,
    /// Nothing can be kept: how that showed, and when it was last tried.
    refusing: Option<(String, Moment)>,
    /// Records that this process has laid aside for good.
    dead_letters: usize,
    /// When the spool last took something, or was found able to.
    spool_took: Option<Moment>,
}

impl Archive {
    /// The archive of a service that keeps none (`HISTORY_STORAGE_BACKEND=none`).
    pub fn disabled() -> Self {
        Self(None)
    }

    /// An archive in `store`, with `spool` for when that is away.
    pub fn new(
        store: Arc<dyn HistoryStore>,
        spool: Arc<dyn Spool>,
        clock: Arc<dyn Clock>,
        tasks: Arc<dyn Tasks>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self(Some(Arc::new(Inner { store, spool, clock, tasks, observer, state: Mutex::default() })))
    }

    /// Takes up what earlier processes left in the spool. To be called once, before the first turn.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn resume(&self) -> Result<usize, SpoolError> {
        let Some(inner) = &self.0 else { return Ok(0) };
        let pending = inner.spool.pending().await?;
        let count = pending.len();
        for (id, session) in pending {
            inner.enqueue(session, id);
        }
        Ok(count)
    }

    /// Whether a turn of this session may begin, or a new session be made: whether what comes of it could be kept.
    ///
    /// # Errors
    /// When neither the database nor the spool can take it.
    pub async fn admit(&self, session: Option<SessionId>) -> Result<(), Unarchived> {
        match &self.0 {
            Some(inner) => inner.admit(session).await,
            None => Ok(()),
        }
    }

    /// Archives a new session, with its system prompt as its first message.
    ///
    /// # Errors
    /// When it can be neither written nor spooled.
    pub async fn open(&self, session: &Arc<Session>, prompt: Option<Arc<Message>>) -> Result<(), Unarchived> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.submit(HistoryOp::Open { session: session.clone(), prompt }).await.map(drop)
    }

    /// Archives messages. When this returns they are in the database or in the spool.
    ///
    /// # Errors
    /// When they can be neither written nor spooled.
    pub async fn record(&self, session: &Arc<Session>, messages: &[Arc<Message>]) -> Result<(), Unarchived> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.submit(HistoryOp::Record { session: session.clone(), messages: messages.to_vec() }).await.map(drop)
    }

    /// Removes a session for good; tells whether there was anything, or true if nobody can say yet. `is_known`: there was
    /// such a session; else only the archive can tell.
    ///
    /// # Errors
    /// When that can be neither done nor spooled.
    pub async fn forget(&self, session: SessionId, is_known: bool) -> Result<bool, Unarchived> {
        let Some(inner) = &self.0 else { return Ok(false) };
        inner.submit(HistoryOp::Forget { session, is_known }).await
    }

    /// The archived sessions that match; none if nothing is archived.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>, HistoryError> {
        match &self.0 {
            Some(inner) => inner.store.sessions(query).await,
            None => Ok(Page::default()),
        }
    }

    /// An archived session's visible messages.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn messages(
        &self,
        session: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>, HistoryError> {
        match &self.0 {
            Some(inner) => inner.store.messages(session, offset, limit).await,
            None => Ok(None),
        }
    }

    /// Whether what waits for the database survives the end of the process: always so if nothing is archived.
    pub fn is_durable(&self) -> bool {
        self.0.as_ref().is_none_or(|inner| inner.spool.is_durable())
    }

    /// How it is; none if nothing is archived.
    pub fn health(&self) -> Option<Health> {
        let inner = self.0.as_ref()?;
        let state = inner.state();
        let health = match (&state.refusing, &state.away) {
            (Some(_), _) => HealthState::Down,
            (None, Some(_)) => HealthState::Degraded,
            (None, None) if state.backlog > 0 => HealthState::Degraded,
            (None, None) => HealthState::Up,
        };
        let error = state.refusing.as_ref().map(|(error, _)| error).or(state.away.as_ref().map(|(_, error)| error));
        let error = error.or(state.trouble.as_ref());
        Some(Health {
            name: "history".into(),
            state: health,
            since: state.away.as_ref().map(|(since, _)| *since),
            last_error: error.cloned(),
            backlog: Some(state.backlog as u64),
            note: match (self.is_durable(), state.dead_letters > 0) {
                (true, false) => None,
                (true, true) => Some("records were refused for good: see the dead letters"),
                (false, false) => Some("the spool is in memory: not durable"),
                (false, true) => {
                    Some("the spool is in memory: not durable; records were refused for good: see the log")
                }
            },
        })
    }
}

impl Archive {
    /// The archive's health, found out by asking where the last write left no doubt: a service at rest should notice, too,
    /// that its database has gone or come back. None if nothing is archived.
    pub async fn check(&self) -> Option<Health> {
        let inner = self.0.as_ref()?;
        let health = self.health()?;
        let is_idle = health.backlog == Some(0);
        match health.state {
            // Where it is not ready no turn is sent that would find out.
            HealthState::Down => drop(inner.admit(None).await),
            HealthState::Up | HealthState::Degraded if is_idle => {
                match inner.ping(inner.clock.moment().plus(PING_PATIENCE)).await {
                    Ok(()) => inner.note_answer(),
                    Err(error) => {
                        let last_error = Some(error.cause().to_string());
                        return Some(Health { state: HealthState::Degraded, last_error, ..self.health()? });
                    }
                }
            }
            // The drain finds out.
            HealthState::Up | HealthState::Degraded => {}
        }
        self.health()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn submit(self: &Arc<Self>, mut op: HistoryOp) -> Result<bool, Unarchived> {
        let (has_lane, is_away) = {
            let state = self.state();
            (state.lanes.contains_key(&op.session()), state.away.is_some() && state.draining)
        };
        // What the session has in the spool comes first, and a database that is known to be away is the drain's to ask.
        if !has_lane && !is_away {
            match self.apply(&op, WRITE_PATIENCE).await {
                Ok(answer) => return Ok(answer),
                Err(HistoryError::Permanent(error)) => {
                    // Nobody is kept waiting by it, and an operator finds it; but it has to be laid somewhere.
                    let id = self.keep(&op).await?;
                    self.bury(id, &error).await;
                    return Ok(true);
                }
                Err(HistoryError::Unavailable(error)) => {
                    if self.note_trouble(&error) {
                        tracing::warn!(
                            session_id = %op.session(), error = %error,
                            "history of one session cannot be written yet: spooled"
                        );
                    }
                }
            }
        }
        if let HistoryOp::Forget { is_known, .. } = &mut op {
            // Nobody can say yet whether there was anything: who is told that it is gone must not find it again, whatever
            // still lies in another process's spool.
            *is_known = true;
        }
        match self.keep(&op).await {
            Ok(id) => {
                self.enqueue(op.session(), id);
                Ok(true)
            }
            // The last resort: the database may be back without anybody having noticed.
            Err(unspooled) if is_away && !has_lane => self.apply(&op, WRITE_PATIENCE).await.map_err(|_| unspooled),
            Err(unspooled) => Err(unspooled),
        }
    }

    /// Puts an operation into the spool.
    async fn keep(&self, op: &HistoryOp) -> Result<SpoolId, Unarchived> {
        let error = match self.spool.append(op).await {
            Ok(id) => {
                self.note_room();
                return Ok(id);
            }
            Err(error) => error,
        };
        tracing::error!(error = %error, "history can be neither written nor spooled: new turns are refused");
        self.state().refusing = Some((error.to_string(), self.clock.moment()));
        Err(Unarchived(error.into()))
    }

    fn note_room(&self) {
        let mut state = self.state();
        state.refusing = None;
        state.spool_took = Some(self.clock.moment());
    }

    async fn bury(&self, id: SpoolId, reason: &BoxError) {
        self.state().dead_letters += 1;
        tracing::error!(error = %reason, "history database refuses a record for good: it is a dead letter");
        self.observer.dead_letter();
        if let Err(error) = self.spool.bury(id, &reason.to_string()).await {
            tracing::error!(error = %error, "a dead letter could not be laid aside: it stays in the spool");
        }
    }

    async fn admit(&self, session: Option<SessionId>) -> Result<(), Unarchived> {
        let now = self.clock.moment();
        let is_fresh = |tried: Moment| now.since(tried) < PROBE_EVERY;
        let has_lane = {
            let mut state = self.state();
            let has_lane = session.is_some_and(|session| state.lanes.contains_key(&session));
            let (needs_spool, spool_took) = (has_lane || state.away.is_some(), state.spool_took);
            match &mut state.refusing {
                Some((error, tried)) if is_fresh(*tried) => return Err(Unarchived(error.clone().into())),
                // Whoever is here tries for all.
                Some((_, tried)) => *tried = now,
                None if !needs_spool || spool_took.is_some_and(is_fresh) => return Ok(()),
                None => {}
            }
            has_lane
        };
        let error = match self.spool.probe().await {
            Ok(()) => {
                self.note_room();
                return Ok(());
            }
            Err(error) => error,
        };
        match self.ping(self.clock.moment().plus(WRITE_PATIENCE)).await {
            Ok(()) => {
                self.note_answer();
                // What the session has in the spool comes before what it would write.
                if has_lane { Err(Unarchived(error.into())) } else { Ok(()) }
            }
            Err(_) => {
                self.state().refusing = Some((error.to_string(), self.clock.moment()));
                Err(Unarchived(error.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! [`MemoryHistory`], a database that can be taken away in every way, and [`MemorySpool`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    message::{Message, Role},
    ports::{
        Clock,
        history::{
            ArchivedMessage, ArchivedSession, HistoryError, HistoryOp, HistoryStore, Page, SessionQuery, Spool,
            SpoolError, SpoolId,
        },
    },
    session::{Session, SessionId},
    time::Timestamp,
};

/// How a [`MemoryHistory`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HistoryMode {
    /// It answers at once.
    #[default]
    Up,
    /// It answers after this time.
    Slow(Duration),
    /// It refuses: a closed port.
    Down,
    /// It never answers and does nothing: a lost packet on the way there.
    Hanging,
    /// It does what it is told and never answers: a lost packet on the way back.
    Silent,
    /// Its driver panics.
    Panicking,
}

/// An archive in memory. Cloning gives the same archive.
#[derive(Clone)]
pub struct MemoryHistory {
    state: Arc<Mutex<Kept>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Kept {
    mode: HistoryMode,
    sessions: HashMap<SessionId, (Arc<Session>, Vec<ArchivedMessage>)>,
    forgotten: HashSet<SessionId>,
    /// Sessions whose records it will never take.
    refused: HashSet<SessionId>,
    /// Sessions whose records are refused before it is asked.
    unsendable: HashSet<SessionId>,
    /// Sessions whose records it does not answer for now.
    held: HashSet<SessionId>,
    asked: usize,
}

impl MemoryHistory {
    /// An empty archive.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::default(), clock }
    }

    /// From now on it is like this.
    pub fn set_mode(&self, mode: HistoryMode) {
        self.lock().mode = mode;
    }

    /// From now on it answers every operation of this session with a permanent error.
    pub fn refuse(&self, session: SessionId) {
        self.lock().refused.insert(session);
    }

    /// From now on every operation of this session is a permanent error without its being asked: too large for any.
    pub fn refuse_unasked(&self, session: SessionId) {
        self.lock().unsendable.insert(session);
    }

    /// From now on it leaves every operation of this session unanswered and undone, or no longer does: a lock on its row.
    pub fn hold(&self, session: SessionId, held: bool) {
        let state = &mut *self.lock();
        let _ = if held { state.held.insert(session) } else { state.held.remove(&session) };
    }

    /// How many operations it was asked to apply.
    pub fn asked(&self) -> usize {
        self.lock().asked
    }

    /// How many sessions it remembers to have forgotten.
    pub fn forgotten(&self) -> usize {
        self.lock().forgotten.len()
    }

    /// The contents it has of a session, prompts included, in the order of their times; none if it has no such session.
    pub fn contents(&self, session: SessionId) -> Option<Vec<String>> {
        let state = self.lock();
        let (_, messages) = state.sessions.get(&session)?;
        Some(messages.iter().map(|archived| archived.message.content.to_string()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the way to the database costs.
    async fn reach(&self) -> Result<(), HistoryError> {
        let mode = self.lock().mode;
        match mode {
            HistoryMode::Up | HistoryMode::Silent => Ok(()),
            HistoryMode::Slow(time) => {
                self.clock.sleep_until(self.clock.moment().plus(time)).await;
                Ok(())
            }
            HistoryMode::Down => Err(HistoryError::Unavailable("connection refused".into())),
            HistoryMode::Hanging => std::future::pending().await,
            HistoryMode::Panicking => panic!("the driver's mistake"),
        }
    }

    async fn answer(&self) {
        if self.lock().mode == HistoryMode::Silent {
            std::future::pending().await
        }
    }
}

impl Kept {
    fn add(&mut self, session: &Arc<Session>, messages: &[Arc<Message>], stored_at: Timestamp) {
        if self.forgotten.contains(&session.id) {
            return;
        }
        let (_, kept) = self.sessions.entry(session.id).or_insert_with(|| (session.clone(), Vec::new()));
        for message in messages {
            if kept.iter().all(|archived| archived.message.id != message.id) {
                kept.push(ArchivedMessage { message: Message::clone(message), stored_at });
            }
        }
        kept.sort_by_key(|archived| (archived.message.at, archived.message.id));
    }

    fn apply(&mut self, op: &HistoryOp, now: Timestamp) -> Result<bool, HistoryError> {
        if self.refused.contains(&op.session()) {
            return Err(HistoryError::Permanent("this session is refused".into()));
        }
        match op {
            HistoryOp::Open { session, .. } | HistoryOp::Record { session, .. } => {
                self.add(session, op.messages(), now)
            }
            HistoryOp::Forget { session, is_known } => {
                let was_there = self.sessions.remove(session).is_some();
                if was_there || *is_known {
                    self.forgotten.insert(*session);
                }
                return Ok(was_there);
            }
        }
        Ok(true)
    }
}

fn page<T>(items: impl Iterator<Item = T> + Clone, offset: u64, limit: u32) -> Page<T> {
    let total = items.clone().count() as u64;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    Page { items: items.skip(offset).take(limit as usize).collect(), total }
}

#[async_trait]
impl HistoryStore for MemoryHistory {
    async fn apply(&self, op: &HistoryOp) -> Result<bool, HistoryError> {
        self.lock().asked += 1;
        if self.lock().unsendable.contains(&op.session()) {
            return Err(HistoryError::Permanent("too large".into()));
        }
        self.reach().await?;
        if self.lock().held.contains(&op.session()) {
            std::future::pending::<()>().await;
        }
        let applied = {
            let now = self.clock.now();
            self.lock().apply(op, now)
        };
        self.answer().await;
        applied
    }

    async fn sessions(&self, query: &SessionQuery) -> Result<Page<ArchivedSession>, HistoryError> {
        self.reach().await?;
        let state = self.lock();
        let in_time = |session: &&Arc<Session>| {
            query.from.is_none_or(|from| session.created_at >= from)
                && query.until.is_none_or(|until| session.created_at <= until)
        };
        let mut all: Vec<_> = state.sessions.values().map(|(session, _)| session).filter(in_time).collect();
        all.sort_by_key(|session| (Reverse(session.created_at), session.id));
        let archived = all.iter().map(|session| ArchivedSession {
            session: Session { owner: None, system_prompt: None, ..Session::clone(session) },
            provider: None,
            fallback_provider: None,
        });
        Ok(page(archived, query.offset, query.limit))
    }

    async fn messages(
        &self,
        session: SessionId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<Page<ArchivedMessage>>, HistoryError> {
        self.reach().await?;
        let state = self.lock();
        let Some((_, messages)) = state.sessions.get(&session) else { return Ok(None) };
        let visible = messages.iter().filter(|archived| archived.message.role != Role::System).cloned();
        Ok(Some(page(visible, offset, limit)))
    }

    async fn ping(&self) -> Result<(), HistoryError> {
        self.reach().await?;
        self.answer().await;
        Ok(())
    }
}

/// A spool in memory: as JSON, because a spool that keeps more than the stored form would hide what is lost in it.
/// Cloning gives the same spool, as a restart does.
#[derive(Clone)]
pub struct MemorySpool {
    state: Arc<Mutex<Spooled>>,
    durable: bool,
}

#[derive(Default)]
struct Spooled {
    room: usize,
    broken: bool,
    stuck: bool,
    last: u64,
    kept: BTreeMap<SpoolId, (SessionId, String)>,
    dead: Vec<(HistoryOp, String)>,
    unreadable: Option<SpoolId>,
    corpses: usize,
    probed: usize,
}

impl MemorySpool {
    /// An empty spool for so many operations.
    pub fn new(room: usize) -> Self {
        Self { state: Arc::new(Mutex::new(Spooled { room, ..Spooled::default() })), durable: false }
    }

    /// The same, said to outlive the process.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// From now on it has room for so many operations.
    pub fn set_room(&self, room: usize) {
        self.lock().room = room;
    }

    /// From now on the disk fails whatever is asked of it, or no longer does.
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
    }

    /// From now on nothing can be taken out of it, or can again.
    pub fn set_stuck(&self, stuck: bool) {
        self.lock().stuck = stuck;
    }

    /// From now on the disk fails to give this record, or none.
    pub fn set_unreadable(&self, id: Option<SpoolId>) {
        self.lock().unreadable = id;
    }

    /// Damages what it holds under this id.
    pub fn corrupt(&self, id: SpoolId) {
        if let Some((_, json)) = self.lock().kept.get_mut(&id) {
            json.truncate(json.len() / 2);
        }
    }

    /// What it holds, oldest first.
    pub fn ids(&self) -> Vec<SpoolId> {
        self.lock().kept.keys().copied().collect()
    }

    /// What was laid aside, with the reasons; records that cannot be read are only counted, by [`MemorySpool::corpses`].
    pub fn dead(&self) -> Vec<(HistoryOp, String)> {
        self.lock().dead.clone()
    }

    /// How many unreadable records were laid aside.
    pub fn corpses(&self) -> usize {
        self.lock().corpses
    }

    /// How often it was tried whether it can take something.
    pub fn probed(&self) -> usize {
        self.lock().probed
    }

    fn lock(&self) -> MutexGuard<'_, Spooled> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working(&self) -> Result<MutexGuard<'_, Spooled>, SpoolError> {
        let state = self.lock();
        if state.broken { Err(SpoolError::Io("the disk is broken".into())) } else { Ok(state) }
    }
}

#[async_trait]
impl Spool for MemorySpool {
    async fn append(&self, op: &HistoryOp) -> Result<SpoolId, SpoolError> {
        let json = serde_json::to_string(op).map_err(|error| SpoolError::Io(error.into()))?;
        let mut state = self.working()?;
        if state.kept.len() >= state.room {
            return Err(SpoolError::Full);
        }
        state.last += 1;
        let id = SpoolId(state.last);
        state.kept.insert(id, (op.session(), json));
        Ok(id)
    }

    async fn pending(&self) -> Result<Vec<(SpoolId, SessionId)>, SpoolError> {
        Ok(self.working()?.kept.iter().map(|(id, (session, _))| (*id, *session)).collect())
    }

    async fn load(&self, id: SpoolId) -> Result<HistoryOp, SpoolError> {
        let state = self.working()?;
        if state.unreadable == Some(id) {
            return Err(SpoolError::Io("a bad sector".into()));
        }
        let (_, json) = state.kept.get(&id).ok_or_else(|| SpoolError::Io("no such record".into()))?;
        serde_json::from_str(json).map_err(|error| SpoolError::Corrupt(error.into()))
    }

    async fn remove(&self, id: SpoolId) -> Result<(), SpoolError> {
        let mut state = self.working()?;
        if state.stuck {
            return Err(SpoolError::Io("the disk is read-only".into()));
        }
        state.kept.remove(&id);
        Ok(())
    }

    async fn bury(&self, id: SpoolId, reason: &str) -> Result<(), SpoolError> {
        let mut state = self.working()?;
        if state.stuck {
            return Err(SpoolError::Io("the disk is read-only".into()));
        }
        let Some((_, json)) = state.kept.remove(&id) else { return Ok(()) };
        match serde_json::from_str(&json) {
            Ok(op) => state.dead.push((op, reason.to_owned())),
            Err(_) => state.corpses += 1,
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), SpoolError> {
        self.lock().probed += 1;
        let state = self.working()?;
        if state.kept.len() >= state.room { Err(SpoolError::Full) } else { Ok(()) }
    }

    fn is_durable(&self) -> bool {
        self.durable
    }
}

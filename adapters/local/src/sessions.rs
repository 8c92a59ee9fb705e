//! Sessions in process memory: [`LocalSessions`].

mod entry;
mod seat;
mod shard;

use std::{
    cmp::Reverse,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    ports::{
        Clock,
        sessions::{CreateError, Deletion, OpenError, Place, SessionStore, Snapshot, Unavailable},
    },
    session::{Caller, Session, SessionId},
    time::Moment,
};

use self::{entry::Entry, seat::Seat, shard::Shard};
use crate::lock;

/// Sessions that never share a lock: enough that the turns of many cores rarely meet.
const SHARDS: usize = 64;

/// Sessions a sweep looks at before it lets go of a shard's lock: some tens of microseconds, even if all have expired.
const SWEPT_AT_ONCE: usize = 64;

/// What the operator decided about sessions in process memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Sessions at the most (`MAX_SESSIONS`). One that has expired counts until it is swept.
    pub capacity: usize,
    /// How long a session may be idle (`SESSION_TTL_SECONDS`); none: for ever.
    pub ttl: Option<Duration>,
}

/// Keeps sessions in this process, for as long as it runs.
///
/// A session is one allocation beside what was said in it: it has no timer and no channel, and its order of turns is
/// there only while a turn runs or waits. What has expired is not found any more, and freed by [`LocalSessions::sweep`].
pub struct LocalSessions {
    shards: Box<[Mutex<Shard>]>,
    /// Sessions in the shards, and those about to be put there: never less than there are.
    count: AtomicUsize,
    policy: SessionPolicy,
    clock: Arc<dyn Clock>,
}

impl LocalSessions {
    /// A store without sessions.
    pub fn new(policy: SessionPolicy, clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, count: AtomicUsize::new(0), policy, clock }
    }

    /// Frees the sessions that have expired by `now`, and tells how many. To be called every now and then, on a thread
    /// that may be busy for some ten milliseconds with a hundred thousand sessions; sessions in use are kept waiting for
    /// less than a tenth of a millisecond, however many there are.
    pub fn sweep(&self, now: Moment) -> usize {
        let Some(ttl) = self.policy.ttl else { return 0 };
        let mut freed = 0;
        for shard in &self.shards {
            let mut unseen = usize::MAX;
            while unseen > 0 {
                // Freed outside of the lock.
                let expired: Vec<Arc<Entry>>;
                (expired, unseen) = lock(shard).expire(unseen, SWEPT_AT_ONCE, |entry| entry.expire(now, ttl));
                self.count.fetch_sub(expired.len(), Ordering::Relaxed);
                freed += expired.len();
            }
            lock(shard).shrink();
        }
        freed
    }

    fn shard(&self, id: SessionId) -> MutexGuard<'_, Shard> {
        // The last byte of a UUID of version 4 is random.
        lock(&self.shards[usize::from(id.0.as_bytes()[15]) % SHARDS])
    }

    fn find(&self, id: SessionId, caller: &Caller) -> Option<Arc<Entry>> {
        let entry = self.shard(id).get(id).cloned();
        entry.filter(|entry| caller.may_use(entry.session()))
    }
}

#[async_trait]
impl SessionStore for LocalSessions {
    async fn create(&self, session: Arc<Session>) -> Result<(), CreateError> {
        let has_room = |count| (count < self.policy.capacity).then_some(count + 1);
        self.count.try_update(Ordering::Relaxed, Ordering::Relaxed, has_room).map_err(|_| CreateError::Capacity)?;
        let entry = Arc::new(Entry::new(session.clone(), self.clock.moment()));
        let replaced = self.shard(session.id).insert(entry);
        if let Some(replaced) = replaced {
            self.count.fetch_sub(1, Ordering::Relaxed);
            replaced.end();
        }
        Ok(())
    }

    async fn read(&self, id: SessionId, caller: &Caller) -> Result<Option<Snapshot>, Unavailable> {
        Ok(self.find(id, caller).and_then(|entry| entry.snapshot(self.clock.moment(), self.policy.ttl)))
    }

    async fn delete(&self, id: SessionId, caller: &Caller) -> Result<Deletion, Unavailable> {
        let now = self.clock.moment();
        let deleted = {
            let mut shard = self.shard(id);
            let live = shard.get(id).filter(|entry| entry.is_live(now, self.policy.ttl));
            let owner = live.map(|entry| entry.session().owner.clone());
            let Some(owner) = owner.or_else(|| shard.unfinished.get(&id).cloned()) else {
                return Ok(Deletion::Missing);
            };
            if !caller.may_act_for(owner.as_deref()) {
                return Ok(Deletion::Foreign);
            }
            shard.unfinished.insert(id, owner);
            shard.remove(id)
        };
        if let Some(deleted) = deleted {
            self.count.fetch_sub(1, Ordering::Relaxed);
            deleted.end();
        }
        Ok(Deletion::Deleted)
    }

    async fn finish_deletion(&self, id: SessionId) {
        self.shard(id).unfinished.remove(&id);
    }

    async fn list(&self, offset: usize, limit: usize) -> Result<(Vec<Arc<Session>>, usize), Unavailable> {
        let now = self.clock.moment();
        let mut sessions: Vec<Arc<Session>> = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let live = shard.entries().filter(|entry| entry.is_live(now, self.policy.ttl));
            sessions.extend(live.map(|entry| entry.session().clone()));
        }
        let total = sessions.len();
        let page = offset.min(total)..offset.saturating_add(limit).min(total);
        let newest_first = |session: &Arc<Session>| (Reverse(session.created_at), session.id);
        // Only what is shown needs sorting.
        if page.start > 0 && page.start < total {
            sessions.select_nth_unstable_by_key(page.start, newest_first);
        }
        sessions.drain(..page.start);
        if page.len() < sessions.len() {
            sessions.select_nth_unstable_by_key(page.len(), newest_first);
        }
        sessions.truncate(page.len());
        sessions.sort_unstable_by_key(newest_first);
        Ok((sessions, total))
    }

    async fn count(&self) -> Result<usize, Unavailable> {
        Ok(self.count.load(Ordering::Relaxed))
    }

    async fn open_turn(&self, id: SessionId, caller: &Caller, deadline: Moment) -> Result<Place, OpenError> {
        let entry = self.find(id, caller).ok_or(OpenError::NotFound)?;
        let (seat, memory) = Seat::take(entry, self.clock.clone(), self.policy.ttl)?;
        Ok(match memory {
            Some(memory) => Place::Open(seat.open(memory)),
            None => Place::Waiting(Box::pin(seat.wait(deadline))),
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]
mod tests;

//! [`MemorySpool`].

use std::{collections::BTreeMap, io, sync::Mutex};

use async_trait::async_trait;
use chat_domain::{
    ports::history::{HistoryOp, Spool, SpoolError, SpoolId},
    session::SessionId,
};

use super::Budget;
use crate::lock;

/// What a [`MemorySpool`] holds at the most unless told otherwise, in bytes of JSON: 64 MiB.
pub const MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// A spool for services without a directory for one: what it holds ends with the process.
pub struct MemorySpool {
    state: Mutex<State>,
}

struct State {
    held: BTreeMap<SpoolId, Held>,
    last: u64,
    budget: Budget,
}

struct Held {
    op: HistoryOp,
    bytes: u64,
}

impl MemorySpool {
    /// An empty spool of at most `most` bytes, each operation counted as its JSON.
    pub fn new(most: u64) -> Self {
        let state = State { held: BTreeMap::new(), last: 0, budget: Budget::new(most) };
        Self { state: Mutex::new(state) }
    }
}

impl State {
    fn take(&mut self, id: SpoolId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        self.budget.release(held.bytes);
        Some(held)
    }
}

/// Counts instead of writing.
struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Spool for MemorySpool {
    async fn append(&self, op: &HistoryOp) -> Result<SpoolId, SpoolError> {
        let mut size = Counter(0);
        serde_json::to_writer(&mut size, op).map_err(|error| SpoolError::Io(error.into()))?;
        let mut state = lock(&self.state);
        state.budget.reserve(size.0)?;
        state.last += 1;
        let id = SpoolId(state.last);
        state.held.insert(id, Held { op: op.clone(), bytes: size.0 });
        Ok(id)
    }

    async fn pending(&self) -> Result<Vec<(SpoolId, SessionId)>, SpoolError> {
        Ok(lock(&self.state).held.iter().map(|(id, held)| (*id, held.op.session())).collect())
    }

    async fn load(&self, id: SpoolId) -> Result<HistoryOp, SpoolError> {
        let op = lock(&self.state).held.get(&id).map(|held| held.op.clone());
        op.ok_or_else(|| SpoolError::Corrupt("no such record".into()))
    }

    async fn remove(&self, id: SpoolId) -> Result<(), SpoolError> {
        let _freed_outside_of_the_lock = lock(&self.state).take(id);
        Ok(())
    }

    async fn bury(&self, id: SpoolId, reason: &str) -> Result<(), SpoolError> {
        let buried = lock(&self.state).take(id);
        if let Some(held) = buried {
            let session = held.op.session();
            tracing::error!(%session, reason, "a record no database takes is lost: there is no HISTORY_SPOOL_DIR to keep it in");
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), SpoolError> {
        lock(&self.state).budget.probe()
    }

    fn is_durable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn forget(id: u128) -> HistoryOp {
        HistoryOp::Forget { session: SessionId(Uuid::from_u128(id)), is_known: true }
    }

    #[tokio::test]
    async fn is_bounded_and_lets_go() {
        let size = serde_json::to_string(&forget(1)).expect("JSON").len() as u64;
        let spool = MemorySpool::new(2 * size);
        let first = spool.append(&forget(1)).await.expect("room");
        let second = spool.append(&forget(2)).await.expect("room");
        spool.probe().await.expect_err("full");
        assert!(matches!(spool.append(&forget(3)).await, Err(SpoolError::Full)));
        assert_eq!(spool.load(first).await.expect("held"), forget(1));
        spool.bury(first, "no reason").await.expect("buried");
        spool.bury(first, "no reason").await.expect("nothing happens");
        spool.probe().await.expect("room");
        let third = spool.append(&forget(3)).await.expect("room");
        let sessions: Vec<SpoolId> = spool.pending().await.expect("a list").iter().map(|(id, _)| *id).collect();
        assert_eq!(sessions, [second, third]);
        for id in [second, third, third] {
            spool.remove(id).await.expect("removed");
        }
        assert_eq!(lock(&spool.state).budget.used, 0);
    }

    #[tokio::test]
    async fn room_is_only_told_when_what_was_refused_fits() {
        let size = serde_json::to_string(&forget(1)).expect("JSON").len() as u64;
        let spool = MemorySpool::new(2 * size - 1);
        let first = spool.append(&forget(1)).await.expect("room");
        spool.probe().await.expect("some room");
        assert!(matches!(spool.append(&forget(2)).await, Err(SpoolError::Full)));
        assert!(matches!(spool.probe().await, Err(SpoolError::Full)));
        spool.remove(first).await.expect("removed");
        spool.probe().await.expect("room");
    }
}

//! [`DiskSpool`].

mod directory;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use async_trait::async_trait;
use chat_domain::{
    ports::history::{HistoryOp, Spool, SpoolError, SpoolId},
    session::SessionId,
};
use tokio::task::spawn_blocking;

use self::directory::{Directory, RecordName};
use super::Budget;
use crate::lock;

/// What a [`DiskSpool`] holds at the most unless told otherwise, in bytes of JSON: 1 GiB.
pub const DISK_BYTES: u64 = 1024 * 1024 * 1024;

/// Where records go that no database takes, within the spool's directory. Not bounded by the spool: an operator has to
/// look at each of them.
const DEAD_LETTERS: &str = "dead-letter";

/// How much of a reason is written beside a dead letter, in characters.
const REASON_CHARS: usize = 1_000;

/// A spool on disk (`HISTORY_SPOOL_DIR`): what it acknowledged is there after a crash, for the next process.
///
/// ```text
/// HISTORY_SPOOL_DIR/
///   process-UUID/                        one for each process, mode 0700
///     lock                               held while the process lives
///     00001763805600123456-SESSION.json  an operation, named by its sequence number and session
///   dead-letter/
///     00001763805600123456-SESSION.json  what no database takes
///     00001763805600123456-SESSION.txt   why
/// ```
///
/// Several processes may share the directory. One that starts adopts what those left that are no more: whose lock is
/// free. Sequence numbers are microseconds since 1970 where the clock allows, so that they order what several processes
/// left; those of a process are always greater than all it adopted.
pub struct DiskSpool {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    own: Arc<Directory>,
    state: Mutex<State>,
}

struct State {
    held: BTreeMap<SpoolId, Held>,
    last: u64,
    budget: Budget,
}

/// Where an operation lies. The last one of an adopted directory takes it along.
#[derive(Clone)]
struct Held {
    directory: Arc<Directory>,
    name: RecordName,
    bytes: u64,
}

impl DiskSpool {
    /// Opens the spool in `root`, made if it is not there, of at most `most` bytes of operations. What is adopted counts,
    /// and is kept even if it is more.
    ///
    /// # Errors
    /// When the directory cannot be made, written, locked or read.
    pub async fn open(root: impl Into<PathBuf>, most: u64) -> Result<Self, SpoolError> {
        let root = root.into();
        let inner = run_blocking(move || Inner::open(root, most)).await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let inner = self.inner.clone();
        run_blocking(move || work(&inner)).await
    }
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(SpoolError::Io(error.into())))
}

fn failed(error: io::Error) -> SpoolError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::Full,
        _ => SpoolError::Io(error.into()),
    }
}

/// What is wrong with a record, without a word of what it holds: the parser's own message would quote it.
fn corrupt(error: &serde_json::Error) -> SpoolError {
    SpoolError::Corrupt(format!("not an operation: {:?} error in its JSON", error.classify()).into())
}

impl Inner {
    fn open(root: PathBuf, most: u64) -> Result<Self, SpoolError> {
        directory::create_private(&root).map_err(failed)?;
        Directory::remove_stillborn(&root).map_err(failed)?;
        let own = Arc::new(Directory::create(&root).map_err(failed)?);
        let mut left: Vec<Held> = Vec::new();
        for directory in Directory::adopt_all(&root).map_err(failed)? {
            let directory = Arc::new(directory);
            let records = directory.records().map_err(failed)?;
            left.extend(records.into_iter().map(|(name, bytes)| Held { directory: directory.clone(), name, bytes }));
        }
        left.sort_by_key(|held| held.name);

        let mut state = State { held: BTreeMap::new(), last: 0, budget: Budget::new(most) };
        for held in left {
            state.budget.used += held.bytes;
            // Numbers of two processes can be the same; ids cannot.
            let id = state.next_id(held.name.sequence);
            state.held.insert(id, held);
        }
        if !state.held.is_empty() {
            tracing::info!(operations = state.held.len(), "history left in the spool by earlier processes is adopted");
        }
        Ok(Self { root, own, state: Mutex::new(state) })
    }

    fn append(&self, id: SpoolId, op: &HistoryOp) -> Result<SpoolId, SpoolError> {
        let json = serde_json::to_vec(op).map_err(|error| SpoolError::Io(error.into()))?;
        let bytes = json.len() as u64;
        lock(&self.state).budget.reserve(bytes)?;
        let name = RecordName { sequence: id.0, session: op.session() };
        if let Err(error) = self.own.write(&name.to_string(), &json) {
            lock(&self.state).budget.release(bytes);
            return Err(failed(error));
        }
        lock(&self.state).held.insert(id, Held { directory: self.own.clone(), name, bytes });
        Ok(id)
    }

    fn load(&self, id: SpoolId) -> Result<HistoryOp, SpoolError> {
        let held = self.find(id).ok_or_else(|| SpoolError::Corrupt("no such record".into()))?;
        let json = match held.directory.read(&held.name.to_string()) {
            Ok(json) => json,
            // Somebody took it away: waiting for it to come back would hold up its session for good.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SpoolError::Corrupt(error.into())),
            Err(error) => return Err(failed(error)),
        };
        let op: HistoryOp = serde_json::from_slice(&json).map_err(|error| corrupt(&error))?;
        if op.session() != held.name.session {
            return Err(SpoolError::Corrupt("an operation of another session than its name says".into()));
        }
        Ok(op)
    }

    fn remove(&self, id: SpoolId) -> Result<(), SpoolError> {
        let Some(held) = self.find(id) else { return Ok(()) };
        held.directory.remove(&held.name.to_string()).map_err(failed)?;
        self.let_go(id);
        Ok(())
    }

    fn bury(&self, id: SpoolId, reason: &str) -> Result<(), SpoolError> {
        let Some(held) = self.find(id) else { return Ok(()) };
        let dead_letters = self.root.join(DEAD_LETTERS);
        let reason: String =
            reason.chars().take(REASON_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect();
        let name = held.name.to_string();
        // The reason first: a reason without its record explains itself, a record without its reason does not.
        directory::create_private(&dead_letters)
            .and_then(|()| directory::write(&dead_letters, &held.name.reason(), format!("{reason}\n").as_bytes()))
            .and_then(|()| held.directory.move_to(&name, &dead_letters))
            .map_err(failed)?;
        self.let_go(id);
        Ok(())
    }

    fn probe(&self) -> Result<(), SpoolError> {
        lock(&self.state).budget.probe()?;
        self.own.probe().map_err(failed)
    }

    fn find(&self, id: SpoolId) -> Option<Held> {
        lock(&self.state).held.get(&id).cloned()
    }

    fn let_go(&self, id: SpoolId) {
        // Dropped after the lock: the last record of a directory removes it.
        let _held = {
            let mut state = lock(&self.state);
            let held = state.held.remove(&id);
            if let Some(held) = &held {
                state.budget.release(held.bytes);
            }
            held
        };
    }
}

impl State {
    /// The given number as an id, or the next one if that is not above all before.
    fn next_id(&mut self, wanted: u64) -> SpoolId {
        self.last = wanted.max(self.last + 1);
        SpoolId(self.last)
    }
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(0)
}

#[async_trait]
impl Spool for DiskSpool {
    async fn append(&self, op: &HistoryOp) -> Result<SpoolId, SpoolError> {
        // Numbered here, in the order of appending: the threads that write may come to it in another.
        let id = lock(&self.inner.state).next_id(micros());
        let op = op.clone();
        self.blocking(move |inner| inner.append(id, &op)).await
    }

    async fn pending(&self) -> Result<Vec<(SpoolId, SessionId)>, SpoolError> {
        Ok(lock(&self.inner.state).held.iter().map(|(id, held)| (*id, held.name.session)).collect())
    }

    async fn load(&self, id: SpoolId) -> Result<HistoryOp, SpoolError> {
        self.blocking(move |inner| inner.load(id)).await
    }

    async fn remove(&self, id: SpoolId) -> Result<(), SpoolError> {
        self.blocking(move |inner| inner.remove(id)).await
    }

    async fn bury(&self, id: SpoolId, reason: &str) -> Result<(), SpoolError> {
        let reason = reason.to_owned();
        self.blocking(move |inner| inner.bury(id, &reason)).await
    }

    async fn probe(&self) -> Result<(), SpoolError> {
        self.blocking(Inner::probe).await
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[cfg(all(test, unix))]
mod tests;

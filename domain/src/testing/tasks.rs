//! What outlives a request, and what is counted, where a test can see it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::{BoxFuture, join_all};

use crate::{
    message::Usage,
    ports::{CallCount, Observer, Tasks},
};

/// Tasks that nobody runs until the test does. Cloning gives the same tasks.
#[derive(Clone, Default)]
pub struct InlineTasks(Arc<Mutex<VecDeque<BoxFuture<'static, ()>>>>);

impl InlineTasks {
    fn lock(&self) -> MutexGuard<'_, VecDeque<BoxFuture<'static, ()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait to be run.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none waits to be run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs all there are to their end, together, and what they begin as well.
    pub async fn run(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.lock());
            if tasks.is_empty() {
                return;
            }
            join_all(tasks).await;
        }
    }
}

impl Tasks for InlineTasks {
    fn detach(&self, work: BoxFuture<'static, ()>) {
        self.lock().push_back(work);
    }
}

/// Tasks that an executor runs, given as a closure, and that are counted. Cloning gives the same tasks.
#[derive(Clone)]
pub struct SpawnedTasks {
    spawn: Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>,
    running: Arc<AtomicUsize>,
}

impl SpawnedTasks {
    /// Tasks run by `spawn` (`|work| drop(tokio::spawn(work))`).
    pub fn new(spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self { spawn: Arc::new(spawn), running: Arc::default() }
    }

    /// How many have not ended.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

impl Tasks for SpawnedTasks {
    fn detach(&self, work: BoxFuture<'static, ()>) {
        struct Running(Arc<AtomicUsize>);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(self.running.clone());
        (self.spawn)(Box::pin(async move {
            let _running = running;
            work.await;
        }));
    }
}

/// An observer that remembers. Cloning gives the same observer.
#[derive(Clone, Default)]
pub struct RecordingObserver(Arc<Mutex<Vec<Seen>>>);

/// Something an observer was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// An attempt at a backend ended; whether it failed.
    LlmCall(String, bool),
    /// A tool call ended: `server.tool`, and whether it failed.
    ToolCall(String, bool),
    /// An answer told what it used.
    Tokens(Usage),
    /// A circuit opened or closed.
    Circuit(String, bool),
    /// The backlog's size.
    Backlog(usize),
    /// A dead letter.
    DeadLetter,
}

impl RecordingObserver {
    fn push(&self, seen: Seen) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    /// All it was told since it was last asked.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for RecordingObserver {
    fn llm_call(&self, call: CallCount<'_>) {
        self.push(Seen::LlmCall(call.name.to_owned(), call.failed));
    }

    fn tool_call(&self, call: CallCount<'_>, tool: &str) {
        self.push(Seen::ToolCall(format!("{}.{tool}", call.name), call.failed));
    }

    fn tokens(&self, usage: &Usage) {
        self.push(Seen::Tokens(usage.clone()));
    }

    fn circuit(&self, backend: &str, open: bool) {
        self.push(Seen::Circuit(backend.to_owned(), open));
    }

    fn backlog(&self, operations: usize) {
        self.push(Seen::Backlog(operations));
    }

    fn dead_letter(&self) {
        self.push(Seen::DeadLetter);
    }
}

//! The turns of this replica: [`Registry`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use chat_domain::{ports::sessions::Lost, session::SessionId};
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use uuid::Uuid;

/// Every turn of this replica that runs or waits, found by its ticket's number when Redis tells something about it.
#[derive(Default)]
pub(super) struct Registry(Mutex<HashMap<Uuid, Arc<Turn>>>);

/// A turn as the rest of the process sees it.
pub(super) struct Turn {
    pub(super) session: SessionId,
    /// `replica|number`: what stands in Redis.
    pub(super) ticket: String,
    /// It holds the session's turn, and a lease that has to be renewed.
    is_running: AtomicBool,
    /// There may be news for one who waits.
    pub(super) news: Notify,
    lost: AtomicU8,
    waker: AtomicWaker,
}

const HOLDS: u8 = 0;
const DELETED: u8 = 1;
const FENCED_OFF: u8 = 2;

impl Turn {
    pub(super) fn new(session: SessionId, ticket: String) -> Self {
        Self {
            session,
            ticket,
            is_running: AtomicBool::new(false),
            news: Notify::new(),
            lost: AtomicU8::new(HOLDS),
            waker: AtomicWaker::new(),
        }
    }

    pub(super) fn run(&self) {
        self.is_running.store(true, Ordering::Release);
    }

    pub(super) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
    }

    pub(super) fn lose(&self, lost: Lost) {
        let lost = match lost {
            Lost::Deleted => DELETED,
            Lost::FencedOff => FENCED_OFF,
        };
        self.lost.store(lost, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<Lost> {
        self.waker.register(cx.waker());
        match self.lost.load(Ordering::Acquire) {
            HOLDS => Poll::Pending,
            DELETED => Poll::Ready(Lost::Deleted),
            _ => Poll::Ready(Lost::FencedOff),
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, number: Uuid, turn: Arc<Turn>) {
        self.lock().insert(number, turn);
    }

    pub(super) fn remove(&self, number: Uuid) {
        self.lock().remove(&number);
    }

    pub(super) fn get(&self, number: Uuid) -> Option<Arc<Turn>> {
        self.lock().get(&number).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Turn>> {
        self.lock().values().cloned().collect()
    }
}

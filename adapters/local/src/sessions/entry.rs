//! One session: its memory and the order of its turns. [`Entry`].

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use chat_domain::{
    message::Message,
    ports::sessions::{Lost, MAX_WAITING, OpenError, Snapshot},
    session::{MemoryLimit, Session},
    time::Moment,
};

use crate::lock;

/// A session's memory as a turn gets it, oldest first.
pub(super) type Memory = Vec<Arc<Message>>;

/// A session with what changes about it, under a lock of its own that is held for a few instructions at a time.
pub(super) struct Entry {
    session: Arc<Session>,
    state: Mutex<State>,
}

struct State {
    memory: VecDeque<Arc<Message>>,
    /// There only while a turn runs or waits: the many idle sessions pay a pointer for it.
    queue: Option<Box<Queue>>,
    used_at: Moment,
    next_seat: u32,
    /// Deleted or expired: on its way out of the store, whoever still holds it.
    is_gone: bool,
}

/// The turns in their order; the first one runs, or may as soon as it looks. That it may is where it stands, not a
/// message that could be lost: if it is given up before it looked, the next one stands there.
#[derive(Default)]
struct Queue(VecDeque<Chair>);

struct Chair {
    seat: u32,
    waker: Option<Waker>,
}

/// What a seat leaves behind when it is given up. Wakers run foreign code, also when dropped: never under the lock.
struct Left {
    next: Option<Waker>,
    _own: Option<Waker>,
}

impl Left {
    fn wake_next(self) {
        if let Some(next) = self.next {
            next.wake();
        }
    }
}

impl Entry {
    pub(super) fn new(session: Arc<Session>, now: Moment) -> Self {
        let state = State { memory: VecDeque::new(), queue: None, used_at: now, next_seat: 0, is_gone: false };
        Self { session, state: Mutex::new(state) }
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(super) fn is_live(&self, now: Moment, ttl: Option<Duration>) -> bool {
        self.live(now, ttl).is_some()
    }

    /// The session and its memory, unless it is gone; ends its idleness.
    pub(super) fn snapshot(&self, now: Moment, ttl: Option<Duration>) -> Option<Snapshot> {
        let mut state = self.live(now, ttl)?;
        state.touch(now);
        Some(Snapshot { session: self.session.clone(), memory: state.memory() })
    }

    /// Ends the session if it has been idle for so long.
    pub(super) fn expire(&self, now: Moment, ttl: Duration) -> bool {
        let mut state = lock(&self.state);
        state.is_gone |= state.is_expired(now, Some(ttl));
        state.is_gone
    }

    /// Ends the session with all of its turns.
    pub(super) fn end(&self) {
        let (queue, _memory) = {
            let mut state = lock(&self.state);
            state.is_gone = true;
            (state.queue.take(), mem::take(&mut state.memory))
        };
        for waker in queue.into_iter().flat_map(|queue| queue.0).filter_map(|chair| chair.waker) {
            waker.wake();
        }
    }

    /// Takes the last place in the order of turns. With the memory if it is also the first: the turn may run.
    pub(super) fn take_seat(&self, now: Moment, ttl: Option<Duration>) -> Result<(u32, Option<Memory>), OpenError> {
        let mut state = self.live(now, ttl).ok_or(OpenError::NotFound)?;
        state.touch(now);
        let seat = state.next_seat;
        let Queue(chairs) = &mut **state.queue.get_or_insert_default();
        if chairs.len() > MAX_WAITING {
            return Err(OpenError::QueueFull);
        }
        chairs.push_back(Chair { seat, waker: None });
        let is_first = chairs.len() == 1;
        state.next_seat = seat.wrapping_add(1);
        Ok((seat, is_first.then(|| state.memory())))
    }

    /// The memory, once it is this seat's turn; none if the session is gone.
    pub(super) fn poll_turn(&self, seat: u32, cx: &mut Context<'_>) -> Poll<Option<Memory>> {
        let mut state = lock(&self.state);
        if state.is_gone {
            return Poll::Ready(None);
        }
        if state.is_first(seat) {
            return Poll::Ready(Some(state.memory()));
        }
        let previous = state.listen(seat, cx.waker());
        drop(state);
        drop(previous);
        Poll::Pending
    }

    /// Resolves when the session is gone.
    pub(super) fn poll_gone(&self, seat: u32, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.is_gone {
            return Poll::Ready(());
        }
        let previous = state.listen(seat, cx.waker());
        drop(state);
        drop(previous);
        Poll::Pending
    }

    /// Appends, trims and gives up the seat, in one step.
    pub(super) fn commit(&self, seat: u32, new: &[Arc<Message>], keep: MemoryLimit, now: Moment) -> Result<(), Lost> {
        let left = {
            let mut state = lock(&self.state);
            if state.is_gone {
                return Err(Lost::Deleted);
            }
            if !state.is_first(seat) {
                return Err(Lost::FencedOff);
            }
            state.remember(new, keep.as_usize());
            state.leave(seat, now)
        };
        if let Some(left) = left {
            left.wake_next();
        }
        Ok(())
    }

    /// Gives up a seat: the next one goes on. One that has been given up already changes nothing.
    pub(super) fn leave(&self, seat: u32, now: Moment) {
        let left = lock(&self.state).leave(seat, now);
        if let Some(left) = left {
            left.wake_next();
        }
    }

    fn live(&self, now: Moment, ttl: Option<Duration>) -> Option<MutexGuard<'_, State>> {
        let state = lock(&self.state);
        let is_live = !state.is_gone && !state.is_expired(now, ttl);
        is_live.then_some(state)
    }
}

impl State {
    fn touch(&mut self, now: Moment) {
        self.used_at = self.used_at.max(now);
    }

    fn is_expired(&self, now: Moment, ttl: Option<Duration>) -> bool {
        self.queue.is_none() && ttl.is_some_and(|ttl| now.since(self.used_at) >= ttl)
    }

    /// A copy, with room for what the turn will add.
    fn memory(&self) -> Memory {
        let mut memory = Vec::with_capacity(self.memory.len() + 2);
        memory.extend(self.memory.iter().cloned());
        memory
    }

    /// Appends, and keeps the last `keep` messages in no more space than they need.
    fn remember(&mut self, new: &[Arc<Message>], keep: usize) {
        let new = &new[new.len().saturating_sub(keep)..];
        let surplus = (self.memory.len() + new.len()).saturating_sub(keep);
        self.memory.drain(..surplus);
        self.memory.reserve_exact(new.len());
        self.memory.extend(new.iter().cloned());
        if self.memory.capacity() > 2 * self.memory.len() {
            self.memory.shrink_to_fit();
        }
    }

    fn is_first(&self, seat: u32) -> bool {
        let first = self.queue.as_ref().and_then(|queue| queue.0.front());
        first.is_some_and(|chair| chair.seat == seat)
    }

    /// Has the seat's owner woken when its turn comes, or when the session ends. Gives the waker it had before.
    fn listen(&mut self, seat: u32, waker: &Waker) -> Option<Waker> {
        let chair = self.queue.as_mut()?.0.iter_mut().find(|chair| chair.seat == seat)?;
        match &chair.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => chair.waker.replace(waker.clone()),
        }
    }

    fn leave(&mut self, seat: u32, now: Moment) -> Option<Left> {
        let Queue(chairs) = &mut **self.queue.as_mut()?;
        let at = chairs.iter().position(|chair| chair.seat == seat)?;
        let own = chairs.remove(at)?.waker;
        let next = if at == 0 { chairs.front_mut().and_then(|chair| chair.waker.take()) } else { None };
        if chairs.is_empty() {
            self.queue = None;
        }
        self.touch(now);
        Some(Left { next, _own: own })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        // With its reference counts it just fits into the allocator's class of 104 bytes.
        assert!(size_of::<Entry>() <= 88, "{} bytes", size_of::<Entry>());
    }
}

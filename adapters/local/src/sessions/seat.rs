//! The right to a turn: [`Seat`], a place in a session's order of turns that is given up when it is dropped.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    message::Message,
    ports::{
        Clock,
        sessions::{CommitError, Lost, OpenError, Opened, TurnTicket},
    },
    session::MemoryLimit,
    time::Moment,
};
use futures_util::future::{Either, select};

use super::entry::{Entry, Memory};

/// A place in the order of turns. Whoever holds it, a waiting future or a ticket, gives it up by dropping it, at whatever
/// point that happens.
pub(super) struct Seat {
    entry: Arc<Entry>,
    number: u32,
    clock: Arc<dyn Clock>,
    is_given_up: bool,
}

impl Seat {
    /// The last place in the order; with the memory if it is also the first.
    pub(super) fn take(
        entry: Arc<Entry>,
        clock: Arc<dyn Clock>,
        ttl: Option<Duration>,
    ) -> Result<(Self, Option<Memory>), OpenError> {
        let (number, memory) = entry.take_seat(clock.moment(), ttl)?;
        Ok((Self { entry, number, clock, is_given_up: false }, memory))
    }

    /// The turn whose turn it is.
    pub(super) fn open(self, memory: Memory) -> Opened {
        Opened { session: self.entry.session().clone(), memory, ticket: Box::new(Ticket(self)) }
    }

    /// Waits for the turn's turn.
    pub(super) async fn wait(self, deadline: Moment) -> Result<Opened, OpenError> {
        let turn = poll_fn(|cx| self.entry.poll_turn(self.number, cx));
        let memory = match select(turn, self.clock.sleep_until(deadline)).await {
            Either::Left((memory, _)) => memory.ok_or(OpenError::NotFound)?,
            Either::Right(((), _)) => return Err(OpenError::Busy),
        };
        Ok(self.open(memory))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_given_up {
            self.entry.leave(self.number, self.clock.moment());
        }
    }
}

/// A seat whose turn is running.
struct Ticket(Seat);

#[async_trait]
impl TurnTicket for Ticket {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        self.0.entry.poll_gone(self.0.number, cx).map(|()| Lost::Deleted)
    }

    async fn commit(mut self: Box<Self>, new: Arc<[Arc<Message>]>, keep: MemoryLimit) -> Result<(), CommitError> {
        let Seat { entry, number, clock, is_given_up } = &mut self.0;
        entry.commit(*number, &new, keep, clock.moment())?;
        *is_given_up = true;
        Ok(())
    }
}

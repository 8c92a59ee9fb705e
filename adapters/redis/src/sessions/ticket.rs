//! The right to a turn: [`Seat`], a place in a session's order of turns that is given up when it is dropped.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    message::Message,
    ports::{
        Clock,
        sessions::{CommitError, Lost, Opened, Snapshot, TurnTicket, Unavailable},
    },
    session::{Caller, MemoryLimit, SessionId},
};
use fred::types::Value;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{Store, caller_word, registry::Turn, see_to};
use crate::{
    client::Command,
    error::Error,
    scripts::{self, Lua},
};

/// A place in the order of turns, first waiting and then running. Whoever holds it, a future or a ticket, gives it up by
/// dropping it, at whatever point that happens.
pub(super) struct Seat {
    store: Arc<Store>,
    turn: Arc<Turn>,
    number: Uuid,
    caller: String,
    /// There is something of ours in Redis.
    has_place: bool,
    /// Something was sent that was not answered: it may be carried out late.
    is_doubtful: bool,
}

impl Seat {
    pub(super) fn take(store: Arc<Store>, session: SessionId, caller: &Caller) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a ticket is no identity of the domain's, and never shown")]
        let number = Uuid::new_v4();
        let turn = Arc::new(Turn::new(session, format!("{}|{}", store.redis.replica, number.simple())));
        store.registry.add(number, turn.clone());
        Self { store, turn, number, caller: caller_word(caller), has_place: false, is_doubtful: false }
    }

    /// The turn whose turn it is.
    pub(super) fn opened(self, Snapshot { session, memory }: Snapshot) -> Opened {
        self.turn.run();
        Opened { session, memory, ticket: Box::new(Ticket(self)) }
    }

    pub(super) fn turn(&self) -> &Arc<Turn> {
        &self.turn
    }

    pub(super) fn caller(&self) -> &str {
        &self.caller
    }

    pub(super) fn lease(&self) -> Duration {
        self.store.policy.lease
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.store.redis.clock
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.store.redis.runtime
    }

    /// A script of the session that is about this ticket.
    pub(super) fn script(&self, script: &'static Lua) -> Command {
        self.store.script(script, self.turn.session).arg(self.turn.ticket.as_str())
    }

    pub(super) async fn run(&mut self, command: Command) -> Result<Value, Error> {
        // Until it is answered: the future may be dropped.
        let was_doubtful = std::mem::replace(&mut self.is_doubtful, true);
        let result = self.store.redis.run(command).await;
        self.is_doubtful = was_doubtful || result.as_ref().is_err_and(Error::is_doubtful);
        result
    }

    /// Notes whether the seat has a place in Redis.
    pub(super) fn has_place(&mut self, has_place: bool) {
        self.has_place = has_place;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.store.registry.remove(self.number);
        if self.has_place || self.is_doubtful {
            let turn = self.turn.clone();
            let leave = move |store: &Store| store.script(&scripts::LEAVE, turn.session).arg(turn.ticket.as_str());
            // At the latest when a lease has ended the place is given up anyway.
            self.store.redis.runtime.spawn(see_to(self.store.clone(), self.is_doubtful, leave));
        }
    }
}

/// A seat whose turn is running.
struct Ticket(Seat);

#[async_trait]
impl TurnTicket for Ticket {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        self.0.turn.poll_lost(cx)
    }

    /// Tried for as long as there is patience, also without a connection: the answer has been paid for. Sent again it
    /// stores nothing twice.
    async fn commit(self: Box<Self>, new: Arc<[Arc<Message>]>, keep: MemoryLimit) -> Result<(), CommitError> {
        let mut seat = self.0;
        let mut commit = seat.script(&scripts::COMMIT).arg(i64::from(keep.get())).insisting();
        for message in &new[new.len().saturating_sub(keep.as_usize())..] {
            let stored = serde_json::to_string(&**message).map_err(|_| Error::Unreadable("a message"));
            commit = commit.arg(stored.map_err(Unavailable::from)?);
        }
        let answer = seat.run(commit).await.map_err(Unavailable::from)?;
        // Given up in the same step, or lost before it.
        seat.has_place(false);
        match answer.as_str().as_deref() {
            Some("ok") => Ok(()),
            Some("deleted") => Err(Lost::Deleted.into()),
            Some("fenced") => Err(Lost::FencedOff.into()),
            _ => Err(Unavailable::from(Error::Unreadable("an answer")).into()),
        }
    }
}

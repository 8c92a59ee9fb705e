//! What a turn tells while it runs: [`TurnEvents`], a stream that is the turn.
//!
//! The turn's future lives in the stream and is polled by whoever reads it: there is no channel and no task. An event is
//! handed over before the turn goes on, so a slow reader slows its turn and nobody else's, and dropping the stream drops
//! the turn.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;

use crate::{
    chat::{TurnOutcome, error::ChatError},
    message::ToolCall,
    session::SessionId,
};

/// Something that happened in a turn.
#[derive(Debug)]
pub enum TurnEvent {
    /// The turn has begun.
    Started {
        /// Its session.
        session: SessionId,
    },
    /// The model said more.
    Delta(String),
    /// A tool is being called.
    ToolStarted {
        /// The call as the model asked for it.
        call: ToolCall,
        /// The server; empty if there is no such tool.
        server: Arc<str>,
        /// The tool's own name.
        tool: Arc<str>,
    },
    /// A tool call ended.
    ToolFinished {
        /// The call's id.
        call_id: Box<str>,
        /// The server.
        server: Arc<str>,
        /// The tool's own name.
        tool: Arc<str>,
        /// Whether it failed.
        is_error: bool,
        /// How long it took.
        took: Duration,
    },
    /// The turn is over and stored. The last event.
    Completed(Box<TurnOutcome>),
    /// The turn failed and left nothing behind. The last event.
    Failed(ChatError),
}

/// A turn and the events it gives, the last of them [`TurnEvent::Completed`] or [`TurnEvent::Failed`].
pub struct TurnEvents {
    turn: Option<Pin<Box<dyn Future<Output = TurnEvent> + Send>>>,
    slot: Arc<Slot>,
    /// What a running turn costs: the bytes of its future.
    #[cfg(test)]
    pub(crate) size: usize,
}

#[derive(Default)]
struct Slot(Mutex<Option<TurnEvent>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<TurnEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn's side of the stream.
pub(crate) struct Emitter(Arc<Slot>);

impl Emitter {
    /// Hands an event to the reader, and waits until it is taken.
    ///
    /// Only to be awaited by the turn itself, never inside a combinator with wakers of its own: nobody wakes it, the
    /// reader's next look at the stream polls it again.
    pub(crate) async fn emit(&self, event: TurnEvent) {
        *self.0.lock() = Some(event);
        poll_fn(|_| if self.0.lock().is_some() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

impl TurnEvents {
    /// The stream of a turn whose last event is its output.
    pub(crate) fn of<F, T>(turn: F) -> Self
    where
        F: FnOnce(Emitter) -> T,
        T: Future<Output = TurnEvent> + Send + 'static,
    {
        let slot = Arc::new(Slot::default());
        let turn = turn(Emitter(slot.clone()));
        Self {
            #[cfg(test)]
            size: size_of_val(&turn),
            turn: Some(Box::pin(turn)),
            slot,
        }
    }
}

impl Stream for TurnEvents {
    type Item = TurnEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TurnEvent>> {
        let Some(turn) = &mut self.turn else { return Poll::Ready(None) };
        match turn.as_mut().poll(cx) {
            Poll::Ready(last) => {
                self.turn = None;
                Poll::Ready(Some(last))
            }
            Poll::Pending => match self.slot.lock().take() {
                Some(event) => Poll::Ready(Some(event)),
                None => Poll::Pending,
            },
        }
    }
}

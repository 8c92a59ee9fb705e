//! The backlog: what is spooled is written, each session's in its order, several sessions at once, until nothing is left.

use std::{collections::VecDeque, iter, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream};

use super::{Inner, State};
use crate::{
    ports::history::{HistoryError, SpoolError, SpoolId},
    session::SessionId,
};

/// The pause between attempts to reach a database that is away; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A database that comes back is noticed after this time at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An attempt that has not ended by then is given up and made again: the backlog must not hang on one lost answer.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that are written at once. One after the other, a database with a long way to it would take less in than comes in
/// meanwhile; with many more, turns would find none of its connections free.
const LANES_AT_ONCE: usize = 8;

/// What became of some attempts.
#[derive(Default, Clone, Copy)]
struct Outcome {
    written: bool,
    failed: bool,
}

impl Inner {
    /// Puts a spooled operation into its session's lane and sees to it that the lanes are being emptied.
    pub(super) fn enqueue(self: &Arc<Self>, session: SessionId, id: SpoolId) {
        let (backlog, begin) = {
            let mut state = self.state();
            let State { lanes, turns, backlog, draining, .. } = &mut *state;
            let lane = lanes.entry(session).or_insert_with(|| {
                turns.push_back(session);
                VecDeque::new()
            });
            let place = lane.partition_point(|have| *have < id);
            lane.insert(place, id);
            *backlog += 1;
            (*backlog, !std::mem::replace(draining, true))
        };
        self.observer.backlog(backlog);
        if begin {
            let inner = self.clone();
            self.tasks.detach(Box::pin(async move { inner.drain().await }));
        }
    }

    /// Writes what is spooled until nothing is.
    async fn drain(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        while let Some(lanes) = self.lanes_to_drain() {
            let Outcome { written, failed } = self.pass(lanes).await;
            if written {
                pause = FIRST_PAUSE;
            }
            if failed {
                self.clock.sleep_until(self.clock.moment().plus(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Tries so many lanes, each once. A database that is away is asked for one of them alone.
    async fn pass(&self, lanes: usize) -> Outcome {
        let mut tried = false;
        let sessions = iter::from_fn(|| {
            let mut state = self.state();
            (!tried || state.away.is_none()).then(|| state.turns.pop_front()).flatten().inspect(|_| tried = true)
        });
        stream::iter(sessions.take(lanes))
            .map(|session| self.drain_lane(session))
            .buffer_unordered(LANES_AT_ONCE)
            .fold(Outcome::default(), |all, one| async move {
                Outcome { written: all.written | one.written, failed: all.failed | one.failed }
            })
            .await
    }

    /// Writes what a session has in the spool, to the first failure. Its trouble is no reason for others to wait: it is the
    /// last one's turn again then.
    async fn drain_lane(&self, session: SessionId) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(id) = self.first_of(session) {
            // A panic ends what is being done, and not the archiving of all that waits.
            let drained = AssertUnwindSafe(self.drain_one(id)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(session_id = %session, "a spooled record could not be written: a panic");
                false
            });
            if !drained {
                outcome.failed = true;
                self.state().turns.push_back(session);
                break;
            }
            outcome.written = true;
            self.done(session, id);
        }
        outcome
    }

    /// Whether the operation is off the spool.
    async fn drain_one(&self, id: SpoolId) -> bool {
        let op = match self.spool.load(id).await {
            Ok(op) => op,
            Err(SpoolError::Corrupt(error)) => {
                self.bury(id, &error).await;
                return true;
            }
            Err(error) => {
                tracing::warn!(error = %error, "a spooled record cannot be read yet");
                return false;
            }
        };
        match self.apply(&op, DRAIN_PATIENCE).await {
            Ok(_) => {
                if let Err(error) = self.spool.remove(id).await {
                    // Applying it again changes nothing; the next process will.
                    tracing::warn!(error = %error, "a written record stays in the spool");
                }
                true
            }
            Err(HistoryError::Permanent(error)) => {
                self.bury(id, &error).await;
                true
            }
            Err(HistoryError::Unavailable(error)) => {
                self.note_trouble(&error);
                false
            }
        }
    }

    /// How many sessions have something in the spool; with none left, draining is over.
    fn lanes_to_drain(&self) -> Option<usize> {
        let mut state = self.state();
        state.draining = !state.turns.is_empty();
        state.draining.then_some(state.turns.len())
    }

    /// The oldest operation that the session has in the spool.
    fn first_of(&self, session: SessionId) -> Option<SpoolId> {
        self.state().lanes.get(&session)?.front().copied()
    }

    /// Takes an operation off its session's lane, and the lane away with its last one.
    fn done(&self, session: SessionId, id: SpoolId) {
        let backlog = {
            let mut state = self.state();
            let State { lanes, backlog, trouble, .. } = &mut *state;
            if let Some(lane) = lanes.get_mut(&session) {
                // Not simply the first: an older one may have come in meanwhile.
                if let Ok(place) = lane.binary_search(&id) {
                    lane.remove(place);
                    *backlog -= 1;
                }
                if lane.is_empty() {
                    lanes.remove(&session);
                }
            }
            if lanes.is_empty() {
                *trouble = None;
            }
            *backlog
        };
        self.observer.backlog(backlog);
    }
}

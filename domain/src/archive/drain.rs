//! The backlog: what is spooled is written, session by session, until nothing is left.

use std::{collections::VecDeque, sync::Arc, time::Duration};

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
        let (mut pause, mut failed_in_a_row) = (FIRST_PAUSE, 0);
        while let Some((session, id)) = self.next() {
            if self.drain_one(id).await {
                (pause, failed_in_a_row) = (FIRST_PAUSE, 0);
                self.done(session, id);
                continue;
            }
            failed_in_a_row += 1;
            // One session's trouble is no reason for others to wait.
            if self.defer(session) <= failed_in_a_row || self.state().away.is_some() {
                self.clock.sleep_until(self.clock.moment().plus(pause)).await;
                (pause, failed_in_a_row) = ((pause * 2).min(LONGEST_PAUSE), 0);
            }
        }
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
            Err(HistoryError::Unavailable(_)) => false,
        }
    }

    /// The oldest operation of the session whose turn it is; with none left, draining is over.
    fn next(&self) -> Option<(SessionId, SpoolId)> {
        let mut state = self.state();
        let next = state.turns.front().and_then(|session| Some((*session, *state.lanes.get(session)?.front()?)));
        state.draining = next.is_some();
        next
    }

    /// Takes an operation off its session's lane. The session stays first while it has more: were the next one's turn after
    /// each operation, then between any two there would be an attempt for each session in trouble.
    fn done(&self, session: SessionId, id: SpoolId) {
        let backlog = {
            let mut state = self.state();
            let State { lanes, turns, backlog, .. } = &mut *state;
            turns.pop_front();
            if let Some(lane) = lanes.get_mut(&session) {
                // Not simply the first: an older one may have come in meanwhile.
                if let Ok(place) = lane.binary_search(&id) {
                    lane.remove(place);
                    *backlog -= 1;
                }
                if lane.is_empty() {
                    lanes.remove(&session);
                } else {
                    turns.push_front(session);
                }
            }
            *backlog
        };
        self.observer.backlog(backlog);
    }

    /// The next session comes first. Tells how many there are.
    fn defer(&self, session: SessionId) -> usize {
        let mut state = self.state();
        state.turns.pop_front();
        state.turns.push_back(session);
        state.turns.len()
    }
}

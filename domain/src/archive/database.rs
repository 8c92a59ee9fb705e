//! Writing to the database, and what its answers tell about it.

use std::{future::pending, pin::pin, time::Duration};

use futures_util::future::{Either, select};

use super::Inner;
use crate::{
    ports::{
        BoxError,
        history::{HistoryError, HistoryOp},
    },
    time::Moment,
};

impl Inner {
    /// Applies an operation within a bounded time, and draws the conclusion: a database that took it is there; one that did
    /// not, and answers nobody else either, is away.
    pub(super) async fn apply(&self, op: &HistoryOp, patience: Duration) -> Result<bool, HistoryError> {
        let began = self.clock.moment();
        let end = began.plus(patience);
        // While there is time for it: a write that ends without an answer leaves none to ask in.
        let doubt = pin!(async {
            self.clock.sleep_until(began.plus(patience / 2)).await;
            if !self.has_answered_since(began) {
                self.answers_by(end).await;
            }
            pending::<()>().await
        });
        let giving_up = select(self.clock.sleep_until(end), doubt);
        let result = match select(self.store.apply(op), giving_up).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(HistoryError::Unavailable("no answer in time".into())),
        };
        match &result {
            Ok(_) => self.note_answer(),
            // What is thought of one record says nothing of the database's health, and may have been thought without it.
            Err(HistoryError::Permanent(_)) => {
                if self.state().away.is_some() {
                    self.answers_by(end).await;
                }
            }
            // Nor does one that it cannot take yet (a row that somebody has locked), if it answers others.
            Err(HistoryError::Unavailable(error)) => {
                if !self.has_answered_since(began) && !self.answers_by(end).await {
                    self.note_failure(error);
                }
            }
        }
        result
    }

    fn has_answered_since(&self, moment: Moment) -> bool {
        self.state().answered.is_some_and(|answered| answered > moment)
    }

    /// Whether the database answers at all, found out by asking.
    async fn answers_by(&self, end: Moment) -> bool {
        let is_there = self.ping(end).await.is_ok();
        if is_there {
            self.note_answer();
        }
        is_there
    }

    /// Asks the database whether it answers, until then.
    pub(super) async fn ping(&self, end: Moment) -> Result<(), HistoryError> {
        match select(self.store.ping(), self.clock.sleep_until(end)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(HistoryError::Unavailable("no answer in time".into())),
        }
    }

    pub(super) fn note_answer(&self) {
        let now = self.clock.moment();
        let mut state = self.state();
        state.answered = Some(now);
        state.refusing = None;
        if state.away.take().is_some() {
            tracing::info!(backlog = state.backlog, "history database is back");
        }
    }

    /// One session's history cannot be written. Tells whether that is all that is wrong.
    pub(super) fn note_trouble(&self, error: &BoxError) -> bool {
        let mut state = self.state();
        state.trouble = state.away.is_none().then(|| error.to_string());
        state.away.is_none()
    }

    fn note_failure(&self, error: &BoxError) {
        let now = self.clock.now();
        let mut state = self.state();
        let since = state.away.as_ref().map(|(since, _)| *since);
        state.away = Some((since.unwrap_or(now), error.to_string()));
        if since.is_none() {
            tracing::warn!(error = %error, "history database is away: spooling");
        }
    }
}

//! Whether Redis is there, as what is asked of it shows: [`Presence`].

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_domain::{ports::Clock, time::Timestamp};
use tokio::time::Instant;

use crate::{client::PATIENCE, error::Error};

/// What the answers of Redis, and their absence, have shown: logged when it goes and when it is back, and not in between.
pub(crate) struct Presence {
    clock: Arc<dyn Clock>,
    began: Instant,
    /// When it last answered, in milliseconds since `began`.
    answered: AtomicU64,
    /// What `state` says, for those who only want to know that all is well.
    is_doubted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    away_since: Option<Timestamp>,
    /// What keeps from connecting: more than that there is no connection.
    refused: Option<Error>,
}

impl Presence {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            began: Instant::now(),
            answered: AtomicU64::default(),
            is_doubted: AtomicBool::default(),
            state: Mutex::default(),
        }
    }

    /// Redis carried something out.
    pub(crate) fn note_answer(&self) {
        self.answered.store(self.elapsed(), Ordering::Relaxed);
        if self.is_doubted.load(Ordering::Relaxed) && self.is_doubted.swap(false, Ordering::AcqRel) {
            let state = std::mem::take(&mut *self.state());
            if let Some(since) = state.away_since {
                tracing::info!(since = %since, "Redis is back");
            }
        }
    }

    /// Redis did not carry something out. That one answer was late says nothing while others come.
    pub(crate) fn note_failure(&self, error: &Error) {
        // Saturating: an answer may come in between.
        let since_answer = || self.elapsed().saturating_sub(self.answered.load(Ordering::Relaxed));
        let is_late_only = || Duration::from_millis(since_answer()) < PATIENCE;
        match error {
            Error::Silent if is_late_only() => return,
            Error::Disconnected | Error::Lost | Error::Silent | Error::Credentials => {}
            error if error.passes() => {}
            _ => return,
        }
        let why = {
            let mut state = self.state();
            self.is_doubted.store(true, Ordering::Release);
            if state.away_since.is_some() {
                return;
            }
            state.away_since = Some(self.clock.now());
            state.refused.as_ref().unwrap_or(error).clone()
        };
        tracing::warn!(error = %why, "Redis is away");
    }

    /// No connection can be made. Tells whether that is new.
    pub(crate) fn note_refusal(&self, error: Error) -> bool {
        let mut state = self.state();
        self.is_doubted.store(true, Ordering::Release);
        let is_new = state.refused.as_ref() != Some(&error);
        state.refused = Some(error);
        is_new
    }

    /// Since when it has been away, if it is.
    pub(crate) fn away_since(&self) -> Option<Timestamp> {
        self.state().away_since
    }

    /// Why something failed, in as much detail as is known.
    pub(crate) fn why(&self, error: Error) -> Error {
        if error == Error::Disconnected { self.state().refused.clone().unwrap_or(error) } else { error }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

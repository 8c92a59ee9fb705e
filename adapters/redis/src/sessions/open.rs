//! How a turn begins: asking for it, and waiting for it.

use std::{sync::Arc, time::Duration};

use chat_domain::{
    ports::sessions::{MAX_WAITING, OpenError, Opened, Place, Snapshot, Unavailable},
    time::Moment,
};
use fred::types::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{millis, read_message, read_session, ticket::Seat};
use crate::{client::Command, error::Error, scripts};

/// One who waits and has not asked for so long is passed over: it died with its replica.
const ALIVE: Duration = Duration::from_millis(2_800);
/// Asking is what keeps one who waits alive: often enough to outlive a stall of two seconds.
const ASK_EVERY: Duration = Duration::from_millis(700);
/// And not more often than this, whatever Redis thinks: its clock and ours go at their own pace.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// What became of asking.
pub(super) enum Asked {
    /// The turn may run.
    Open(Snapshot),
    /// Not yet: ask again when this time has passed.
    Wait(Duration),
    /// There is no such session.
    Missing,
    /// Too many are waiting.
    Full,
}

impl Asked {
    /// What `open.lua` and `read.lua` answer.
    pub(super) fn read(answer: Value) -> Result<Self, Error> {
        let mut answer = answer.into_array().into_iter();
        let word = answer.next();
        match word.as_ref().and_then(Value::as_str).as_deref() {
            Some("open") => {
                let (Some(session), Some(memory)) = (answer.next(), answer.next()) else {
                    return Err(Error::Unreadable("a session"));
                };
                let memory = memory.into_array().iter().map(read_message).collect::<Result<_, _>>()?;
                Ok(Asked::Open(Snapshot { session: Arc::new(read_session(&session)?), memory }))
            }
            Some("wait") => {
                let wait = answer.next().and_then(|wait| wait.as_u64()).unwrap_or_default();
                Ok(Asked::Wait(Duration::from_millis(wait)))
            }
            Some("none") => Ok(Asked::Missing),
            Some("full") => Ok(Asked::Full),
            _ => Err(Error::Unreadable("an answer")),
        }
    }
}

impl Seat {
    /// Takes the seat's place in the order of turns.
    pub(super) async fn open(mut self, deadline: Moment) -> Result<Place, OpenError> {
        let open = self.request();
        match self.ask(open).await? {
            Ok(opened) => Ok(Place::Open(self.opened(opened))),
            Err(again) => {
                // Looked after by a task of its own: whoever holds the place need not look at it to keep it.
                let (tell, told) = oneshot::channel();
                let runtime = self.runtime().clone();
                runtime.spawn(async move {
                    let mut tell = tell;
                    tokio::select! {
                        // A turn that was opened when nobody wanted it any more is dropped here, and so given back.
                        opened = self.wait(again, deadline) => drop(tell.send(opened)),
                        () = tell.closed() => {}
                    }
                });
                let gone = || OpenError::Unavailable(Error::Disconnected.into());
                Ok(Place::Waiting(Box::pin(async move { told.await.unwrap_or_else(|_| Err(gone())) })))
            }
        }
    }

    /// Waits for the turn's turn.
    async fn wait(mut self, mut again: Duration, deadline: Moment) -> Result<Opened, OpenError> {
        let mut too_late = self.clock().sleep_until(deadline);
        let turn = self.turn().clone();
        loop {
            let next = Instant::now() + again.clamp(ASK_AGAIN, ASK_EVERY);
            tokio::select! {
                biased;
                () = &mut too_late => return Err(OpenError::Busy),
                () = turn.news.notified() => {}
                () = sleep_until(next) => {}
            }
            // Who has waited so far goes on waiting when a connection is lost, within the bounds of any command.
            let open = self.request().insisting();
            let asked = tokio::select! {
                biased;
                asked = self.ask(open) => asked?,
                () = &mut too_late => return Err(OpenError::Busy),
            };
            match asked {
                Ok(opened) => return Ok(self.opened(opened)),
                Err(later) => again = later,
            }
        }
    }

    fn request(&self) -> Command {
        let open = self.script(&scripts::OPEN).arg(self.caller());
        open.arg(millis(self.lease())).arg(millis(ALIVE)).arg(MAX_WAITING as i64)
    }

    /// Asks for the turn: its session, or when to ask again.
    async fn ask(&mut self, open: Command) -> Result<Result<Snapshot, Duration>, OpenError> {
        let answer = self.run(open).await.map_err(Unavailable::from)?;
        let asked = Asked::read(answer);
        // One that cannot be read may have given us a place.
        self.has_place(!matches!(asked, Ok(Asked::Missing | Asked::Full)));
        match asked.map_err(Unavailable::from)? {
            Asked::Open(snapshot) => Ok(Ok(snapshot)),
            Asked::Wait(again) => Ok(Err(again)),
            Asked::Missing => Err(OpenError::NotFound),
            Asked::Full => Err(OpenError::QueueFull),
        }
    }
}

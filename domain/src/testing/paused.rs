//! [`PausedClock`]: tokio's clock, which tests pause; time then passes only while nothing can go on.

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use super::samples::THEN;
use crate::{
    ports::Clock,
    time::{Moment, Timestamp},
};

pub(crate) struct PausedClock(Instant);

impl PausedClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.0.elapsed().as_millis()).expect("tests are short");
        Timestamp::from_millis(THEN + millis)
    }

    fn moment(&self) -> Moment {
        Moment(self.0.elapsed())
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        match self.0.checked_add(until.0) {
            Some(instant) => tokio::time::sleep_until(instant).boxed(),
            None => std::future::pending().boxed(),
        }
    }
}

//! A child's process group.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, test_kill_process_group, waitpgid};
use tokio::{process::Child, time::sleep};

use crate::guard::{Guard, kill_group};

/// The group that a child leads. It is killed at its end, and the guard knows of it until then.
pub(crate) struct Group {
    number: Option<Pid>,
    /// Its number may be somebody else's.
    ended: bool,
    guard: Guard,
}

impl Group {
    pub(crate) fn led_by(child: &Child, guard: &Guard) -> Self {
        let number = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(number) = number {
            guard.watch(number);
        }
        Self { number, ended: false, guard: guard.clone() }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(number) = self.number.filter(|_| !self.ended) {
            kill_group(number, signal);
        }
    }

    /// Kills all that are left of it; to be called at once when its leader has been waited for.
    pub(crate) fn end(&mut self) {
        self.signal(Signal::KILL);
        if let Some(number) = self.number.filter(|_| !self.ended) {
            self.guard.forget(number);
        }
        self.ended = true;
    }

    /// Resolves when none of it is left.
    pub(crate) async fn gone(&self) {
        while self.number.is_some_and(|number| test_kill_process_group(number).is_ok()) {
            // The leader's children are somebody else's to reap, unless we are the first process (of a container).
            while self.number.is_some_and(|number| matches!(waitpgid(number, WaitOptions::NOHANG), Ok(Some(_)))) {}
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

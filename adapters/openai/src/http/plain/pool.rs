//! The connections to one host that wait for the next call.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::Uri;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::super::{IDLE_TIMEOUT, TransportError, connect::Reach};

/// Connections that are kept unused at the most. However many turns run, few connections are unused at a time; it is
/// after a rush that more would be left than the next one needs.
const MOST_IDLE: usize = 256;

/// How often those that nobody needs are looked for: a host that closes has its end of a connection waiting so long.
const SWEEP: Duration = Duration::from_secs(5);

/// Connections to one host.
pub(crate) struct Pool {
    reach: Reach,
    to: Uri,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one that was used last is at the back, and is used next: what is not needed grows old at the front.
    connections: VecDeque<(TcpStream, Instant)>,
    is_swept: bool,
}

/// A connection on which nothing is under way.
pub(super) struct Connection {
    pub(super) tcp: TcpStream,
    /// Whether it has been used before, and so may have been closed meanwhile.
    pub(super) was_kept: bool,
}

impl Pool {
    /// No connection yet to the host of this URL.
    pub(in crate::http) fn new(reach: Reach, to: Uri) -> Self {
        Self { reach, to, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn take(&self) -> Result<Connection, TransportError> {
        while let Some(tcp) = self.take_kept() {
            if is_quiet(&tcp) {
                return Ok(Connection { tcp, was_kept: true });
            }
        }
        let tcp = self.reach.open(&self.to).await.map_err(|error| TransportError::unreached(&*error))?;
        Ok(Connection { tcp, was_kept: false })
    }

    fn take_kept(&self) -> Option<TcpStream> {
        let mut idle = self.idle();
        let (tcp, since) = idle.connections.pop_back()?;
        if since.elapsed() < IDLE_TIMEOUT {
            return Some(tcp);
        }
        // All others are older.
        idle.connections.clear();
        None
    }

    pub(super) fn give_back(self: &Arc<Self>, tcp: TcpStream) {
        let must_sweep = {
            let mut idle = self.idle();
            if idle.connections.len() >= MOST_IDLE {
                return;
            }
            idle.connections.push_back((tcp, Instant::now()));
            !std::mem::replace(&mut idle.is_swept, true)
        };
        if must_sweep {
            sweep_while_needed(Arc::downgrade(self));
        }
    }

    /// Closes what is too old, or closed by the host; whether anything is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle();
        idle.connections.retain(|(tcp, since)| since.elapsed() < IDLE_TIMEOUT && is_quiet(tcp));
        idle.is_swept = !idle.connections.is_empty();
        idle.is_swept
    }
}

/// Whether a connection on which nothing is under way is still open and says nothing. Asks the kernel only if it has told
/// of something.
fn is_quiet(tcp: &TcpStream) -> bool {
    tcp.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[expect(clippy::disallowed_methods, reason = "holds nothing that would have to be brought to an end")]
fn sweep_while_needed(pool: Weak<Pool>) {
    tokio::spawn(async move {
        loop {
            sleep(SWEEP).await;
            if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests;

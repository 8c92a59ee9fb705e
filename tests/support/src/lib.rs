//! What the tests need from outside the code under test: an OpenAI-compatible upstream that
//! follows a script, the service as a child process, a client for it, temporary folders.
//!
//! Everything listens on port 0 of 127.0.0.1 and is gone when its handle is dropped, so tests run
//! side by side. Failures inside the scenery panic in the test: what a scripted upstream could
//! not answer must not look like a fault of the service.

pub mod browser;
pub mod client;
pub mod mariadb;
pub mod mcp;
pub mod redis;
pub mod secantus;
pub mod service;
mod signal;
mod temp;
pub mod upstream;

pub use client::{Answer, Client, Event, Events};
pub use mariadb::MariaDb;
pub use redis::{RedisCluster, RedisSentinels, RedisServer};
pub use secantus::MongoDb;
pub use service::{Exit, Launch, Service};
pub use temp::TempDir;
pub use upstream::{Cut, DeadPort, Gate, RecordedRequest, Reply, Upstream};

use std::sync::Once;
use std::time::Duration;

/// Picks the process's TLS implementation once; reqwest cannot build a client without one.
///
/// [`Client`] calls it by itself. A test that makes reqwest clients of its own calls it first.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that somebody else was first, which serves us as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The pause between two looks at a condition.
#[doc(hidden)]
pub async fn poll_pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Waits until a condition holds, and fails the test when it does not within the given time.
///
/// The condition is evaluated again and again; it may `.await`.
///
/// ```
/// # use std::time::Duration;
/// # use chat_test_support::assert_eventually;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let start = std::time::Instant::now();
/// assert_eventually!(start.elapsed() > Duration::from_millis(10), Duration::from_secs(1));
/// # }
/// ```
#[macro_export]
macro_rules! assert_eventually {
    ($condition:expr, $within:expr $(,)?) => {{
        let within: ::std::time::Duration = $within;
        let deadline = ::std::time::Instant::now() + within;
        loop {
            // A look may take long itself: the last one is begun after the deadline.
            let is_late = ::std::time::Instant::now() >= deadline;
            if $condition {
                break;
            }
            assert!(!is_late, "not true within {within:?}: {}", stringify!($condition));
            $crate::poll_pause().await;
        }
    }};
}

/// How often something is done at most that has to be quick once.
const ROUNDS: usize = 3;

/// Does something again until it took less than `bound`, by its own account: a busy machine is late now and then, a broken
/// promise is late in every round. Each round has to begin as the first one did.
///
/// # Panics
/// When none of three rounds was quick enough.
pub async fn assert_in_time(what: &str, bound: Duration, round: impl AsyncFn() -> Duration) {
    let mut late = Vec::new();
    while late.len() < ROUNDS {
        let took = round().await;
        if took < bound {
            return;
        }
        late.push(took);
    }
    panic!("{what}: never within {bound:?}: {late:?}");
}

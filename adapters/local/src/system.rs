//! What a process has by itself: time, identities, chance, background work.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chat_domain::{
    message::MessageId,
    ports::{Clock, Ids, Random, Tasks},
    session::SessionId,
    time::{Moment, Timestamp},
};
use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, time::Instant};
use tokio_util::task::TaskTracker;
use uuid::{NoContext, Uuid};

/// The machine's wall clock.
pub fn now() -> Timestamp {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    })
}

/// The machine's clocks. Moments count from when it was made; sleeping needs a tokio runtime with time, whose clock it
/// follows also while that is paused.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose moments begin now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }

    fn moment(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        match self.origin.checked_add(until.0) {
            Some(at) => Box::pin(tokio::time::sleep_until(at)),
            // Beyond what an instant can hold: the end of time.
            None => Box::pin(std::future::pending()),
        }
    }
}

/// UUIDs from the thread's cryptographic generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the port that others are sent to")]
    fn session(&self) -> SessionId {
        SessionId(Uuid::new_v4())
    }

    fn message(&self, at: Timestamp) -> MessageId {
        // A UUID of version 7 cannot be of before 1970.
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let nanos = (millis % 1000) as u32 * 1_000_000;
        MessageId(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1000, nanos)))
    }
}

/// Chance that is cheap and guessable: for jitter.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn unit(&self) -> f64 {
        thread_local! {
            // Every hasher of the process has keys of its own; `| 1`, because xorshift never leaves 0.
            static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
        }
        let bits = STATE.with(|state| {
            // xorshift64*
            let mut x = state.get();
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            state.set(x);
            x.wrapping_mul(0x2545_f491_4f6c_dd1d)
        });
        // As many bits as a float holds exactly.
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Background work that the service's end waits for. Cloning gives the same tracker.
#[derive(Debug, Clone)]
pub struct TrackedTasks {
    tracker: TaskTracker,
    runtime: Handle,
}

impl TrackedTasks {
    /// Work of this runtime.
    pub fn new(runtime: Handle) -> Self {
        Self { tracker: TaskTracker::new(), runtime }
    }

    /// Waits until all work has ended, also what is begun meanwhile. Without a bound of its own: how long the service's
    /// end may take is the caller's to say. It can be called again, and work begun after it runs as well.
    pub async fn close_and_wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// How much is running.
    #[cfg(test)]
    fn running(&self) -> usize {
        self.tracker.len()
    }
}

impl Tasks for TrackedTasks {
    fn detach(&self, work: BoxFuture<'static, ()>) {
        // On the runtime by name: what is detached by a destructor may be outside of any.
        self.tracker.spawn_on(work, &self.runtime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::HashSet,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn sleeps_until_the_moment_and_not_longer() {
        let clock = SystemClock::new();
        let until = clock.moment().plus(Duration::from_secs(3600));
        clock.sleep_until(until).await;
        assert!(clock.moment() >= until && clock.moment().since(until) <= Duration::from_millis(1));
        assert!(clock.sleep_until(until).now_or_never().is_some());
        assert!(clock.sleep_until(Moment(Duration::MAX)).now_or_never().is_none());
        assert!(clock.now().as_millis() > 1_700_000_000_000);
    }

    #[test]
    fn ids_are_of_their_version_and_time() {
        let ids = SystemIds;
        assert_eq!(ids.session().0.get_version_num(), 4);
        for millis in [0, 1, 1_763_805_600_123, 253_402_300_799_999] {
            let id = ids.message(Timestamp::from_millis(millis)).0;
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.as_u128() >> 80, millis as u128);
        }
        assert_eq!(ids.message(Timestamp::from_millis(-5)).0.as_u128() >> 80, 0);
        let at = Timestamp::from_millis(7);
        let many: HashSet<MessageId> = (0..10_000).map(|_| ids.message(at)).collect();
        assert_eq!(many.len(), 10_000);
    }

    #[test]
    fn chance_is_evenly_spread() {
        let mut tenths = [0u32; 10];
        for _ in 0..100_000 {
            let unit = SystemRandom.unit();
            assert!((0.0..1.0).contains(&unit));
            tenths[(unit * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (9_000..11_000).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_all_work() {
        let tasks = TrackedTasks::new(Handle::current());
        let done = Arc::new(AtomicUsize::new(0));
        let (nested, count) = (tasks.clone(), done.clone());
        tasks.detach(Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let later = count.clone();
            nested.detach(Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                later.fetch_add(1, Ordering::Relaxed);
            }));
            count.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(tasks.running(), 1);
        tasks.close_and_wait().await;
        assert_eq!(done.load(Ordering::Relaxed), 2);
        let count = done.clone();
        std::thread::spawn({
            let tasks = tasks.clone();
            move || tasks.detach(Box::pin(async move { count.store(9, Ordering::Relaxed) }))
        })
        .join()
        .expect("work can be detached from outside of the runtime");
        tasks.close_and_wait().await;
        assert_eq!(done.load(Ordering::Relaxed), 9);
    }
}

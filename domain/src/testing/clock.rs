//! [`FakeClock`], [`FixedRandom`] and [`SeqIds`]: time, chance and identities as a test wants them.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::{future::BoxFuture, task::AtomicWaker};

use super::samples::THEN;
use crate::{
    message::MessageId,
    ports::{Clock, Ids, Random},
    session::SessionId,
    time::{Moment, Timestamp},
};

/// A clock that stands until it is moved. Cloning gives the same clock.
///
/// Its wall clock begins at [`THEN`] and goes with the monotonic one, unless it is set or stopped.
#[derive(Clone)]
pub struct FakeClock(Arc<Mutex<State>>);

struct State {
    moment: Moment,
    wall: Timestamp,
    wall_stands: bool,
    next_sleeper: u64,
    sleepers: BTreeMap<(Moment, u64), Waker>,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeClock {
    /// A clock at the origin of its moments.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            moment: Moment::default(),
            wall: Timestamp::from_millis(THEN),
            wall_stands: false,
            next_sleeper: 0,
            sleepers: BTreeMap::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass, and wakes those whose time has come.
    pub fn advance(&self, time: Duration) {
        let due = {
            let mut state = self.lock();
            state.moment = state.moment.plus(time);
            if !state.wall_stands {
                let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                state.wall = Timestamp::from_millis(state.wall.as_millis().saturating_add(millis));
            }
            let now = state.moment;
            let later = state.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Lets time pass until the first sleeper's time has come; false if nobody sleeps.
    pub fn advance_to_next_sleeper(&self) -> bool {
        let time = {
            let state = self.lock();
            state.sleepers.keys().next().map(|(until, _)| until.since(state.moment))
        };
        time.inspect(|time| self.advance(*time)).is_some()
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    /// Sets the wall clock, forwards or back; the monotonic one does not notice.
    pub fn set_wall(&self, wall: Timestamp) {
        self.lock().wall = wall;
    }

    /// Stops the wall clock; the monotonic one goes on.
    pub fn stop_wall(&self) {
        self.lock().wall_stands = true;
    }

    /// Runs a future to its end, moving the clock to the next sleeper whenever nothing else can go on: hours pass in no
    /// time. What is not part of the future counts as nothing, unless it wakes it.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        poll_fn(|cx| {
            woken.outer.register(cx.waker());
            loop {
                woken.inner.store(false, Ordering::SeqCst);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Poll::Ready(output);
                }
                if !woken.inner.load(Ordering::SeqCst) && !self.advance_to_next_sleeper() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

#[derive(Default)]
struct Woken {
    inner: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.inner.store(true, Ordering::SeqCst);
        self.outer.wake();
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.lock().wall
    }

    fn moment(&self) -> Moment {
        self.lock().moment
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { clock: self.clone(), until, key: None })
    }
}

struct Sleep {
    clock: FakeClock,
    until: Moment,
    key: Option<(Moment, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (until, key) = (self.until, self.key);
        let key = {
            let mut state = self.clock.lock();
            if state.moment >= until {
                return Poll::Ready(());
            }
            let key = key.unwrap_or_else(|| {
                state.next_sleeper += 1;
                (until, state.next_sleeper)
            });
            state.sleepers.insert(key, cx.waker().clone());
            key
        };
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.lock().sleepers.remove(&key);
        }
    }
}

/// Chance that always comes out the same.
#[derive(Debug, Clone, Copy)]
pub struct FixedRandom(pub f64);

impl Random for FixedRandom {
    fn unit(&self) -> f64 {
        self.0
    }
}

/// Identities that count: valid versions 4 and 7, no two the same, the same in every run.
#[derive(Debug, Default)]
pub struct SeqIds(AtomicU64);

impl SeqIds {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Ids for SeqIds {
    fn session(&self) -> SessionId {
        SessionId(uuid::Builder::from_random_bytes(u128::from(self.next()).to_be_bytes()).into_uuid())
    }

    fn message(&self, at: Timestamp) -> MessageId {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.next().to_be_bytes());
        let millis = u64::try_from(at.as_millis()).unwrap_or_default();
        MessageId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::join3};

    fn millis(n: u64) -> Moment {
        Moment(Duration::from_millis(n))
    }

    #[test]
    fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = FakeClock::new();
        let mut sleeper = clock.sleep_until(millis(10));
        assert!(clock.sleep_until(millis(0)).now_or_never().is_some());
        assert!((&mut sleeper).now_or_never().is_none());
        clock.advance(Duration::from_millis(9));
        assert!((&mut sleeper).now_or_never().is_none());
        assert_eq!(clock.sleepers(), 1);
        clock.advance(Duration::from_millis(1));
        assert!(sleeper.now_or_never().is_some());
        drop(clock.sleep_until(millis(100)));
        assert_eq!((clock.sleepers(), clock.moment()), (0, millis(10)));
        assert_eq!(clock.now(), Timestamp::from_millis(THEN + 10));
    }

    #[test]
    fn a_run_passes_hours_in_no_time_and_in_order() {
        let clock = FakeClock::new();
        clock.stop_wall();
        let order = Mutex::new(vec![]);
        let sleep = |n: u64| {
            let (clock, order) = (&clock, &order);
            async move {
                clock.sleep_until(millis(n * 1_000_000)).await;
                order.lock().expect("no panic").push((n, clock.moment()));
            }
        };
        clock.run(join3(sleep(3), sleep(1), sleep(2))).now_or_never().expect("it ends");
        let expected = [1, 2, 3].map(|n| (n, millis(n * 1_000_000)));
        assert_eq!(*order.lock().expect("no panic"), expected);
        assert_eq!(clock.now(), Timestamp::from_millis(THEN));
    }

    #[test]
    fn ids_are_of_their_versions_and_sort_by_time() {
        let ids = SeqIds::default();
        assert_eq!(ids.session().0.get_version_num(), 4);
        assert_ne!(ids.session(), ids.session());
        let (late, early) = (ids.message(Timestamp::from_millis(9)), ids.message(Timestamp::from_millis(8)));
        assert_eq!(late.0.get_version_num(), 7);
        assert!(early < late && late < ids.message(Timestamp::from_millis(9)));
    }
}

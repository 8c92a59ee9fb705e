//! The backlog is written, in order, without end and without hurry.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::{join, join_all};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_next_process_takes_up_what_was_left() {
    let first = Stack::new(100);
    let (one, other) = (Arc::new(session(0)), Arc::new(session(1)));
    first.history.set_mode(HistoryMode::Down);
    for n in 1..=2 {
        first.record(&one, n).await;
        first.record(&other, n).await;
    }
    // It dies; its tasks die with it.
    let second = first.restarted();
    second.history.set_mode(HistoryMode::Up);
    assert_eq!(second.archive.resume().await.ok(), Some(4));
    assert_eq!(second.state(), (HealthState::Degraded, 4));
    // A turn that comes before the backlog is written comes after it in the archive.
    second.record(&one, 3).await;
    second.holds(&one, &[]);
    second.tasks.run().await;
    second.holds(&one, &["q1", "a1", "q2", "a2", "q3", "a3"]);
    second.holds(&other, &["q1", "a1", "q2", "a2"]);
    assert_eq!((second.spooled(), second.state()), (0, (HealthState::Up, 0)));
    assert_eq!(first.restarted().archive.resume().await.ok(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_cannot_be_read_is_told_at_the_start() {
    let it = Stack::new(10);
    it.spool.set_broken(true);
    assert!(matches!(it.archive.resume().await, Err(SpoolError::Io(_))));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_written_by_the_dead_is_not_written_twice() {
    let first = Stack::new(100);
    let session = Arc::new(session(0));
    first.history.set_mode(HistoryMode::Silent);
    first.record(&session, 1).await;
    let second = first.restarted();
    second.history.set_mode(HistoryMode::Up);
    second.archive.resume().await.expect("a spool that can be read");
    second.tasks.run().await;
    second.holds(&session, &["q1", "a1"]);
}

#[tokio::test(start_paused = true)]
async fn the_backlog_is_counted_up_and_down() {
    let it = Stack::new(100);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Down);
    for n in 1..=3 {
        it.record(&session, n).await;
    }
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    assert_eq!(it.observer.take(), [1, 2, 3, 2, 1, 0].map(Seen::Backlog));
}

#[tokio::test(start_paused = true)]
async fn one_drain_runs_at_a_time_and_ends_when_nothing_is_left() {
    let it = Stack::new(100);
    let session = Arc::new(session(0));
    for round in 0..2 {
        it.history.set_mode(HistoryMode::Down);
        it.record(&session, 2 * round).await;
        it.record(&session, 2 * round + 1).await;
        assert_eq!(it.tasks.len(), 1);
        it.history.set_mode(HistoryMode::Up);
        it.tasks.run().await;
        assert_eq!((it.tasks.len(), it.spooled()), (0, 0));
    }
}

/// The pauses between attempts double, are bounded, and begin anew once something was written.
#[tokio::test(start_paused = true)]
async fn attempts_are_made_with_growing_bounded_pauses() {
    let it = Stack::new(100);
    it.history.set_mode(HistoryMode::Down);
    let session = Arc::new(session(0));
    it.record(&session, 1).await;
    let asked_at = Mutex::new(Vec::new());
    let watch = async {
        let (began, mut seen) = (it.clock.moment(), it.history.asked());
        while asked_at.lock().expect("no panic").len() < 10 {
            if it.history.asked() > seen {
                seen = it.history.asked();
                asked_at.lock().expect("no panic").push(it.clock.moment().since(began).as_millis());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        it.history.set_mode(HistoryMode::Up);
    };
    join(watch, it.tasks.run()).await;
    let asked_at = asked_at.into_inner().expect("no panic");
    let pauses: Vec<_> = asked_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
    for (pause, expected) in pauses.iter().zip(expected) {
        assert!(pause.abs_diff(expected) <= 5, "{pauses:?}");
    }
    it.holds(&session, &["q1", "a1"]);
}

#[tokio::test(start_paused = true)]
async fn pauses_begin_anew_once_something_was_written() {
    let it = Stack::new(100);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Down);
    for n in 1..=3 {
        it.record(&session, n).await;
    }
    let flicker = async {
        // The pauses have grown to their longest; then two records are written, and the third finds the database away.
        tokio::time::sleep(Duration::from_secs(30)).await;
        let asked = it.history.asked();
        it.history.set_mode(HistoryMode::Slow(Duration::from_millis(10)));
        while it.history.asked() < asked + 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        it.history.set_mode(HistoryMode::Down);
        while it.history.asked() < asked + 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        it.history.set_mode(HistoryMode::Up);
        it.clock.moment()
    };
    let (back, ()) = join(flicker, it.tasks.run()).await;
    it.holds(&session, &["q1", "a1", "q2", "a2", "q3", "a3"]);
    let noticed = it.clock.moment().since(back);
    assert!(noticed <= Duration::from_millis(100), "{noticed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_answer_is_lost_is_made_again() {
    let it = Stack::new(100);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Hanging);
    it.record(&session, 1).await;
    let revive = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        it.history.set_mode(HistoryMode::Up);
    };
    let (_, millis) = it.timed(join(it.tasks.run(), revive)).await;
    it.holds(&session, &["q1", "a1"]);
    assert!((10_000..16_000).contains(&millis), "after {millis} ms");
}

#[tokio::test(start_paused = true)]
async fn a_written_record_that_stays_in_the_spool_is_written_once() {
    let it = Stack::new(100);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Down);
    it.record(&session, 1).await;
    it.history.set_mode(HistoryMode::Up);
    it.spool.set_stuck(true);
    it.tasks.run().await;
    it.holds(&session, &["q1", "a1"]);
    assert_eq!((it.spooled(), it.state().1), (1, 0));
    let next = it.restarted();
    it.spool.set_stuck(false);
    next.archive.resume().await.expect("a spool that can be read");
    next.tasks.run().await;
    next.holds(&session, &["q1", "a1"]);
    assert_eq!(next.spooled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_cannot_be_read_for_a_while_keeps_its_records() {
    let it = Stack::new(100);
    let (one, other) = (Arc::new(session(0)), Arc::new(session(1)));
    it.history.set_mode(HistoryMode::Down);
    it.record(&one, 1).await;
    it.record(&other, 1).await;
    it.history.set_mode(HistoryMode::Up);
    it.spool.set_broken(true);
    let repair = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        it.spool.set_broken(false);
    };
    join(it.tasks.run(), repair).await;
    it.holds(&one, &["q1", "a1"]);
    it.holds(&other, &["q1", "a1"]);
    assert_eq!((it.spooled(), it.state()), (0, (HealthState::Up, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_record_cannot_be_written_yet_blocks_no_other() {
    let it = Stack::new(100);
    let (bad, good) = (Arc::new(session(0)), Arc::new(session(1)));
    it.history.set_mode(HistoryMode::Down);
    for n in 1..=2 {
        it.record(&bad, n).await;
        it.record(&good, n).await;
    }
    it.spool.set_unreadable(it.spool.ids().first().copied());
    it.history.set_mode(HistoryMode::Up);
    let repair = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        it.holds(&good, &["q1", "a1", "q2", "a2"]);
        it.holds(&bad, &[]);
        it.spool.set_unreadable(None);
    };
    join(it.tasks.run(), repair).await;
    it.holds(&bad, &["q1", "a1", "q2", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn records_of_many_sessions_that_come_while_it_drains_are_all_written() {
    let it = Stack::new(1000);
    let sessions: Vec<_> = (0..10).map(|millis| Arc::new(session(millis))).collect();
    it.history.set_mode(HistoryMode::Down);
    it.record(&sessions[0], 0).await;
    let write = join_all(sessions.iter().enumerate().map(|(index, session)| {
        let it = &it;
        async move {
            for n in 1..=20 {
                let pause = Duration::from_millis(index as u64 * 3 + 10);
                tokio::time::sleep(pause).await;
                it.record(session, n).await;
            }
        }
    }));
    let flicker = async {
        for mode in [HistoryMode::Up, HistoryMode::Hanging, HistoryMode::Silent, HistoryMode::Down, HistoryMode::Up] {
            tokio::time::sleep(Duration::from_millis(150)).await;
            it.history.set_mode(mode);
        }
    };
    futures_util::join!(it.tasks.run(), write, flicker);
    it.tasks.run().await;
    for session in &sessions {
        let held = it.history.contents(session.id).expect("archived");
        let held: Vec<&str> = held.iter().map(String::as_str).filter(|content| !content.ends_with(['0'])).collect();
        let expected = (1..=20).filter(|n| n % 10 != 0).flat_map(|n| [format!("q{n}"), format!("a{n}")]);
        assert_eq!(held, expected.collect::<Vec<_>>());
    }
    assert_eq!((it.spooled(), it.state()), (0, (HealthState::Up, 0)));
}

/// A spool whose first answer comes late, so that two appends end in the other order.
struct Overtaking(MemorySpool, AtomicUsize);

#[async_trait]
impl Spool for Overtaking {
    async fn append(&self, op: &HistoryOp) -> Result<SpoolId, SpoolError> {
        let id = self.0.append(op).await;
        if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        id
    }

    async fn pending(&self) -> Result<Vec<(SpoolId, SessionId)>, SpoolError> {
        self.0.pending().await
    }

    async fn load(&self, id: SpoolId) -> Result<HistoryOp, SpoolError> {
        // Long enough for the first append's answer to come in between.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.load(id).await
    }

    async fn remove(&self, id: SpoolId) -> Result<(), SpoolError> {
        self.0.remove(id).await
    }

    async fn bury(&self, id: SpoolId, reason: &str) -> Result<(), SpoolError> {
        self.0.bury(id, reason).await
    }

    async fn probe(&self) -> Result<(), SpoolError> {
        self.0.probe().await
    }

    fn is_durable(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_is_overtaken_is_not_lost() {
    let plain = Stack::new(100);
    let spool = Arc::new(Overtaking(plain.spool.clone(), AtomicUsize::new(0)));
    let it = Stack::over(plain.clock.clone(), plain.history.clone(), plain.spool.clone(), spool);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Down);
    let drain = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        it.history.set_mode(HistoryMode::Up);
        it.tasks.run().await;
    };
    futures_util::join!(it.record(&session, 1), it.record(&session, 2), drain);
    it.tasks.run().await;
    it.holds(&session, &["q1", "a1", "q2", "a2"]);
    assert_eq!((it.spooled(), it.state()), (0, (HealthState::Up, 0)));
}

/// A database that is far away takes in more than comes in meanwhile.
#[tokio::test(start_paused = true)]
async fn several_sessions_are_written_at_once_and_each_in_its_order() {
    let it = Stack::new(1_000);
    let sessions: Vec<_> = (0..24).map(|n| Arc::new(session(n))).collect();
    it.history.set_mode(HistoryMode::Down);
    for n in 1..=5 {
        for session in &sessions {
            it.record(session, n).await;
        }
    }
    it.history.set_mode(HistoryMode::Slow(Duration::from_millis(100)));
    let ((), took) = it.timed(it.tasks.run()).await;
    // 120 operations of 100 ms: the first session's alone, since it is not known whether the database is back.
    assert!((1_900..=2_500).contains(&took), "{took} ms");
    let all: Vec<_> = (1..=5).flat_map(|n| [format!("q{n}"), format!("a{n}")]).collect();
    for session in &sessions {
        it.holds(session, &all.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert_eq!((it.spooled(), it.state()), (0, (HealthState::Up, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_an_attempt_and_not_the_drain() {
    let it = Stack::new(10);
    let (one, other) = (Arc::new(session(0)), Arc::new(session(1)));
    it.history.set_mode(HistoryMode::Down);
    it.record(&one, 1).await;
    it.record(&other, 1).await;
    it.history.set_mode(HistoryMode::Panicking);
    let mend = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(it.state().1, 2);
        it.history.set_mode(HistoryMode::Up);
    };
    join(mend, it.tasks.run()).await;
    it.holds(&one, &["q1", "a1"]);
    it.holds(&other, &["q1", "a1"]);
    assert_eq!(it.state(), (HealthState::Up, 0));
}

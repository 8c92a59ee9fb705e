//! One session's record cannot be written, or not yet: that is its own matter.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_locked_row_sends_no_other_session_to_the_spool() {
    let it = Stack::new(100);
    let (locked, other) = (Arc::new(session(0)), Arc::new(session(1)));
    it.history.hold(locked.id, true);
    assert_eq!(it.timed(it.record(&locked, 1)).await.1, 500);
    let meanwhile = async {
        for n in 1..=40 {
            assert_eq!(it.timed(it.record(&other, n)).await.1, 0);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!((it.spooled(), it.state()), (1, (HealthState::Degraded, 1)));
        }
        // Not even those of the session itself keep a client waiting again.
        assert_eq!(it.timed(it.record(&locked, 2)).await.1, 0);
        it.history.hold(locked.id, false);
    };
    futures_util::join!(it.tasks.run(), meanwhile);
    it.holds(&locked, &["q1", "a1", "q2", "a2"]);
    assert_eq!(it.history.contents(other.id).map(|contents| contents.len()), Some(80));
    assert_eq!((it.spooled(), it.state()), (0, (HealthState::Up, 0)));
}

/// A table that was renamed, a server that is read-only: it answers, and takes nothing.
#[tokio::test(start_paused = true)]
async fn health_tells_why_what_waits_is_not_written() {
    let it = Stack::new(10);
    let session = Arc::new(session(0));
    it.history.hold(session.id, true);
    it.record(&session, 1).await;
    let health = it.health();
    assert_eq!((health.state, health.last_error.as_deref()), (HealthState::Degraded, Some("no answer in time")));
    it.history.hold(session.id, false);
    it.tasks.run().await;
    let health = it.health();
    assert_eq!((health.state, health.last_error), (HealthState::Up, None));
}

#[tokio::test(start_paused = true)]
async fn what_was_spooled_of_others_waits_for_one_attempt_at_the_most() {
    let it = Stack::new(100);
    let (locked, others) = (Arc::new(session(0)), [1, 2, 3].map(|n| Arc::new(session(n))));
    it.history.set_mode(HistoryMode::Down);
    it.record(&locked, 1).await;
    for other in &others {
        for n in 1..=5 {
            it.record(other, n).await;
        }
    }
    it.history.hold(locked.id, true);
    it.history.set_mode(HistoryMode::Up);
    let watch = async {
        tokio::time::sleep(Duration::from_secs(11)).await;
        for other in &others {
            assert_eq!(it.history.contents(other.id).map(|contents| contents.len()), Some(10));
        }
        it.history.hold(locked.id, false);
    };
    futures_util::join!(it.tasks.run(), watch);
    it.holds(&locked, &["q1", "a1"]);
}

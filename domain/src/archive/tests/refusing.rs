//! Nothing can be kept: turns are refused before they begin, and let in again as soon as something can.

use super::*;

/// A database that is down and a spool that is full, both known to be.
async fn full() -> (Stack, Arc<Session>) {
    let it = Stack::new(1);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Down);
    it.record(&session, 1).await;
    it.archive.record(&session, &turn(2)).await.expect_err("nothing can take it");
    (it, session)
}

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn while_anything_can_take_a_record_turns_begin() {
    let it = Stack::new(10);
    let session = Arc::new(session(0));
    it.archive.admit(None).await.expect("all is well");
    it.history.set_mode(HistoryMode::Down);
    it.record(&session, 1).await;
    it.archive.admit(Some(session.id)).await.expect("the spool has room");
    it.history.set_mode(HistoryMode::Up);
    it.spool.set_broken(true);
    later(5).await;
    it.archive.admit(None).await.expect("the database answers");
}

#[tokio::test(start_paused = true)]
async fn when_nothing_can_turns_are_refused() {
    let (it, session) = full().await;
    assert_eq!(it.state(), (HealthState::Down, 1));
    let error = it.archive.admit(Some(session.id)).await.expect_err("refused");
    assert!(error.0.to_string().contains("full"), "{error:?}");
    for _ in 0..3 {
        later(2).await;
        it.archive.admit(None).await.expect_err("refused");
    }
    assert_eq!(it.state(), (HealthState::Down, 1));
}

/// The spool breaks unseen while the database is away: that is found out before a model is asked, not after.
#[tokio::test(start_paused = true)]
async fn a_spool_that_is_needed_is_tried_before_a_turn_begins() {
    let it = Stack::new(10);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Down);
    it.record(&session, 1).await;
    it.spool.set_broken(true);
    later(2).await;
    it.archive.admit(None).await.expect_err("refused");
    assert_eq!(it.state().0, HealthState::Down);
}

#[tokio::test(start_paused = true)]
async fn one_in_a_second_tries_for_all() {
    let (it, _) = full().await;
    later(2).await;
    it.history.set_mode(HistoryMode::Hanging);
    // The one that tries waits for the database's answer, and no longer than a write would; the others are told at once.
    let admit = || it.timed(it.archive.admit(None));
    let (trying, other) = futures_util::future::join(admit(), admit()).await;
    assert!(trying.0.is_err() && other.0.is_err());
    assert_eq!((trying.1, other.1), (500, 0));
    assert_eq!(admit().await.1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_works_is_tried_once_a_second_while_it_is_needed() {
    let it = Stack::new(10);
    let session = Arc::new(session(0));
    it.archive.admit(None).await.expect("all is well");
    it.history.set_mode(HistoryMode::Down);
    it.record(&session, 1).await;
    assert_eq!(it.spool.probed(), 0);
    for seconds in 1..=3 {
        later(1).await;
        for _ in 0..10 {
            it.archive.admit(Some(session.id)).await.expect("the spool has room");
        }
        assert_eq!(it.spool.probed(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn room_in_the_spool_lets_turns_in_again() {
    let (it, session) = full().await;
    it.spool.set_room(5);
    it.archive.admit(None).await.expect_err("not before it was tried again");
    later(1).await;
    it.archive.admit(Some(session.id)).await.expect("there is room");
    assert_eq!(it.state().0, HealthState::Degraded);
    it.record(&session, 2).await;
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    it.holds(&session, &["q1", "a1", "q2", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_back_lets_turns_in_again_and_takes_their_records() {
    let (it, spooled) = full().await;
    it.history.set_mode(HistoryMode::Up);
    later(1).await;
    it.archive.admit(None).await.expect("the database answers");
    // The drain has not yet noticed, and the spool is full still.
    let other = Arc::new(session(1));
    it.record(&other, 1).await;
    it.holds(&other, &["q1", "a1"]);
    // A session whose records wait in the full spool waits with them.
    it.archive.admit(Some(spooled.id)).await.expect_err("its record would have nowhere to go");
    it.archive.admit(Some(other.id)).await.expect("that is its own matter");
    it.tasks.run().await;
    it.archive.admit(Some(spooled.id)).await.expect("its records are written");
    it.holds(&spooled, &["q1", "a1"]);
    assert_eq!(it.state(), (HealthState::Up, 0));
}

/// The answer is complete and the spool refuses it: the database is asked, though it was away a moment ago.
#[tokio::test(start_paused = true)]
async fn the_database_is_the_last_resort_of_a_full_spool() {
    let (it, _) = full().await;
    let other = Arc::new(session(1));
    it.history.set_mode(HistoryMode::Up);
    it.record(&other, 1).await;
    it.holds(&other, &["q1", "a1"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_succeeds_lets_turns_in_again() {
    let (it, session) = full().await;
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    it.archive.admit(Some(session.id)).await.expect("the backlog is written");
    assert_eq!(it.state(), (HealthState::Up, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_with_nowhere_to_lay_it_is_an_error() {
    let it = Stack::new(0);
    let session = Arc::new(session(0));
    it.history.refuse(session.id);
    it.archive.record(&session, &turn(1)).await.expect_err("it is nowhere");
    assert_eq!(it.spool.dead().len(), 0);
}

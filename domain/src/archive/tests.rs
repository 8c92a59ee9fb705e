//! The archive over a database that goes away in every way and a spool that fails in some.

mod draining;
mod refusing;
mod trouble;

use std::sync::Arc;

use super::*;
use crate::{
    ports::history::HistoryStore,
    testing::{
        HistoryMode, InlineTasks, MemoryHistory, MemorySpool, RecordingObserver,
        paused::PausedClock,
        samples::{full_session, session, turn},
        tasks::Seen,
    },
};

struct Stack {
    clock: Arc<dyn Clock>,
    history: MemoryHistory,
    spool: MemorySpool,
    tasks: InlineTasks,
    observer: RecordingObserver,
    archive: Archive,
}

impl Stack {
    fn new(room: usize) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::new());
        let (history, spool) = (MemoryHistory::new(clock.clone()), MemorySpool::new(room));
        Self::over(clock, history, spool.clone(), Arc::new(spool))
    }

    /// What the next process makes of the same database and the same spool.
    fn restarted(&self) -> Self {
        Self::over(self.clock.clone(), self.history.clone(), self.spool.clone(), Arc::new(self.spool.clone()))
    }

    fn over(clock: Arc<dyn Clock>, history: MemoryHistory, spool: MemorySpool, port: Arc<dyn Spool>) -> Self {
        let (tasks, observer) = (InlineTasks::default(), RecordingObserver::default());
        let archive = Archive::new(
            Arc::new(history.clone()),
            port,
            clock.clone(),
            Arc::new(tasks.clone()),
            Arc::new(observer.clone()),
        );
        Self { clock, history, spool, tasks, observer, archive }
    }

    /// Records the `n`th sample turn.
    async fn record(&self, session: &Arc<Session>, n: usize) {
        self.archive.record(session, &turn(n)).await.expect("kept");
    }

    fn holds(&self, session: &Arc<Session>, expected: &[&str]) {
        assert_eq!(self.history.contents(session.id).unwrap_or_default(), expected);
    }

    fn spooled(&self) -> usize {
        self.spool.ids().len()
    }

    /// How long something takes, in milliseconds.
    async fn timed<T>(&self, work: impl Future<Output = T>) -> (T, u128) {
        let began = self.clock.moment();
        let output = work.await;
        (output, self.clock.moment().since(began).as_millis())
    }

    fn health(&self) -> Health {
        self.archive.health().expect("an archive")
    }

    fn state(&self) -> (HealthState, u64) {
        let health = self.health();
        (health.state, health.backlog.expect("a backlog"))
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_database_takes_is_not_spooled() {
    let it = Stack::new(10);
    let session = Arc::new(full_session());
    let prompt = crate::testing::samples::said(crate::message::Role::System, "be kind", 0);
    it.archive.open(&session, Some(prompt)).await.expect("kept");
    it.record(&session, 1).await;
    it.holds(&session, &["be kind", "q1", "a1"]);
    assert_eq!((it.spooled(), it.tasks.len(), it.state()), (0, 0, (HealthState::Up, 0)));
    assert_eq!(it.archive.forget(session.id, true).await.ok(), Some(true));
    assert_eq!(it.archive.forget(session.id, true).await.ok(), Some(false));
    it.holds(&session, &[]);
    assert_eq!(it.observer.take(), []);
}

#[tokio::test(start_paused = true)]
async fn a_write_has_half_a_second_and_is_spooled_then() {
    for (mode, took, spooled) in [
        (HistoryMode::Slow(Duration::from_millis(499)), 499, 0),
        (HistoryMode::Slow(Duration::from_millis(501)), 500, 1),
        (HistoryMode::Hanging, 500, 1),
        (HistoryMode::Silent, 500, 1),
        (HistoryMode::Down, 0, 1),
    ] {
        let it = Stack::new(10);
        let session = Arc::new(session(0));
        it.history.set_mode(mode);
        let ((), millis) = it.timed(it.record(&session, 1)).await;
        assert_eq!((millis, it.spooled()), (took, spooled), "{mode:?}");
        it.history.set_mode(HistoryMode::Up);
        it.tasks.run().await;
        it.holds(&session, &["q1", "a1"]);
        assert_eq!((it.spooled(), it.state()), (0, (HealthState::Up, 0)), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_known_to_be_away_keeps_nobody_waiting() {
    let it = Stack::new(100);
    it.history.set_mode(HistoryMode::Hanging);
    let (one, other) = (Arc::new(session(0)), Arc::new(session(1)));
    assert_eq!(it.timed(it.record(&one, 1)).await.1, 500);
    for session in [&one, &other] {
        assert_eq!(it.timed(it.record(session, 2)).await.1, 0);
    }
    assert_eq!((it.spooled(), it.history.asked()), (3, 1));
    // A deletion, too; nobody can say yet whether there was anything.
    let (forgotten, millis) = it.timed(it.archive.forget(other.id, true)).await;
    assert_eq!((forgotten.ok(), millis), (Some(true), 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_writes_nothing_past_what_it_has_in_the_spool() {
    let it = Stack::new(100);
    let (one, other) = (Arc::new(session(0)), Arc::new(session(1)));
    it.history.set_mode(HistoryMode::Down);
    it.record(&one, 1).await;
    it.history.set_mode(HistoryMode::Up);
    // Another session's write shows that the database is back; the first session's still waits its turn.
    it.archive.messages(other.id, 0, 1).await.expect("an answer");
    it.archive.0.as_ref().expect("an archive").note_answer();
    it.record(&other, 1).await;
    it.holds(&other, &["q1", "a1"]);
    it.record(&one, 2).await;
    assert_eq!(it.spooled(), 2);
    it.holds(&one, &[]);
    it.tasks.run().await;
    it.holds(&one, &["q1", "a1", "q2", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_forget_waits_for_what_is_spooled_and_nothing_revives_the_session() {
    for forget_first in [false, true] {
        let it = Stack::new(100);
        let session = Arc::new(session(0));
        it.record(&session, 0).await;
        it.history.set_mode(HistoryMode::Down);
        if forget_first {
            it.archive.forget(session.id, true).await.expect("kept");
            it.record(&session, 1).await;
        } else {
            it.record(&session, 1).await;
            it.archive.forget(session.id, true).await.expect("kept");
        }
        it.history.set_mode(HistoryMode::Up);
        it.tasks.run().await;
        assert_eq!(it.history.contents(session.id), None, "{forget_first}");
        // Nor does what comes after all that.
        it.record(&session, 2).await;
        assert_eq!(it.history.contents(session.id), None, "{forget_first}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forget_that_nobody_can_answer_yet_is_remembered() {
    let it = Stack::new(100);
    let (unknown, elsewhere) = (Arc::new(session(0)), Arc::new(session(1)));
    assert_eq!(it.archive.forget(unknown.id, false).await.ok(), Some(false));
    assert_eq!((it.history.forgotten(), it.spooled()), (0, 0));
    // What was said in it lies in another process's spool, which comes to write it later.
    it.history.set_mode(HistoryMode::Down);
    assert_eq!(it.archive.forget(elsewhere.id, false).await.ok(), Some(true));
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    it.record(&elsewhere, 1).await;
    assert_eq!((it.history.contents(elsewhere.id), it.history.forgotten()), (None, 1));
}

/// A write that was given up on may arrive after all, late; a deletion made meanwhile holds.
#[tokio::test(start_paused = true)]
async fn a_late_write_does_not_revive_what_was_deleted() {
    let it = Stack::new(100);
    let session = Arc::new(session(0));
    let late = crate::testing::samples::record(&session, &turn(1));
    it.history.set_mode(HistoryMode::Hanging);
    it.record(&session, 1).await;
    it.archive.forget(session.id, true).await.expect("kept");
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    it.history.apply(&late).await.expect("an answer");
    assert_eq!(it.history.contents(session.id), None);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_can_never_be_written_is_laid_aside_and_blocks_nobody() {
    let it = Stack::new(100);
    let (bad, good) = (Arc::new(session(0)), Arc::new(session(1)));
    it.history.refuse(bad.id);
    it.record(&bad, 1).await;
    it.record(&good, 1).await;
    assert_eq!((it.spooled(), it.spool.dead().len(), it.state()), (0, 1, (HealthState::Up, 0)));
    assert_eq!(it.observer.take(), [Seen::DeadLetter]);
    assert!(it.health().note.expect("a note").contains("not durable; records were refused for good"));
    // The same out of the spool, amid others.
    it.history.set_mode(HistoryMode::Down);
    it.record(&good, 2).await;
    it.record(&bad, 2).await;
    it.record(&good, 3).await;
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    it.holds(&good, &["q1", "a1", "q2", "a2", "q3", "a3"]);
    let dead = it.spool.dead();
    assert_eq!((dead.len(), &*dead[1].1, it.spooled()), (2, "this session is refused", 0));
    assert_eq!(it.state(), (HealthState::Up, 0));
}

#[tokio::test(start_paused = true)]
async fn a_spooled_record_that_cannot_be_read_is_laid_aside_and_blocks_nobody() {
    let it = Stack::new(100);
    let session = Arc::new(session(0));
    it.history.set_mode(HistoryMode::Down);
    for n in 1..=3 {
        it.record(&session, n).await;
    }
    it.spool.corrupt(it.spool.ids()[1]);
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    it.holds(&session, &["q1", "a1", "q3", "a3"]);
    assert_eq!((it.spool.corpses(), it.spooled(), it.state()), (1, 0, (HealthState::Up, 0)));
    assert!(it.observer.take().contains(&Seen::DeadLetter));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_has_gone_is_noticed_before_the_next_write() {
    let it = Stack::new(2);
    let check = async || it.archive.check().await.expect("an archive");
    assert_eq!(check().await.state, HealthState::Up);
    for (mode, says, after) in
        [(HistoryMode::Down, "connection refused", 0), (HistoryMode::Hanging, "no answer in time", 1_000)]
    {
        it.history.set_mode(mode);
        let (health, took) = it.timed(check()).await;
        assert_eq!((health.state, health.last_error.as_deref(), took), (HealthState::Degraded, Some(says), after));
    }
    it.history.set_mode(HistoryMode::Down);
    let error = it.archive.check().await.expect("an archive").last_error;
    assert_eq!(error.as_deref(), Some("connection refused"));
}

/// A service that is not ready gets no requests, which otherwise would find out.
#[tokio::test(start_paused = true)]
async fn a_database_that_is_back_is_noticed_without_a_request() {
    let it = Stack::new(0);
    it.history.set_mode(HistoryMode::Down);
    it.archive.record(&Arc::new(session(0)), &turn(1)).await.expect_err("nothing can take it");
    let check = async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        it.archive.check().await.expect("an archive")
    };
    for _ in 0..3 {
        assert_eq!(check().await.state, HealthState::Down);
    }
    it.history.set_mode(HistoryMode::Up);
    let health = check().await;
    assert_eq!((health.state, health.since, health.last_error), (HealthState::Up, None, None));

    // The last that waited was laid aside while the database was away.
    let it = Stack::new(10);
    it.history.set_mode(HistoryMode::Down);
    it.record(&Arc::new(session(0)), 1).await;
    it.spool.corrupt(it.spool.ids()[0]);
    it.tasks.run().await;
    assert_eq!(it.state(), (HealthState::Degraded, 0));
    assert_eq!(it.archive.check().await.expect("an archive").state, HealthState::Degraded);
    it.history.set_mode(HistoryMode::Up);
    assert_eq!(it.archive.check().await.expect("an archive").state, HealthState::Up);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_refused_without_asking_says_nothing_of_the_database() {
    let it = Stack::new(10);
    let (large, other) = (Arc::new(session(0)), Arc::new(session(1)));
    it.history.set_mode(HistoryMode::Down);
    it.record(&other, 1).await;
    it.history.refuse_unasked(large.id);
    // The drain has not begun: this one is tried by itself.
    it.record(&large, 1).await;
    let since = it.health().since.expect("away");
    let watch = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((it.state(), it.health().since), ((HealthState::Degraded, 1), Some(since)));
        it.history.set_mode(HistoryMode::Up);
    };
    futures_util::join!(it.tasks.run(), watch);
    assert_eq!((it.state(), it.spool.dead().len()), ((HealthState::Up, 0), 1));
}

#[tokio::test(start_paused = true)]
async fn health_tells_what_is_wrong_since_when_and_how_much_waits() {
    let it = Stack::new(2);
    let session = Arc::new(session(0));
    let health = it.health();
    assert_eq!(
        (&*health.name, health.state, health.since, health.last_error),
        ("history", HealthState::Up, None, None)
    );
    assert!(health.note.expect("a note").contains("not durable"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let since = it.clock.now();
    it.history.set_mode(HistoryMode::Down);
    it.record(&session, 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    it.record(&session, 2).await;
    let health = it.health();
    assert_eq!((health.state, health.since, health.backlog), (HealthState::Degraded, Some(since), Some(2)));
    assert!(health.last_error.is_some());
    it.archive.record(&session, &turn(3)).await.expect_err("the spool is full");
    assert_eq!(it.state(), (HealthState::Down, 2));
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    let health = it.health();
    assert_eq!((health.state, health.since, health.last_error), (HealthState::Up, None, None));
    let durable = MemorySpool::new(1).durable();
    let it = Stack::over(it.clock.clone(), it.history.clone(), durable.clone(), Arc::new(durable));
    assert_eq!(it.health().note, None);
}

#[tokio::test(start_paused = true)]
async fn it_is_away_since_its_first_failure() {
    let it = Stack::new(10);
    it.history.set_mode(HistoryMode::Down);
    let since = it.clock.now();
    it.record(&Arc::new(session(0)), 1).await;
    let watch = async {
        // Attempts fail meanwhile.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(it.history.asked() > 5);
        assert_eq!(it.health().since, Some(since));
        it.history.set_mode(HistoryMode::Up);
    };
    futures_util::join!(it.tasks.run(), watch);
    assert_eq!(it.health().since, None);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_refuses_a_record_is_not_away() {
    let it = Stack::new(10);
    let bad = Arc::new(session(0));
    it.history.refuse(bad.id);
    it.history.set_mode(HistoryMode::Down);
    it.record(&bad, 1).await;
    assert_eq!(it.state(), (HealthState::Degraded, 1));
    it.history.set_mode(HistoryMode::Up);
    it.tasks.run().await;
    assert_eq!(it.state(), (HealthState::Up, 0));
}

#[tokio::test(start_paused = true)]
async fn no_archive_is_asked_for_nothing() {
    let none = Archive::disabled();
    let session = Arc::new(session(0));
    assert!(none.health().is_none());
    none.admit(Some(session.id)).await.expect("nothing to keep");
    none.open(&session, None).await.expect("nothing to keep");
    none.record(&session, &turn(1)).await.expect("nothing to keep");
    assert_eq!(none.forget(session.id, true).await.ok(), Some(false));
    assert_eq!(none.resume().await.ok(), Some(0));
    let query = SessionQuery { limit: 10, ..SessionQuery::default() };
    assert_eq!(none.sessions(&query).await.expect("an answer").total, 0);
    assert_eq!(none.messages(session.id, 0, 10).await.expect("an answer"), None);
}

//! The promises of [`Spool`] that every spool keeps.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Held, MANY_POLLS, polled_at_most, soon};
use crate::{
    ports::{
        Clock,
        history::{HistoryOp, Spool, SpoolError, SpoolId},
    },
    session::{Session, SessionId},
    testing::samples::{forget, full_message, full_session, open, record, session, turn},
};

/// A fresh and empty spool that takes some tens to some thousands of sample operations (about 1 KiB each).
pub struct Subject {
    /// The spool.
    pub spool: Arc<dyn Spool>,
    /// A clock to wait by.
    pub clock: Arc<dyn Clock>,
    /// What has to live as long.
    pub held: Held,
}

impl Subject {
    /// A spool and a clock.
    pub fn new(spool: Arc<dyn Spool>, clock: Arc<dyn Clock>) -> Self {
        Self { spool, clock, held: Box::new(()) }
    }

    /// The same, keeping something alive.
    #[must_use]
    pub fn holding(mut self, held: impl std::any::Any + Send) -> Self {
        self.held = Box::new(held);
        self
    }

    async fn append(&self, op: &HistoryOp) -> SpoolId {
        soon(&*self.clock, "append", self.spool.append(op)).await.expect("an operation is kept")
    }

    async fn holds(&self, expected: &[(SpoolId, &HistoryOp)]) {
        holds(&*self.spool, expected).await;
    }
}

/// That the spool holds these operations and no others.
pub(super) async fn holds(spool: &dyn Spool, expected: &[(SpoolId, &HistoryOp)]) {
    let sessions: Vec<(SpoolId, SessionId)> = expected.iter().map(|(id, op)| (*id, op.session())).collect();
    assert_eq!(spool.pending().await.expect("a list"), sessions);
    for (id, op) in expected {
        assert_eq!(spool.load(*id).await.expect("an operation"), **op);
    }
}

/// One operation of each kind, of all that they can hold, and one more.
pub(super) fn operations() -> [HistoryOp; 4] {
    let (one, other) = (Arc::new(full_session()), Arc::new(session(9)));
    let messages = [turn(1)[0].clone(), full_message(900)];
    [open(&one), record(&one, &messages), forget(&one), open(&other)]
}

/// An operation of about a kilobyte.
pub(super) fn padded(session: &Arc<Session>) -> HistoryOp {
    let text = "x".repeat(400);
    let said = |role, millis| crate::testing::samples::said(role, &text, millis);
    record(session, &[said(crate::message::Role::User, 1), said(crate::message::Role::Assistant, 2)])
}

/// A spool that nothing was put into holds nothing, and could take something.
pub async fn an_empty_spool_holds_nothing(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    it.holds(&[]).await;
    soon(&*it.clock, "probe", it.spool.probe()).await.expect("room");
    it.holds(&[]).await;
}

/// What was appended is loaded as it was.
pub async fn what_was_appended_is_loaded(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for op in operations() {
        let id = it.append(&op).await;
        for _ in 0..2 {
            assert_eq!(it.spool.load(id).await.expect("an operation"), op);
        }
    }
}

/// It is listed oldest first, ids increasing, each with its session.
pub async fn it_is_listed_in_the_order_it_came_in(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let ops = operations();
    let mut expected = Vec::new();
    for op in ops.iter().chain(&ops) {
        expected.push((it.append(op).await, op));
    }
    assert!(expected.is_sorted_by(|one, next| one.0 < next.0));
    it.holds(&expected).await;
}

/// What was removed is gone and the rest is not; removing what is not there does nothing.
pub async fn what_was_removed_is_gone(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let ops = operations();
    let mut ids = Vec::new();
    for op in &ops {
        ids.push(it.append(op).await);
    }
    for _ in 0..2 {
        it.spool.remove(ids[1]).await.expect("a removal");
        it.holds(&[(ids[0], &ops[0]), (ids[2], &ops[2]), (ids[3], &ops[3])]).await;
    }
    it.spool.remove(SpoolId(u64::MAX)).await.expect("a removal of nothing");
    assert!(it.spool.load(ids[1]).await.is_err());
    let again = it.append(&ops[1]).await;
    assert!(again > ids[3], "an id was used twice");
}

/// What was buried is in nobody's way.
pub async fn what_was_buried_is_gone(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let ops = operations();
    let (dead, alive) = (it.append(&ops[0]).await, it.append(&ops[1]).await);
    it.spool.bury(dead, "the database says: never").await.expect("a burial");
    it.holds(&[(alive, &ops[1])]).await;
}

/// It takes only so much; what it refuses harms nothing, `probe` says so, and what is removed makes room.
pub async fn it_is_bounded_and_what_it_holds_is_not_harmed(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(session(0));
    let op = padded(&session);
    let mut kept = Vec::new();
    let refused = loop {
        match it.spool.append(&op).await {
            Ok(id) => kept.push((id, &op)),
            Err(error) => break error,
        }
        assert!(kept.len() < 20_000, "the spool has no bound, or the test was given too large a one");
    };
    assert!(matches!(refused, SpoolError::Full), "{refused:?}");
    assert!(matches!(it.spool.probe().await, Err(SpoolError::Full)), "probe says there is room");
    it.holds(&kept).await;
    for (id, _) in kept.drain(..kept.len() / 2 + 1) {
        it.spool.remove(id).await.expect("a removal");
    }
    it.spool.probe().await.expect("room");
    let id = it.append(&op).await;
    kept.push((id, &op));
    it.holds(&kept).await;
}

/// Operations that are appended at one time are all there, each under an id of its own.
pub async fn appends_at_once_all_count(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let ops: Vec<_> = (0..10).map(|millis| open(&Arc::new(session(millis)))).collect();
    let ids = join_all(ops.iter().map(|op| it.append(op))).await;
    let mut expected: Vec<_> = ids.into_iter().zip(&ops).collect();
    expected.sort_by_key(|(id, _)| *id);
    it.holds(&expected).await;
}

/// Whenever an append is dropped, the operation is there whole or not at all, and the spool goes on.
pub async fn append_may_be_dropped_at_every_poll(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let op = padded(&Arc::new(session(0)));
    for polls in 0.. {
        assert!(polls < MANY_POLLS, "append wakes itself without end");
        let ended = soon(&*it.clock, "append", polled_at_most(it.spool.append(&op), polls)).await;
        let next = it.append(&op).await;
        for (id, _) in it.spool.pending().await.expect("a list") {
            assert_eq!(it.spool.load(id).await.expect("an operation"), op);
            assert!(id <= next);
            it.spool.remove(id).await.expect("a removal");
        }
        if let Some(appended) = ended {
            assert!(appended.expect("an operation is kept") < next);
            break;
        }
    }
}

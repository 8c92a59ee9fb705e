//! The promises of a [`SessionStore`](crate::ports::sessions::SessionStore) that keeps only so many sessions.

use std::sync::Arc;

use super::sessions::{self, ANYBODY};
use crate::{ports::sessions::CreateError, testing::samples::session};

/// A fresh and empty store for at most [`Subject::capacity`] sessions.
pub struct Subject {
    /// The store and its clock.
    pub sessions: sessions::Subject,
    /// How many it keeps at the most: a few.
    pub capacity: usize,
}

/// One session more than may be is refused, and those that are there stay.
pub async fn there_are_no_more_sessions_than_may_be(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let mut kept = Vec::new();
    for _ in 0..it.capacity {
        kept.push(it.sessions.session().await);
    }
    for _ in 0..2 {
        let refused = it.sessions.store.create(Arc::new(session(0))).await;
        assert!(matches!(refused, Err(CreateError::Capacity)), "{refused:?}");
    }
    for id in kept {
        assert!(it.sessions.is_there(id).await);
    }
}

/// Where one was deleted there is room for one.
pub async fn a_deleted_session_makes_room(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let mut last = it.sessions.session().await;
    for _ in 1..it.capacity {
        last = it.sessions.session().await;
    }
    it.sessions.store.delete(last, &ANYBODY).await.expect("an answer");
    it.sessions.session().await;
    assert!(it.sessions.store.create(Arc::new(session(0))).await.is_err());
}

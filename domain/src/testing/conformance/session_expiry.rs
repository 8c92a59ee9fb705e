//! The promises of a [`SessionStore`] that lets idle sessions go.

use std::{sync::Arc, time::Duration};

use super::{Advance, sessions};
use crate::{
    ports::{Clock, sessions::SessionStore},
    session::Caller,
    testing::samples::{full_session, key},
};

/// A fresh and empty store that lets sessions go which were idle for [`Subject::idle`].
pub struct Subject {
    /// The store and its clock.
    pub sessions: sessions::Subject,
    /// How long a session may be idle: a few hundred milliseconds where time is real.
    pub idle: Duration,
    /// Lets time pass.
    pub advance: Advance,
}

impl Subject {
    /// A store that forgets after `idle` of its clock, which is waited for.
    pub fn new(store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>, idle: Duration) -> Self {
        let sleeper = clock.clone();
        let advance = move |time| sleeper.sleep_until(sleeper.moment().plus(time));
        Self { sessions: sessions::Subject::new(store, clock), idle, advance: Box::new(advance) }
    }

    /// The same, keeping something alive.
    #[must_use]
    pub fn holding(mut self, held: impl std::any::Any + Send) -> Self {
        self.sessions = self.sessions.holding(held);
        self
    }

    /// Lets `percent` of the idle time pass.
    async fn pass(&self, percent: u32) {
        (self.advance)(self.idle * percent / 100).await;
    }
}

/// After the idle time a session is gone from everywhere.
pub async fn an_idle_session_goes(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.sessions.session().await;
    it.pass(130).await;
    assert!(!it.sessions.is_there(id).await);
    let store = &it.sessions.store;
    let deadline = it.sessions.clock.moment().plus(it.idle);
    assert!(store.open_turn(id, &sessions::ANYBODY, deadline).await.is_err());
    assert_eq!(store.list(0, 10).await.expect("a list").0, []);
}

/// A session that is read in time stays.
pub async fn reading_ends_idleness(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.sessions.session().await;
    for _ in 0..3 {
        it.pass(60).await;
        let read = it.sessions.store.read(id, &sessions::ANYBODY).await.expect("an answer");
        assert!(read.is_some(), "a session that was not idle is gone");
    }
}

/// A session that is spoken in stays, with what was said.
pub async fn a_turn_ends_idleness(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.sessions.session().await;
    for n in 0..3 {
        it.pass(60).await;
        let opened = it.sessions.opened(id).await;
        assert_eq!(opened.memory.len(), 2 * n);
        it.sessions.commit(opened, n, 10).await.expect("a commit");
    }
    it.pass(60).await;
    assert!(it.sessions.is_there(id).await);
}

/// A turn that takes longer than the idle time finds its session there.
pub async fn a_session_does_not_go_under_a_running_turn(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.sessions.session().await;
    let opened = it.sessions.opened(id).await;
    for _ in 0..5 {
        it.pass(50).await;
    }
    it.sessions.commit(opened, 1, 10).await.expect("a commit");
    it.pass(50).await;
    assert!(it.sessions.is_there(id).await);
}

/// Somebody else who guesses at an id keeps nothing alive.
pub async fn another_callers_look_does_not_keep_it(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(full_session());
    it.sessions.store.create(session.clone()).await.expect("a session is created");
    let other = Caller::Client(Some(key(2)));
    for _ in 0..3 {
        it.pass(45).await;
        assert!(it.sessions.store.read(session.id, &other).await.expect("an answer").is_none());
    }
    let owner = Caller::Client(Some(key(1)));
    assert!(it.sessions.store.read(session.id, &owner).await.expect("an answer").is_none());
}

//! The promises of [`SessionStore`] that every store keeps.

mod dropped;
mod turns;

use std::{collections::VecDeque, sync::Arc};

use futures_util::future::BoxFuture;

pub use self::{dropped::*, turns::*};
use super::{Held, PATIENCE, soon};
use crate::{
    message::Message,
    ports::{
        Clock,
        sessions::{CommitError, Deletion, OpenError, Opened, Place, SessionStore},
    },
    session::{Caller, Session, SessionId},
    testing::samples::{contents, full_message, full_session, key, limit, session, turn},
    time::Moment,
};

/// A fresh and empty store.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn SessionStore>,
    /// The clock it tells deadlines by.
    pub clock: Arc<dyn Clock>,
    /// What has to live as long.
    pub held: Held,
}

/// A client where the service asks for no keys.
pub const ANYBODY: Caller = Caller::Client(None);

impl Subject {
    /// A store and its clock.
    pub fn new(store: Arc<dyn SessionStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, held: Box::new(()) }
    }

    /// The same, keeping something alive.
    #[must_use]
    pub fn holding(mut self, held: impl std::any::Any + Send) -> Self {
        self.held = Box::new(held);
        self
    }

    /// A new session in the store.
    pub async fn session(&self) -> SessionId {
        self.keep(session(0)).await.id
    }

    async fn keep(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        soon(&*self.clock, "create", self.store.create(session.clone())).await.expect("a session is created");
        session
    }

    fn later(&self) -> Moment {
        self.clock.moment().plus(PATIENCE * 2)
    }

    async fn place(&self, id: SessionId) -> Result<Place, OpenError> {
        soon(&*self.clock, "open_turn", self.store.open_turn(id, &ANYBODY, self.later())).await
    }

    /// A turn of a session, waited for.
    pub async fn opened(&self, id: SessionId) -> Opened {
        match self.place(id).await.expect("a place") {
            Place::Open(opened) => opened,
            Place::Waiting(waiting) => soon(&*self.clock, "the turn's turn", waiting).await.expect("a turn"),
        }
    }

    async fn waiting(&self, id: SessionId) -> BoxFuture<'static, Result<Opened, OpenError>> {
        match self.place(id).await.expect("a place") {
            Place::Waiting(waiting) => waiting,
            Place::Open(_) => panic!("two turns of one session run at once"),
        }
    }

    /// Stores the `n`th sample turn.
    pub async fn commit(&self, opened: Opened, n: usize, keep: u32) -> Result<(), CommitError> {
        soon(&*self.clock, "commit", opened.ticket.commit(turn(n), limit(keep))).await
    }

    async fn memory(&self, id: SessionId) -> Vec<Arc<Message>> {
        let read = soon(&*self.clock, "read", self.store.read(id, &ANYBODY)).await.expect("the store answers");
        read.expect("the session is there").memory
    }

    async fn remembers(&self, id: SessionId, expected: &[&str]) {
        assert_eq!(contents(&self.memory(id).await), expected);
    }

    /// Whether anything of a session can still be seen.
    pub async fn is_there(&self, id: SessionId) -> bool {
        let read = soon(&*self.clock, "read", self.store.read(id, &Caller::Operator)).await;
        read.expect("the store answers").is_some()
    }

    /// That turns of the session go on, one after the other, over what it remembers.
    async fn stays_usable(&self, id: SessionId) {
        let opened = self.opened(id).await;
        let mut expected: Vec<String> = contents(&opened.memory).into_iter().map(str::to_owned).collect();
        self.commit(opened, 998, 100).await.expect("a commit");
        expected.extend(["q998".to_owned(), "a998".to_owned()]);
        assert_eq!(contents(&self.memory(id).await), expected);
        assert_eq!(contents(&self.opened(id).await.memory), expected);
    }
}

/// A session that was created is found, with all it was made of.
pub async fn a_created_session_is_found_as_it_was_made(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for session in [session(0), full_session()] {
        let session = it.keep(session).await;
        let caller = Caller::Client(session.owner.as_deref().copied());
        let found = it.store.read(session.id, &caller).await.expect("an answer").expect("the session");
        assert_eq!(found.session, session);
        assert!(found.memory.is_empty());
        let Ok(Place::Open(opened)) = it.store.open_turn(session.id, &caller, it.later()).await else {
            panic!("nobody is before the first turn")
        };
        assert_eq!(opened.session, session);
        assert!(opened.memory.is_empty());
    }
}

/// A session that is not there is not found by any way.
pub async fn a_session_that_is_not_there_is_missed_everywhere(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    it.session().await;
    let nobody = session(0).id;
    for caller in [ANYBODY, Caller::Operator] {
        assert!(it.store.read(nobody, &caller).await.expect("an answer").is_none());
        assert_eq!(it.store.delete(nobody, &caller).await.expect("an answer"), Deletion::Missing);
        let opened = it.store.open_turn(nobody, &caller, it.later()).await;
        assert!(matches!(opened, Err(OpenError::NotFound)));
    }
}

/// Another caller may neither read, delete nor speak in a session; the operator may look.
pub async fn another_callers_session_is_as_if_it_were_not_there(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let owned = it.keep(full_session()).await.id;
    let free = it.session().await;
    let (owner, other) = (Caller::Client(Some(key(1))), Caller::Client(Some(key(2))));
    for (id, caller) in [(owned, ANYBODY), (owned, other), (free, owner)] {
        assert!(it.store.read(id, &caller).await.expect("an answer").is_none(), "{caller:?}");
        let opened = it.store.open_turn(id, &caller, it.later()).await;
        assert!(matches!(opened, Err(OpenError::NotFound)), "{caller:?}");
        assert_eq!(it.store.delete(id, &caller).await.expect("an answer"), Deletion::Foreign, "{caller:?}");
        assert!(it.is_there(id).await, "{caller:?}");
    }
    assert!(it.store.read(owned, &owner).await.expect("an answer").is_some());
    assert_eq!(it.store.delete(owned, &owner).await.expect("an answer"), Deletion::Deleted);
    assert_eq!(it.store.delete(free, &Caller::Operator).await.expect("an answer"), Deletion::Deleted);
}

/// To whoever may delete a session it was there until its deletion is finished; to others it is not theirs.
pub async fn a_deletion_can_be_asked_for_again_until_it_is_finished(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.keep(full_session()).await.id;
    let (owner, other) = (Caller::Client(Some(key(1))), Caller::Client(Some(key(2))));
    for _ in 0..2 {
        assert_eq!(it.store.delete(id, &owner).await.expect("an answer"), Deletion::Deleted);
        assert!(!it.is_there(id).await);
        for caller in [ANYBODY, other] {
            assert_eq!(it.store.delete(id, &caller).await.expect("an answer"), Deletion::Foreign, "{caller:?}");
        }
        assert_eq!(it.store.delete(id, &Caller::Operator).await.expect("an answer"), Deletion::Deleted);
    }
    assert_eq!((it.store.list(0, 10).await.expect("a list").1, it.store.count().await.expect("a count")), (0, 0));
    it.store.finish_deletion(id).await;
    for caller in [owner, other, Caller::Operator] {
        assert_eq!(it.store.delete(id, &caller).await.expect("an answer"), Deletion::Missing, "{caller:?}");
    }
}

/// Sessions are listed newest first, in pages, with their number.
pub async fn sessions_are_listed_newest_first(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let mut newest_first = VecDeque::new();
    assert_eq!(it.store.list(0, 10).await.expect("a list").1, 0);
    for millis in [10, 20, 30, 40, 50] {
        newest_first.push_front(it.keep(session(millis)).await);
    }
    newest_first.push_back(it.keep(session(5)).await);
    assert_eq!(it.store.list(0, 100).await.expect("a list"), (newest_first.clone().into(), 6));
    let page: Vec<_> = newest_first.iter().skip(2).take(3).cloned().collect();
    assert_eq!(it.store.list(2, 3).await.expect("a list"), (page, 6));
    assert_eq!(it.store.list(6, 3).await.expect("a list"), (vec![], 6));
    it.store.delete(newest_first[1].id, &ANYBODY).await.expect("an answer");
    newest_first.remove(1);
    assert_eq!(it.store.list(0, 100).await.expect("a list"), (newest_first.into(), 5));
    let counted = async || it.store.count().await.expect("a count") == 5;
    super::eventually(&*it.clock, "the count", counted).await;
}

/// A commit appends in order, and both readers and the next turn see it.
pub async fn a_commit_appends_and_the_next_turn_sees_it(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let opened = it.opened(id).await;
    it.commit(opened, 1, 10).await.expect("a commit");
    it.remembers(id, &["q1", "a1"]).await;
    let opened = it.opened(id).await;
    assert_eq!(contents(&opened.memory), ["q1", "a1"]);
    it.commit(opened, 2, 10).await.expect("a commit");
    it.remembers(id, &["q1", "a1", "q2", "a2"]).await;
}

/// All that belongs to a message is remembered.
pub async fn messages_are_remembered_whole(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let new: Arc<[Arc<Message>]> = Arc::from([turn(0)[0].clone(), full_message(900)]);
    let opened = it.opened(id).await;
    opened.ticket.commit(new.clone(), limit(10)).await.expect("a commit");
    assert_eq!(*it.memory(id).await, *new);
    assert_eq!(*it.opened(id).await.memory, *new);
}

/// After a commit the last `keep` messages are kept; a smaller limit forgets for good.
pub async fn a_commit_keeps_the_last_messages_for_good(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    for n in 1..=3 {
        let opened = it.opened(id).await;
        it.commit(opened, n, 5).await.expect("a commit");
    }
    it.remembers(id, &["a1", "q2", "a2", "q3", "a3"]).await;
    let opened = it.opened(id).await;
    it.commit(opened, 4, 1).await.expect("a commit");
    it.remembers(id, &["a4"]).await;
    let opened = it.opened(id).await;
    it.commit(opened, 5, 50).await.expect("a commit");
    it.remembers(id, &["a4", "q5", "a5"]).await;
}

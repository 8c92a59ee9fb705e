//! The promises of [`SessionStore`] that every store keeps.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use super::{Held, MANY_POLLS, PATIENCE, not_yet, polled_at_most, soon};
use crate::{
    message::Message,
    ports::{
        Clock,
        sessions::{CommitError, Deletion, Lost, MAX_WAITING, OpenError, Opened, Place, SessionStore},
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
        self.clock.moment().plus(PATIENCE)
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

/// A ticket that is dropped stores nothing, and the next turn goes on.
pub async fn a_dropped_ticket_stores_nothing_and_the_next_goes_on(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let first = it.opened(id).await;
    let second = it.waiting(id).await;
    drop(first);
    let second = soon(&*it.clock, "the next turn", second).await.expect("a turn");
    assert!(second.memory.is_empty());
    drop(second);
    it.stays_usable(id).await;
    it.remembers(id, &["q998", "a998"]).await;
}

/// While one turn runs the next one waits, and then sees what that one stored.
pub async fn a_turn_waits_for_the_one_before_it(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let first = it.opened(id).await;
    let mut second = it.waiting(id).await;
    not_yet(&*it.clock, "the second turn", &mut second).await;
    it.commit(first, 1, 10).await.expect("a commit");
    let second = soon(&*it.clock, "the second turn", second).await.expect("a turn");
    assert_eq!(contents(&second.memory), ["q1", "a1"]);
}

/// Turns run in the order in which `open_turn` was called, whoever is polled first.
pub async fn turns_run_in_the_order_they_came_in(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let first = it.opened(id).await;
    let mut line = FuturesUnordered::new();
    for n in 1..8 {
        line.push(it.waiting(id).await.map(move |opened| (n, opened)));
    }
    it.commit(first, 0, 100).await.expect("a commit");
    for expected in 1..8 {
        let (n, opened) = soon(&*it.clock, "the next turn", line.next()).await.expect("somebody waits");
        assert_eq!(n, expected);
        it.commit(opened.expect("a turn"), n, 100).await.expect("a commit");
    }
    let memory = it.memory(id).await;
    let expected: Vec<String> = (0..8).flat_map(|n| [format!("q{n}"), format!("a{n}")]).collect();
    assert_eq!(contents(&memory), expected);
}

/// `open_turn` resolves although the session is busy, and although nobody looks at the places that were given out.
pub async fn taking_a_place_waits_for_nobody(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let first = it.opened(id).await;
    let (second, third) = (it.waiting(id).await, it.waiting(id).await);
    drop(first);
    // The second turn's place is held, but not looked at: the third goes on waiting.
    let mut third = third;
    not_yet(&*it.clock, "the third turn", &mut third).await;
    drop(second);
    soon(&*it.clock, "the third turn", third).await.expect("a turn");
}

/// A busy session keeps no other one waiting.
pub async fn sessions_never_wait_for_each_other(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let mut running = Vec::new();
    for _ in 0..20 {
        let id = it.session().await;
        match it.place(id).await.expect("a place") {
            Place::Open(opened) => running.push((id, opened)),
            Place::Waiting(_) => panic!("a session waits for another"),
        }
    }
    for (n, (id, opened)) in running.into_iter().enumerate().rev() {
        it.commit(opened, n, 10).await.expect("a commit");
        it.remembers(id, &[&format!("q{n}"), &format!("a{n}")]).await;
    }
}

/// One who gives up waiting, polled or not, leaves no trace: those behind go on.
pub async fn a_dropped_waiter_leaves_no_trace(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let first = it.opened(id).await;
    let mut polled = it.waiting(id).await;
    let unpolled = it.waiting(id).await;
    let last = it.waiting(id).await;
    not_yet(&*it.clock, "the second turn", &mut polled).await;
    drop(polled);
    drop(unpolled);
    it.commit(first, 1, 10).await.expect("a commit");
    let last = soon(&*it.clock, "the last turn", last).await.expect("a turn");
    it.commit(last, 2, 10).await.expect("a commit");
    it.stays_usable(id).await;
}

/// Who waits is told at the deadline that the session is busy.
pub async fn waiting_ends_at_the_deadline(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let _running = it.opened(id).await;
    let began = it.clock.moment();
    let patience = Duration::from_millis(150);
    let waited = match it.store.open_turn(id, &ANYBODY, began.plus(patience)).await {
        Ok(Place::Waiting(waiting)) => soon(&*it.clock, "busy", waiting).await.map(drop),
        Ok(Place::Open(_)) => panic!("two turns of one session run at once"),
        Err(error) => Err(error),
    };
    assert!(matches!(waited, Err(OpenError::Busy)), "{waited:?}");
    let took = it.clock.moment().since(began);
    assert!(took >= patience, "after {took:?}");
    assert!(took < patience + Duration::from_secs(2), "after {took:?}");
}

/// A turn that did not come to its turn is not waited for by those behind it.
pub async fn a_turn_that_was_busy_leaves_no_trace(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let running = it.opened(id).await;
    let soon_over = it.clock.moment().plus(Duration::from_millis(60));
    let busy = it.store.open_turn(id, &ANYBODY, soon_over).await.expect("a place");
    let Place::Waiting(busy) = busy else { panic!("two turns of one session run at once") };
    let behind = it.waiting(id).await;
    assert!(matches!(soon(&*it.clock, "busy", busy).await.map(drop), Err(OpenError::Busy)));
    it.commit(running, 1, 10).await.expect("a commit");
    let behind = soon(&*it.clock, "the turn behind", behind).await.expect("a turn");
    drop(behind);
    it.stays_usable(id).await;
}

/// [`MAX_WAITING`] turns may wait and no more; one that leaves makes room.
pub async fn waiting_turns_are_bounded(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let _running = it.opened(id).await;
    let mut line = Vec::new();
    for _ in 0..MAX_WAITING {
        line.push(it.waiting(id).await);
    }
    assert!(matches!(it.place(id).await, Err(OpenError::QueueFull)));
    assert!(matches!(it.place(id).await, Err(OpenError::QueueFull)));
    drop(line.pop());
    let room = async || match it.place(id).await {
        Ok(Place::Waiting(_)) => true,
        Err(OpenError::QueueFull) => false,
        _ => panic!("neither waiting nor full"),
    };
    super::eventually(&*it.clock, "room", room).await;
}

/// While a turn may be committed `poll_lost` does not resolve.
pub async fn a_ticket_that_holds_is_not_lost(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let (id, other) = (it.session().await, it.session().await);
    let mut opened = it.opened(id).await;
    let _waiting = it.waiting(id).await;
    it.store.delete(other, &ANYBODY).await.expect("an answer");
    not_yet(&*it.clock, "the loss of a ticket", &mut std::future::poll_fn(|cx| opened.ticket.poll_lost(cx))).await;
    it.commit(opened, 1, 10).await.expect("a commit");
}

/// A deletion resolves the running turn's `poll_lost`; a commit that comes later stores nothing.
pub async fn deletion_ends_the_running_turn(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let mut opened = it.opened(id).await;
    {
        let mut lost = std::future::poll_fn(|cx| opened.ticket.poll_lost(cx));
        not_yet(&*it.clock, "the loss of a ticket", &mut lost).await;
        assert_eq!(it.store.delete(id, &ANYBODY).await.expect("an answer"), Deletion::Deleted);
        assert_eq!(soon(&*it.clock, "the loss of the ticket", lost).await, Lost::Deleted);
    }
    let committed = it.commit(opened, 1, 10).await;
    assert!(matches!(committed, Err(CommitError::Lost(Lost::Deleted))), "{committed:?}");
    assert!(!it.is_there(id).await);
    // One that never looked whether it was lost is refused as well.
    let id = it.session().await;
    let opened = it.opened(id).await;
    it.store.delete(id, &ANYBODY).await.expect("an answer");
    let committed = it.commit(opened, 1, 10).await;
    assert!(matches!(committed, Err(CommitError::Lost(_))), "{committed:?}");
    assert!(!it.is_there(id).await);
}

/// A deletion tells all who wait that the session is not there.
pub async fn deletion_ends_the_waiting_turns(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let running = it.opened(id).await;
    let mut polled = it.waiting(id).await;
    let unpolled = it.waiting(id).await;
    not_yet(&*it.clock, "the second turn", &mut polled).await;
    it.store.delete(id, &ANYBODY).await.expect("an answer");
    for waiting in [polled, unpolled] {
        let waited = soon(&*it.clock, "the end of waiting", waiting).await.map(drop);
        assert!(matches!(waited, Err(OpenError::NotFound)), "{waited:?}");
    }
    drop(running);
    assert!(!it.is_there(id).await);
}

/// A deleted session is found by no way, with nothing of its memory.
pub async fn a_deleted_session_is_gone(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let opened = it.opened(id).await;
    it.commit(opened, 1, 10).await.expect("a commit");
    assert_eq!(it.store.delete(id, &ANYBODY).await.expect("an answer"), Deletion::Deleted);
    assert!(!it.is_there(id).await);
    assert!(matches!(it.place(id).await, Err(OpenError::NotFound)));
    assert_eq!(it.store.delete(id, &ANYBODY).await.expect("an answer"), Deletion::Missing);
    assert_eq!(it.store.list(0, 10).await.expect("a list").1, 0);
}

/// Reads that run beside commits see both messages of a turn or neither.
pub async fn readers_see_a_turn_whole_or_not_at_all(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let write = async {
        for n in 0..20 {
            let opened = it.opened(id).await;
            it.commit(opened, n, 6).await.expect("a commit");
        }
    };
    let read = async {
        for _ in 0..60 {
            let memory = it.memory(id).await;
            let contents = contents(&memory);
            assert!(contents.len() <= 6, "{contents:?}");
            for pair in contents.chunks(2) {
                assert!(pair.len() == 2 && pair[0][1..] == pair[1][1..], "{contents:?}");
            }
            it.clock.sleep_until(it.clock.moment().plus(Duration::from_millis(1))).await;
        }
    };
    futures_util::join!(write, read);
}

/// As many turns as may wait, at once: all are stored, each pair together.
pub async fn many_turns_at_once_keep_their_pairs(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let turns = (0..=MAX_WAITING).map(|n| {
        let it = &it;
        async move {
            let opened = it.opened(id).await;
            it.commit(opened, n, 100).await.expect("a commit");
        }
    });
    futures_util::future::join_all(turns).await;
    let memory = it.memory(id).await;
    let mut seen: Vec<&str> = Vec::new();
    for pair in memory.chunks(2) {
        assert_eq!((&pair[0].content[..1], &pair[0].content[1..]), ("q", &pair[1].content[1..]));
        seen.push(&pair[0].content[1..]);
    }
    seen.sort_by_key(|n| n.parse::<usize>().unwrap_or(usize::MAX));
    let all: Vec<String> = (0..=MAX_WAITING).map(|n| n.to_string()).collect();
    assert_eq!(seen, all);
}

/// Whenever the future of `open_turn` is dropped, free session or busy, the session stays usable.
pub async fn open_turn_may_be_dropped_at_every_poll(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for busy in [false, true] {
        for polls in 0.. {
            assert!(polls < MANY_POLLS, "open_turn wakes itself without end");
            let id = it.session().await;
            let running = if busy { Some(it.opened(id).await) } else { None };
            let opening = polled_at_most(it.store.open_turn(id, &ANYBODY, it.later()), polls);
            let ended = soon(&*it.clock, "open_turn", opening).await.is_some();
            drop(running);
            it.stays_usable(id).await;
            it.remembers(id, &["q998", "a998"]).await;
            if ended {
                break;
            }
        }
    }
}

/// Whenever a waiting turn is dropped, before its turn has come or after, the session stays usable.
pub async fn waiting_may_be_dropped_at_every_poll(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for polls in 0.. {
        assert!(polls < MANY_POLLS, "waiting wakes itself without end");
        let id = it.session().await;
        let running = it.opened(id).await;
        let mut waiting = it.waiting(id).await;
        let before = futures_util::poll!(&mut waiting);
        assert!(before.is_pending(), "two turns of one session run at once");
        it.commit(running, 1, 10).await.expect("a commit");
        let ended = soon(&*it.clock, "the turn's turn", polled_at_most(waiting, polls)).await.is_some();
        it.stays_usable(id).await;
        it.remembers(id, &["q1", "a1", "q998", "a998"]).await;
        if ended {
            break;
        }
    }
}

/// Whenever a commit is dropped, the session stays usable and holds all of the turn or nothing.
pub async fn commit_may_be_dropped_at_every_poll(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for polls in 0.. {
        assert!(polls < MANY_POLLS, "commit wakes itself without end");
        let id = it.session().await;
        let opened = it.opened(id).await;
        let committing = polled_at_most(opened.ticket.commit(turn(1), limit(10)), polls);
        let ended = soon(&*it.clock, "commit", committing).await;
        let memory = it.opened(id).await.memory;
        let contents = contents(&memory);
        assert!(contents.is_empty() || contents == ["q1", "a1"], "{contents:?}");
        if let Some(committed) = &ended {
            committed.as_ref().expect("a commit");
            assert!(!contents.is_empty(), "a commit that ended stored nothing");
        }
        it.stays_usable(id).await;
        if ended.is_some() {
            break;
        }
    }
}

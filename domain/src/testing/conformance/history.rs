//! The promises of [`HistoryStore`].

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;

use super::{Held, MANY_POLLS, polled_at_most, soon};
use crate::{
    message::{Message, Role},
    ports::{
        Clock,
        history::{ArchivedMessage, ArchivedSession, HistoryOp, HistoryStore, Page, SessionQuery},
    },
    session::{Session, SessionId},
    testing::samples::{THEN, contents, forget, full_message, full_session, open, record, said, session, turn},
    time::Timestamp,
};

/// A fresh and empty archive.
pub struct Subject {
    /// The archive.
    pub store: Arc<dyn HistoryStore>,
    /// A clock to wait by.
    pub clock: Arc<dyn Clock>,
    /// What has to live as long.
    pub held: Held,
}

impl Subject {
    /// An archive and a clock.
    pub fn new(store: Arc<dyn HistoryStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, held: Box::new(()) }
    }

    /// The same, keeping something alive.
    #[must_use]
    pub fn holding(mut self, held: impl std::any::Any + Send) -> Self {
        self.held = Box::new(held);
        self
    }

    async fn apply(&self, op: &HistoryOp) -> bool {
        soon(&*self.clock, "apply", self.store.apply(op)).await.expect("an operation is applied")
    }

    async fn page(&self, id: SessionId, offset: u64, limit: u32) -> Option<Page<ArchivedMessage>> {
        self.store.messages(id, offset, limit).await.expect("the archive answers")
    }

    async fn messages(&self, id: SessionId) -> Option<Vec<Arc<Message>>> {
        let page = self.page(id, 0, 200).await?;
        assert_eq!(page.total, page.items.len() as u64);
        Some(page.items.into_iter().map(|archived| Arc::new(archived.message)).collect())
    }

    async fn holds(&self, id: SessionId, expected: Option<&[&str]>) {
        let messages = self.messages(id).await;
        assert_eq!(messages.as_ref().map(|messages| contents(messages)), expected.map(<[&str]>::to_vec));
    }

    async fn sessions(&self, query: SessionQuery) -> (Vec<SessionId>, u64) {
        let page = self.store.sessions(&query).await.expect("the archive answers");
        (page.items.iter().map(|archived| archived.session.id).collect(), page.total)
    }

    async fn session(&self, id: SessionId) -> Option<ArchivedSession> {
        let page = self.store.sessions(&ALL).await.expect("the archive answers");
        let mut found = page.items.into_iter().filter(|archived| archived.session.id == id);
        let one = found.next();
        assert!(found.next().is_none(), "a session is archived twice");
        one
    }
}

const ALL: SessionQuery = SessionQuery { from: None, until: None, offset: 0, limit: 200 };

/// What an archive keeps of a session, JSON apart, whose members it may have put in another order.
fn kept(session: &Session) -> (SessionId, u32, Timestamp, Value) {
    let metadata = serde_json::from_str(session.metadata.as_json()).expect("JSON");
    (session.id, session.memory_limit.get(), session.created_at, metadata)
}

/// It answers when it is in order.
pub async fn it_answers(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    soon(&*it.clock, "ping", it.store.ping()).await.expect("an answer");
}

/// What was never archived is not there.
pub async fn what_is_not_archived_is_not_found(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    assert_eq!(it.sessions(ALL).await, (vec![], 0));
    it.holds(session(0).id, None).await;
}

/// A session is found as it was made; its prompt is archived, and no visible message.
pub async fn an_opened_session_is_found_and_its_prompt_is_not_shown(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for session in [session(0), full_session()] {
        let session = Arc::new(session);
        assert!(it.apply(&open(&session)).await);
        let found = it.session(session.id).await.expect("the session");
        assert_eq!(kept(&found.session), kept(&session));
        it.holds(session.id, Some(&[])).await;
    }
}

/// Messages are read in the order of their times, then ids, in whatever order they came.
pub async fn messages_are_read_in_the_order_of_their_times_then_ids(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(session(0));
    let (late, early) = (turn(3), turn(1));
    let mut same_time = [said(Role::User, "x", 20), said(Role::User, "y", 20), said(Role::User, "z", 20)];
    it.apply(&record(&session, &late)).await;
    it.apply(&record(&session, &same_time)).await;
    it.apply(&record(&session, &early)).await;
    same_time.sort_by_key(|message| message.id);
    let mut expected = contents(&early);
    // `q1` and `a1` are of 20 and 21: the first of them shares its time with the three.
    let mut first: Vec<_> = same_time.iter().chain([&early[0]]).collect();
    first.sort_by_key(|message| message.id);
    expected.splice(0..1, first.iter().map(|message| &*message.content));
    expected.extend(contents(&late));
    it.holds(session.id, Some(&expected)).await;
}

/// Identity, role, time and content come back as they went, whatever the content.
pub async fn contents_survive(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(session(0));
    let long = "Ä😀".repeat(50_000);
    let messages = [
        said(Role::User, "سلام 😀 '\"\\ %s <b> \r\n\t", 1),
        said(Role::Assistant, &long, 2),
        full_message(3),
        said(Role::User, " ", 4),
    ];
    it.apply(&record(&session, &messages)).await;
    let found = it.messages(session.id).await.expect("the session");
    assert_eq!(found.len(), messages.len());
    for (found, message) in found.iter().zip(&messages) {
        assert_eq!((found.id, found.role, found.at), (message.id, message.role, message.at));
        assert!(found.content == message.content, "{:.40?} and not {:.40?}", found.content, message.content);
    }
}

/// A record of a session that was never opened archives the session too.
pub async fn a_record_archives_its_session(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(full_session());
    assert!(it.apply(&record(&session, &turn(1))).await);
    let found = it.session(session.id).await.expect("the session");
    assert_eq!(kept(&found.session), kept(&session));
    it.holds(session.id, Some(&["q1", "a1"])).await;
}

/// An open that is applied after a record finds its session there and takes nothing away.
pub async fn an_open_that_comes_late_changes_nothing_but_the_prompt(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(full_session());
    it.apply(&record(&session, &turn(1))).await;
    it.apply(&open(&session)).await;
    assert!(it.session(session.id).await.is_some());
    it.holds(session.id, Some(&["q1", "a1"])).await;
}

/// An operation that is applied again changes nothing; messages are told apart by id, not by what they say.
pub async fn every_operation_can_be_applied_twice(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(full_session());
    let opening = open(&session);
    let (first, second) = (record(&session, &turn(1)), record(&session, &turn(2)));
    for op in [&opening, &first, &opening, &first, &second, &first, &second, &opening] {
        assert!(it.apply(op).await);
    }
    // A record that overlaps one that is there adds what is new of it.
    let overlapping = match &second {
        HistoryOp::Record { messages, .. } => vec![messages[1].clone(), said(Role::User, "q2", 99)],
        _ => unreachable!("a record"),
    };
    it.apply(&record(&session, &overlapping)).await;
    it.holds(session.id, Some(&["q1", "a1", "q2", "a2", "q2"])).await;
    assert_eq!(it.sessions(ALL).await, (vec![session.id], 1));
}

/// A forget tells whether there was anything to forget.
pub async fn forget_tells_whether_there_was_anything(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let (opened, recorded) = (Arc::new(session(0)), Arc::new(session(1)));
    it.apply(&open(&opened)).await;
    it.apply(&record(&recorded, &turn(1))).await;
    assert!(!it.apply(&forget(&Arc::new(session(2)))).await);
    for session in [opened, recorded] {
        assert!(it.apply(&forget(&session)).await);
        assert!(!it.apply(&forget(&session)).await);
    }
}

/// What is applied for a session after it was forgotten changes nothing, and succeeds.
pub async fn forget_is_final(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for was_there in [true, false] {
        let session = Arc::new(full_session());
        if was_there {
            it.apply(&open(&session)).await;
            it.apply(&record(&session, &turn(1))).await;
        }
        it.apply(&forget(&session)).await;
        it.apply(&record(&session, &turn(1))).await;
        it.apply(&record(&session, &turn(2))).await;
        it.apply(&open(&session)).await;
        it.holds(session.id, None).await;
        assert_eq!(it.sessions(ALL).await, (vec![], 0));
        assert!(!it.apply(&forget(&session)).await);
    }
}

/// A forget of what nobody knows, and of which nothing is archived, leaves nothing behind that would keep such a session
/// out of the archive. What is archived is forgotten for good, known or not.
pub async fn a_forget_of_what_nobody_knows_leaves_nothing(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(full_session());
    let unknown = HistoryOp::Forget { session: session.id, is_known: false };
    assert!(!it.apply(&unknown).await);
    assert_eq!(it.sessions(ALL).await, (vec![], 0));
    it.apply(&record(&session, &turn(1))).await;
    it.holds(session.id, Some(&["q1", "a1"])).await;
    assert!(it.apply(&unknown).await);
    it.apply(&record(&session, &turn(1))).await;
    it.holds(session.id, None).await;
    assert!(!it.apply(&unknown).await);
    it.apply(&record(&session, &turn(2))).await;
    it.holds(session.id, None).await;
}

/// A forget takes one session and leaves the others.
pub async fn forget_takes_one_session_only(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let (one, other) = (Arc::new(session(0)), Arc::new(session(1)));
    for session in [&one, &other] {
        it.apply(&record(session, &turn(1))).await;
    }
    it.apply(&forget(&one)).await;
    it.holds(one.id, None).await;
    it.holds(other.id, Some(&["q1", "a1"])).await;
    assert_eq!(it.sessions(ALL).await, (vec![other.id], 1));
}

/// Sessions come newest first; those of one time by their ids.
pub async fn sessions_come_newest_first_then_by_id(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let mut all: Vec<_> = [10, 30, 20, 20, 20].map(|millis| Arc::new(session(millis))).into();
    for session in &all {
        it.apply(&open(session)).await;
    }
    all.sort_by_key(|session| (std::cmp::Reverse(session.created_at), session.id));
    let expected: Vec<_> = all.iter().map(|session| session.id).collect();
    assert_eq!(it.sessions(ALL).await, (expected, 5));
}

/// Sessions are found by the time they were made, both ends included, before pages are cut.
pub async fn sessions_are_found_by_their_time(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let mut ids = Vec::new();
    for millis in [0, 10, 20, 30] {
        let session = Arc::new(session(millis));
        it.apply(&open(&session)).await;
        ids.push(session.id);
    }
    let at = |millis| Some(Timestamp::from_millis(THEN + millis));
    let between = |from, until| SessionQuery { from, until, ..ALL };
    assert_eq!(it.sessions(between(at(10), at(20))).await, (vec![ids[2], ids[1]], 2));
    assert_eq!(it.sessions(between(at(11), None)).await, (vec![ids[3], ids[2]], 2));
    assert_eq!(it.sessions(between(None, at(9))).await, (vec![ids[0]], 1));
    assert_eq!(it.sessions(between(at(20), at(10))).await, (vec![], 0));
    assert_eq!(it.sessions(SessionQuery { offset: 1, limit: 1, ..between(at(10), None) }).await, (vec![ids[2]], 3));
}

/// Pages of sessions join to the whole; each tells the size of it.
pub async fn sessions_come_in_pages(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for millis in 0..7 {
        it.apply(&open(&Arc::new(session(millis)))).await;
    }
    let (all, _) = it.sessions(ALL).await;
    let mut joined = Vec::new();
    for offset in [0, 3, 6, 9] {
        let (page, total) = it.sessions(SessionQuery { offset, limit: 3, ..ALL }).await;
        assert_eq!(total, 7);
        joined.extend(page);
    }
    assert_eq!(joined, all);
}

/// Pages of messages join to the whole, in which prompts neither show nor count.
pub async fn messages_come_in_pages_that_leave_prompts_out(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(full_session());
    it.apply(&open(&session)).await;
    for n in 1..=3 {
        it.apply(&record(&session, &turn(n))).await;
    }
    let mut joined = Vec::new();
    for offset in [0, 4, 8] {
        let page = it.page(session.id, offset, 4).await.expect("the session");
        assert_eq!(page.total, 6);
        joined.extend(page.items.into_iter().map(|archived| String::from(archived.message.content)));
    }
    assert_eq!(joined, ["q1", "a1", "q2", "a2", "q3", "a3"]);
}

/// Two who apply one operation at one time, one of them given up by its process, leave its messages once.
pub async fn one_operation_applied_by_two_at_once_counts_once(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let session = Arc::new(full_session());
    for n in 0..5 {
        let op = record(&session, &turn(n));
        join_all([it.apply(&op), it.apply(&op), it.apply(&op)]).await;
        assert_eq!(it.page(session.id, 0, 200).await.expect("the session").total, 2 * (n as u64 + 1));
    }
    assert_eq!(it.sessions(ALL).await, (vec![session.id], 1));
}

/// A session that is forgotten while it is recorded is gone, whichever came first.
pub async fn a_record_and_a_forget_at_once_leave_nothing(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for n in 0..10 {
        let session = Arc::new(session(n));
        it.apply(&open(&session)).await;
        let (recording, forgetting) = (record(&session, &turn(1)), forget(&session));
        let (both, reversed);
        if n % 2 == 0 {
            both = [&recording, &forgetting];
            join_all(both.map(|op| it.apply(op))).await;
        } else {
            reversed = [&forgetting, &recording];
            join_all(reversed.map(|op| it.apply(op))).await;
        }
        it.holds(session.id, None).await;
    }
    assert_eq!(it.sessions(ALL).await, (vec![], 0));
}

/// Records of many sessions at one time are all there.
pub async fn many_sessions_are_recorded_at_once(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let sessions: Vec<_> = (0..20).map(|millis| Arc::new(session(millis))).collect();
    let ops: Vec<_> = sessions.iter().map(|session| record(session, &turn(1))).collect();
    join_all(ops.iter().map(|op| it.apply(op))).await;
    for session in &sessions {
        it.holds(session.id, Some(&["q1", "a1"])).await;
    }
}

/// Whenever an apply is dropped, a turn's two messages are not parted, and applied again they are there once.
pub async fn apply_may_be_dropped_at_every_poll(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    for polls in 0.. {
        assert!(polls < MANY_POLLS, "apply wakes itself without end");
        let session = Arc::new(session(polls as i64));
        it.apply(&open(&session)).await;
        let op = record(&session, &turn(1));
        let ended = soon(&*it.clock, "apply", polled_at_most(it.store.apply(&op), polls)).await.is_some();
        let page = it.page(session.id, 0, 200).await.expect("the session");
        assert!(matches!(page.total, 0 | 2), "{} messages of two", page.total);
        it.apply(&op).await;
        it.holds(session.id, Some(&["q1", "a1"])).await;
        it.apply(&forget(&session)).await;
        if ended {
            break;
        }
        // What was given up may still be applied a moment later: not to this session.
        it.clock.sleep_until(it.clock.moment().plus(Duration::from_millis(5))).await;
        it.holds(session.id, None).await;
    }
}

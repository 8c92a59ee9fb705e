//! What the conformance suite cannot know: this store's bounds, its sweep, its behaviour under real concurrency.

mod at_once;

use std::collections::HashMap;

use chat_domain::{
    message::{Message, MessageId, Role},
    ports::sessions::{CommitError, Lost, MAX_WAITING, Opened},
    session::{KeyHash, MemoryLimit, Metadata},
    time::Timestamp,
};
use futures_util::{FutureExt, future::BoxFuture, poll};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::system::SystemClock;

const TTL: Duration = Duration::from_secs(600);
const ANYBODY: Caller = Caller::Client(None);
/// Later than any test; what waits in vain ends as busy, and fails.
const LATER: Moment = Moment(Duration::from_secs(24 * 60 * 60));

fn store(capacity: usize, ttl: Option<Duration>) -> Arc<LocalSessions> {
    Arc::new(LocalSessions::new(SessionPolicy { capacity, ttl }, Arc::new(SystemClock::new())))
}

fn session(id: u128) -> Arc<Session> {
    Arc::new(Session {
        id: SessionId(Uuid::from_u128(id)),
        owner: None,
        memory_limit: limit(10),
        created_at: Timestamp::from_millis(1_000),
        metadata: Metadata::default(),
        system_prompt: None,
    })
}

fn limit(messages: u32) -> MemoryLimit {
    MemoryLimit::new(messages).expect("not zero")
}

fn said(content: &str) -> Arc<Message> {
    Arc::new(Message::said(MessageId(Uuid::nil()), Timestamp::default(), Role::User, content))
}

async fn create(store: &LocalSessions, id: u128) -> SessionId {
    let session = session(id);
    store.create(session.clone()).await.expect("room");
    session.id
}

async fn open(store: &LocalSessions, id: SessionId) -> Place {
    store.open_turn(id, &ANYBODY, LATER).await.expect("a place")
}

async fn open_now(store: &LocalSessions, id: SessionId) -> Opened {
    match open(store, id).await {
        Place::Open(opened) => opened,
        Place::Waiting(_) => panic!("the turn should be free"),
    }
}

async fn wait(store: &LocalSessions, id: SessionId) -> BoxFuture<'static, Result<Opened, OpenError>> {
    match open(store, id).await {
        Place::Open(_) => panic!("the turn should be taken"),
        Place::Waiting(waiting) => waiting,
    }
}

async fn remembered(store: &LocalSessions, id: SessionId) -> Vec<String> {
    let snapshot = store.read(id, &ANYBODY).await.expect("available").expect("a session");
    snapshot.memory.iter().map(|message| message.content.to_string()).collect()
}

async fn commit(opened: Opened, contents: &[&str], keep: u32) -> Result<(), CommitError> {
    let new: Vec<Arc<Message>> = contents.iter().map(|content| said(content)).collect();
    opened.ticket.commit(new.into(), limit(keep)).await
}

#[tokio::test(start_paused = true)]
async fn turns_come_in_order_and_a_commit_is_seen_by_the_next() {
    let store = store(10, None);
    let id = create(&store, 1).await;
    let first = open_now(&store, id).await;
    let (second, mut third) = (wait(&store, id).await, wait(&store, id).await);
    assert!(poll!(&mut third).is_pending());
    commit(first, &["1", "2"], 10).await.expect("stored");
    // The second has the turn although it has not looked yet.
    assert!(poll!(&mut third).is_pending());
    let second = second.await.expect("its turn");
    assert_eq!(second.memory.len(), 2);
    assert!(poll!(&mut third).is_pending());
    commit(second, &["3", "4"], 3).await.expect("stored");
    assert_eq!(third.await.expect("its turn").memory.len(), 3);
    assert_eq!(remembered(&store, id).await, ["2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_dropped_goes_on_to_the_next() {
    let store = store(10, None);
    let id = create(&store, 1).await;
    let first = open_now(&store, id).await;
    let mut granted = wait(&store, id).await;
    let never_polled = wait(&store, id).await;
    let last = tokio::spawn(wait(&store, id).await);
    assert!(poll!(&mut granted).is_pending());
    tokio::task::yield_now().await;
    drop(first);
    drop(granted);
    drop(never_polled);
    let opened = last.await.expect("no panic").expect("its turn");
    drop(opened);
    drop(open_now(&store, id).await);
    assert!(remembered(&store, id).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_deadlines_are_kept() {
    let store = store(10, None);
    let id = create(&store, 1).await;
    let clock = SystemClock::new();
    let running = open_now(&store, id).await;
    let mut waiting = Vec::new();
    for _ in 0..MAX_WAITING {
        waiting.push(wait(&store, id).await);
    }
    assert!(matches!(store.open_turn(id, &ANYBODY, LATER).await, Err(OpenError::QueueFull)));
    waiting.pop();
    let deadline = clock.moment().plus(Duration::from_secs(7));
    let Ok(Place::Waiting(impatient)) = store.open_turn(id, &ANYBODY, deadline).await else { panic!("has to wait") };
    assert!(matches!(impatient.await, Err(OpenError::Busy)));
    assert!(clock.moment().since(deadline) < Duration::from_millis(2), "{:?}", clock.moment());
    // Its place is free again.
    waiting.push(wait(&store, id).await);
    drop(running);
    drop(waiting);
    drop(open_now(&store, id).await);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_every_turn() {
    let store = store(10, None);
    let id = create(&store, 1).await;
    let mut running = open_now(&store, id).await;
    let waiting = tokio::spawn(wait(&store, id).await);
    let never_polled = wait(&store, id).await;
    let lost = tokio::spawn(async move {
        let lost = std::future::poll_fn(|cx| running.ticket.poll_lost(cx)).await;
        (lost, running)
    });
    tokio::task::yield_now().await;
    assert_eq!(store.delete(id, &ANYBODY).await.expect("available"), Deletion::Deleted);
    let waiting = tokio::time::timeout(Duration::from_secs(9), waiting).await.expect("woken");
    assert!(matches!(waiting.expect("no panic"), Err(OpenError::NotFound)));
    assert!(matches!(never_polled.await, Err(OpenError::NotFound)));
    let (lost, running) = tokio::time::timeout(Duration::from_secs(9), lost).await.expect("woken").expect("no panic");
    assert_eq!(lost, Lost::Deleted);
    // The same id again is another session: the old ticket has no say in it.
    create(&store, 1).await;
    let new = open_now(&store, id).await;
    assert!(matches!(commit(running, &["old"], 10).await, Err(CommitError::Lost(Lost::Deleted))));
    commit(new, &["new"], 10).await.expect("stored");
    assert_eq!(remembered(&store, id).await, ["new"]);
}

#[tokio::test]
async fn other_callers_sessions_are_not_found() {
    let store = store(10, None);
    let owned = Arc::new(Session { owner: Some(Box::new(KeyHash([1; 32]))), ..Session::clone(&session(1)) });
    store.create(owned.clone()).await.expect("room");
    let (owner, other) = (Caller::Client(Some(KeyHash([1; 32]))), Caller::Client(Some(KeyHash([2; 32]))));
    for stranger in [&other, &ANYBODY] {
        assert!(store.read(owned.id, stranger).await.expect("available").is_none());
        assert!(matches!(store.open_turn(owned.id, stranger, LATER).await, Err(OpenError::NotFound)));
        assert_eq!(store.delete(owned.id, stranger).await.expect("available"), Deletion::Foreign);
    }
    assert!(store.read(owned.id, &Caller::Operator).await.expect("available").is_some());
    assert_eq!(store.delete(owned.id, &owner).await.expect("available"), Deletion::Deleted);
    assert_eq!(store.delete(owned.id, &other).await.expect("available"), Deletion::Foreign);
    store.finish_deletion(owned.id).await;
    assert_eq!(store.delete(owned.id, &other).await.expect("available"), Deletion::Missing);
}

#[tokio::test(start_paused = true)]
async fn the_idle_expire_and_those_with_turns_do_not() {
    let store = store(3, Some(TTL));
    let clock = SystemClock::new();
    let (idle, read, busy) = (create(&store, 1).await, create(&store, 2).await, create(&store, 3).await);
    let running = open_now(&store, busy).await;
    tokio::time::advance(TTL / 2).await;
    remembered(&store, read).await;
    assert_eq!(store.sweep(clock.moment()), 0);
    tokio::time::advance(TTL / 2).await;
    // Gone before the sweep has come round, though its room is not free yet.
    assert!(store.read(idle, &ANYBODY).await.expect("available").is_none());
    assert!(matches!(store.open_turn(idle, &ANYBODY, LATER).await, Err(OpenError::NotFound)));
    assert_eq!(store.delete(idle, &ANYBODY).await.expect("available"), Deletion::Missing);
    assert_eq!(store.list(0, 10).await.expect("available").1, 2);
    assert!(matches!(store.create(session(4)).await, Err(CreateError::Capacity)));
    assert_eq!(store.sweep(clock.moment()), 1);
    assert_eq!(store.count().await.expect("available"), 2);
    create(&store, 4).await;
    // However long the turn takes; idleness begins when it has ended.
    tokio::time::advance(10 * TTL).await;
    assert_eq!(store.sweep(clock.moment()), 2);
    drop(running);
    tokio::time::advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(store.sweep(clock.moment()), 0);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(store.sweep(clock.moment()), 1);
    assert_eq!(store.count().await.expect("available"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_goes_through_all_however_many_lie_in_one_shard() {
    let store = store(usize::MAX, Some(TTL));
    let clock = SystemClock::new();
    // Ids with the same last byte share a shard.
    let ids = (1..=10 * SWEPT_AT_ONCE as u128).map(|number| number << 8);
    for id in ids.clone() {
        create(&store, id).await;
    }
    tokio::time::advance(TTL / 2).await;
    for id in ids.clone().step_by(3) {
        remembered(&store, SessionId(Uuid::from_u128(id))).await;
    }
    tokio::time::advance(TTL / 2).await;
    let kept = ids.clone().step_by(3).count();
    assert_eq!(store.sweep(clock.moment()), ids.count() - kept);
    assert_eq!(store.list(0, 1).await.expect("available").1, kept);
}

proptest! {
    #[test]
    fn memory_is_the_last_of_all_that_was_said(turns in prop::collection::vec((0usize..5, 1u32..12), 0..30)) {
        let store = store(1, None);
        let mut expected: Vec<String> = Vec::new();
        let mut said = 0..;
        async {
            let id = create(&store, 1).await;
            for (new, keep) in turns {
                let new: Vec<String> = said.by_ref().take(new).map(|number: u32| number.to_string()).collect();
                let opened = open_now(&store, id).await;
                commit(opened, &new.iter().map(String::as_str).collect::<Vec<_>>(), keep).await.expect("stored");
                expected.extend(new);
                expected.drain(..expected.len().saturating_sub(keep as usize));
                prop_assert_eq!(&remembered(&store, id).await, &expected);
            }
            Ok(())
        }
        .now_or_never()
        .expect("nothing waits")?;
    }

    #[test]
    fn a_page_is_a_part_of_the_sorted_whole(
        times in prop::collection::hash_map(0u128..5_000, 0i64..9, 0..80),
        offset in 0usize..100,
        limit in 0usize..100,
    ) {
        let store = store(usize::MAX, None);
        let mut all: Vec<(Reverse<i64>, u128)> = Vec::new();
        let times: HashMap<u128, i64> = times;
        for (id, at) in times {
            let session = Session { created_at: Timestamp::from_millis(at), ..Session::clone(&session(id)) };
            store.create(Arc::new(session)).now_or_never().expect("nothing waits").expect("room");
            all.push((Reverse(at), id));
        }
        all.sort_unstable();
        let (page, total) = store.list(offset, limit).now_or_never().expect("nothing waits").expect("available");
        let page: Vec<u128> = page.iter().map(|session| session.id.0.as_u128()).collect();
        let expected: Vec<u128> = all.iter().skip(offset).take(limit).map(|(_, id)| *id).collect();
        prop_assert_eq!((page, total), (expected, all.len()));
    }

    #[test]
    fn a_shard_finds_what_it_was_given(steps in prop::collection::vec((0u128..20, 0u8..3), 0..200)) {
        let mut shard = Shard::default();
        let mut model: HashMap<u128, Arc<Entry>> = HashMap::new();
        let same = |one: &Option<Arc<Entry>>, other: &Option<Arc<Entry>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        for (id, step) in steps {
            let key = SessionId(Uuid::from_u128(id));
            match step {
                0 => {
                    let entry = Arc::new(Entry::new(session(id), Moment::default()));
                    prop_assert!(same(&shard.insert(entry.clone()), &model.insert(id, entry)));
                }
                1 => prop_assert!(same(&shard.remove(key), &model.remove(&id))),
                _ => prop_assert!(same(&shard.get(key).cloned(), &model.get(&id).cloned())),
            }
            prop_assert_eq!(shard.entries().count(), model.len());
        }
    }
}

//! Turns run one at a time, in order, until the session is deleted.
//!
//! What waits is joined with what ends its waiting: it has to be woken, looking again would find anything.

use std::time::Duration;

use futures_util::{
    FutureExt, StreamExt,
    future::{join, join_all},
    stream::FuturesUnordered,
};

use super::{ANYBODY, Subject};
use crate::{
    ports::sessions::{CommitError, Deletion, Lost, MAX_WAITING, OpenError, Place},
    testing::{
        conformance::{eventually, not_yet, soon},
        samples::contents,
    },
};

/// A ticket that is dropped stores nothing, and the next turn goes on.
pub async fn a_dropped_ticket_stores_nothing_and_the_next_goes_on(make: impl AsyncFn() -> Subject) {
    let it = make().await;
    let id = it.session().await;
    let first = it.opened(id).await;
    let second = it.waiting(id).await;
    let (second, ()) = join(soon(&*it.clock, "the next turn", second), async { drop(first) }).await;
    let second = second.expect("a turn");
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
    let (second, committed) = join(soon(&*it.clock, "the second turn", second), it.commit(first, 1, 10)).await;
    committed.expect("a commit");
    assert_eq!(contents(&second.expect("a turn").memory), ["q1", "a1"]);
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
    let leave = async {
        drop((polled, unpolled));
        it.commit(first, 1, 10).await
    };
    let (last, committed) = join(soon(&*it.clock, "the last turn", last), leave).await;
    committed.expect("a commit");
    let last = last.expect("a turn");
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
    eventually(&*it.clock, "room", room).await;
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
        let deleting = it.store.delete(id, &ANYBODY);
        let (lost, deleted) = join(soon(&*it.clock, "the loss of the ticket", lost), deleting).await;
        assert_eq!((lost, deleted.expect("an answer")), (Lost::Deleted, Deletion::Deleted));
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
    let waiting = [polled, unpolled].map(|waiting| soon(&*it.clock, "the end of waiting", waiting));
    let (waited, deleted) = join(join_all(waiting), it.store.delete(id, &ANYBODY)).await;
    assert_eq!(deleted.expect("an answer"), Deletion::Deleted);
    for waited in waited {
        let waited = waited.map(drop);
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
    assert_eq!(it.store.list(0, 10).await.expect("a list").1, 0);
    it.store.finish_deletion(id).await;
    assert_eq!(it.store.delete(id, &ANYBODY).await.expect("an answer"), Deletion::Missing);
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

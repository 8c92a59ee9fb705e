//! Whatever is dropped, whenever: the session stays usable and holds all of a turn or nothing.

use super::{ANYBODY, Subject};
use crate::testing::{
    conformance::{MANY_POLLS, polled_at_most, soon},
    samples::{contents, limit, turn},
};

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

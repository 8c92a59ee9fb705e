//! Turns, deletions and sweeps of many threads at once.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, AtomicU64},
};

use super::*;

/// Runs `work` on a runtime of several threads, `tasks` times at once.
async fn at_once<F: Future<Output = ()> + Send + 'static>(tasks: u64, work: impl Fn(u64) -> F) {
    let running: Vec<_> = (0..tasks).map(|number| tokio::spawn(work(number))).collect();
    for task in running {
        tokio::time::timeout(Duration::from_secs(60), task).await.expect("a task hangs").expect("no panic");
    }
}

/// A cheap sequence of choices, another one for each seed.
fn choices(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_turn_at_a_time_whoever_gives_up() {
    let store = store(10, None);
    let id = create(&store, 1).await;
    let (is_running, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    at_once(24, |number| {
        let (store, is_running, committed) = (store.clone(), is_running.clone(), committed.clone());
        async move {
            let mut choose = choices(number + 1);
            for _ in 0..300 {
                let opened = match open(&store, id).await {
                    Place::Open(opened) => opened,
                    Place::Waiting(mut waiting) => match choose(4) {
                        0 => continue,
                        1 => {
                            let Some(opened) = (&mut waiting).now_or_never() else { continue };
                            opened.expect("its turn")
                        }
                        _ => waiting.await.expect("its turn"),
                    },
                };
                assert!(!is_running.swap(true, Ordering::SeqCst), "two turns at once");
                assert_eq!(opened.memory.len() as u64, committed.load(Ordering::SeqCst));
                if choose(2) == 0 {
                    tokio::task::yield_now().await;
                }
                is_running.store(false, Ordering::SeqCst);
                if choose(3) > 0 {
                    // Nobody else reads the number before this turn has ended.
                    committed.fetch_add(1, Ordering::SeqCst);
                    commit(opened, &["x"], u32::MAX).await.expect("stored");
                }
            }
        }
    })
    .await;
    assert_eq!(remembered(&store, id).await.len() as u64, committed.load(Ordering::SeqCst));
    drop(open_now(&store, id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_a_turn_that_has_ended() {
    // Waiting tasks are aborted, tickets dropped and committed, all at once; whoever is left over must get its turn.
    let store = store(10, None);
    let id = create(&store, 1).await;
    for round in 0..200u64 {
        let running = open_now(&store, id).await;
        let mut tasks = Vec::new();
        for _ in 0..MAX_WAITING {
            let waiting = wait(&store, id).await;
            tasks.push(tokio::spawn(async move { drop(waiting.await.expect("its turn")) }));
        }
        let mut choose = choices(round + 1);
        let aborted: Vec<_> = tasks.iter().filter(|_| choose(2) == 0).map(|task| task.abort_handle()).collect();
        let aborting = tokio::spawn(async move { aborted.iter().for_each(tokio::task::AbortHandle::abort) });
        drop(running);
        aborting.await.expect("no panic");
        for task in tasks {
            let ended = tokio::time::timeout(Duration::from_secs(10), task).await.expect("a turn that nobody gave");
            assert!(ended.is_ok() || ended.is_err_and(|error| error.is_cancelled()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_count_never_drifts() {
    const CAPACITY: usize = 40;
    let store = store(CAPACITY, Some(Duration::from_micros(300)));
    let clock = SystemClock::new();
    at_once(16, |number| {
        let store = store.clone();
        async move {
            let mut choose = choices(number + 1);
            for _ in 0..2_000 {
                let id = u128::from(choose(100));
                let session = session(id);
                match choose(5) {
                    0 | 1 => drop(store.create(session).await),
                    2 => drop(store.delete(session.id, &ANYBODY).await),
                    3 => drop(store.sweep(clock.moment())),
                    _ => {
                        if let Ok(Place::Open(opened)) = store.open_turn(session.id, &ANYBODY, LATER).await {
                            // Deleted or replaced meanwhile, or not.
                            drop(commit(opened, &["x"], 3).await);
                        }
                    }
                }
                assert!(store.count().await.expect("available") <= CAPACITY);
            }
        }
    })
    .await;
    let kept: usize = store.shards.iter().map(|shard| lock(shard).entries().count()).sum();
    assert_eq!(store.count().await.expect("available"), kept);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(store.sweep(clock.moment()), kept);
    assert_eq!(store.count().await.expect("available"), 0);
    for id in 0..CAPACITY as u128 {
        create(&store, id).await;
    }
}

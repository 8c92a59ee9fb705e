//! Redis killed and started again under those who are at work.

use std::time::{Duration, Instant};

use chat_domain::ports::sessions::{Lost, Place, SessionStore};
use chat_test_support::{RedisServer, assert_eventually};

use crate::{
    faults::{is_well_again, patient_store, within_bounds},
    load::Load,
    scene::{ANYBODY, BOUND, commit, create, memory, open, place, prefix, store},
};

/// How often a test is tried that a machine may be too busy for.
const TRIES: usize = 10;

/// Restarts a server so soon that those who ask have not given up, or tells that the machine is too busy for that now.
fn restart_soon(server: &RedisServer) -> bool {
    let began = Instant::now();
    tokio::task::block_in_place(|| server.restart());
    began.elapsed() < Duration::from_millis(600)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_outlives_a_restart() {
    let server = RedisServer::start_with(&["--appendfsync", "always"]);
    let store = store(&server.url(), &prefix()).await;
    for _ in 0..TRIES {
        let id = create(&store).await.id;
        let opened = open(&store, id).await;
        server.kill();
        // Until it has been noticed: commits are not only sent again, they also wait for a connection.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (committed, is_soon) = tokio::join!(within_bounds(commit(opened, 1)), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            restart_soon(&server)
        });
        if is_soon {
            committed.expect("a commit");
            assert_eq!(memory(&store, id).await, ["q1", "a1"]);
            return;
        }
        is_well_again(&store).await;
    }
    panic!("the machine is too busy to restart a Redis");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_waits_outlives_a_restart_and_hints_come_again() {
    let server = RedisServer::start_with(&["--appendfsync", "always"]);
    let prefix = prefix();
    let (ours, other) = (patient_store(&server, &prefix).await, patient_store(&server, &prefix).await);
    for _ in 0..TRIES {
        let id = create(&ours).await.id;
        let running = open(&ours, id).await;
        let Ok(Place::Waiting(waiting)) = place(&other, id).await else { panic!("two turns at once") };
        server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if !restart_soon(&server) {
            drop((running, waiting));
            is_well_again(&ours).await;
            is_well_again(&other).await;
            continue;
        }
        commit(running, 1).await.expect("a commit");
        let mut opened = waiting.await.expect("a turn");
        assert_eq!(opened.memory.len(), 2);
        // Each replica hears on its own channel, and both on the bypass list's.
        let heard = || server.cli(&["PUBSUB", "CHANNELS"]).lines().count();
        assert_eventually!(heard() == 3, Duration::from_secs(20));
        ours.delete(id, &ANYBODY).await.expect("an answer");
        let lost = std::future::poll_fn(|cx| opened.ticket.poll_lost(cx));
        let lost = tokio::time::timeout(Duration::from_secs(10), lost).await;
        assert_eq!(lost.expect("told"), Lost::Deleted);
        return;
    }
    panic!("the machine is too busy to restart a Redis");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_restarted_loses_and_doubles_nothing() {
    let server = RedisServer::start_with(&["--appendfsync", "always"]);
    let load = Load::begin(&server.url()).await;
    for _ in 0..3 {
        load.goes_on(50, Duration::from_secs(10)).await;
        tokio::task::block_in_place(|| server.kill());
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| server.restart());
    }
    load.goes_on(50, Duration::from_secs(10)).await;
    let slowest = load.end(false).await;
    assert!(slowest < BOUND, "{slowest:?}");
}

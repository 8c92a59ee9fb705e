//! Several replicas on one Redis: order, death, and deletion from elsewhere.

use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use chat_domain::{
    ports::sessions::{CommitError, Deletion, Lost, MAX_WAITING, OpenError, Place, SessionStore},
    session::SessionId,
};
use chat_redis::SessionPolicy;
use chat_test_support::{RedisServer, assert_eventually, assert_in_time};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{runtime::Runtime, time::timeout};

use crate::scene::{ANYBODY, commit, create, memory, open, patient, place, policy, prefix, replica, store};

fn url() -> String {
    RedisServer::shared().url()
}

/// A runtime of its own, that only goes on while it is asked to: a replica that can stall and die.
fn own_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What a replica does before it dies, with everything it has in Redis left there.
async fn then_die<T: Send + 'static>(what: impl AsyncFnOnce() -> T + Send + 'static) {
    let dying = std::thread::spawn(move || {
        let runtime = own_runtime();
        // Never dropped, and so never given back.
        std::mem::forget(runtime.block_on(what()));
    });
    tokio::task::spawn_blocking(|| dying.join()).await.expect("no panic").expect("no panic");
}

#[tokio::test]
async fn turns_of_two_replicas_run_in_the_order_they_came_in() {
    let prefix = prefix();
    let replicas = [store(&url(), &prefix).await, store(&url(), &prefix).await];
    let id = create(&replicas[0]).await.id;
    let first = open(&replicas[1], id).await;
    let mut line = FuturesUnordered::new();
    for n in 1..12 {
        let Ok(Place::Waiting(waiting)) = place(&replicas[n % 2], id).await else { panic!("two turns at once") };
        line.push(waiting.map(move |opened| (n, opened)));
    }
    commit(first, 0).await.expect("a commit");
    let began = Instant::now();
    for expected in 1..12 {
        let (n, opened) = timeout(Duration::from_secs(5), line.next()).await.expect("a turn").expect("one waits");
        assert_eq!(n, expected);
        commit(opened.expect("a turn"), n).await.expect("a commit");
    }
    // Each is told by a message: by asking alone it would take most of a second each.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let expected: Vec<String> = (0..12).flat_map(|n| [format!("q{n}"), format!("a{n}")]).collect();
    assert_eq!(memory(&replicas[0], id).await, expected);
}

#[tokio::test]
async fn a_turn_whose_replica_died_is_passed_over_when_its_lease_ends() {
    let prefix = prefix();
    let ours = store(&url(), &prefix).await;
    let id = create(&ours).await.id;
    let began = Instant::now();
    then_die(async move || open(&*store(&url(), &prefix).await, id).await).await;
    let died = Instant::now();
    let opened = timeout(Duration::from_secs(10), open(&ours, id)).await.expect("the turn after");
    let lease = policy().lease;
    assert!(began.elapsed() > lease / 2, "after {:?}", began.elapsed());
    assert!(died.elapsed() < lease * 2, "after {:?}", died.elapsed());
    commit(opened, 1).await.expect("a commit");
    assert_eq!(memory(&ours, id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn one_who_died_waiting_is_passed_over_within_three_seconds() {
    let prefix = prefix();
    let ours = store(&url(), &prefix).await;
    assert_in_time("the turn behind", Duration::from_secs(3), async || {
        let id = create(&ours).await.id;
        let running = open(&ours, id).await;
        let (began, prefix) = (Instant::now(), prefix.clone());
        then_die(async move || {
            let place = place(&*store(&url(), &prefix).await, id).await;
            assert!(matches!(place, Ok(Place::Waiting(_))), "two turns at once");
            place
        })
        .await;
        let died = Instant::now();
        let Ok(Place::Waiting(behind)) = place(&ours, id).await else { panic!("two turns at once") };
        commit(running, 1).await.expect("a commit");
        timeout(Duration::from_secs(10), behind).await.expect("the turn behind").expect("a turn");
        assert!(began.elapsed() > Duration::from_secs(1), "after {:?}", began.elapsed());
        died.elapsed()
    })
    .await;
}

#[tokio::test]
async fn those_who_died_waiting_take_up_no_room() {
    let prefix = prefix();
    let ours = store(&url(), &prefix).await;
    let id = create(&ours).await.id;
    let _running = open(&ours, id).await;
    // Behind one who is alive, whom nobody has to pass over.
    let _first = place(&ours, id).await.expect("a place");
    then_die(async move || {
        let store = store(&url(), &prefix).await;
        let mut places = Vec::new();
        for _ in 1..MAX_WAITING {
            places.push(place(&store, id).await.expect("a place"));
        }
        places
    })
    .await;
    assert!(matches!(place(&ours, id).await, Err(OpenError::QueueFull)));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(place(&ours, id).await, Ok(Place::Waiting(_))));
}

#[tokio::test]
async fn expired_sessions_leave_the_index() {
    let prefix = prefix();
    let policy = SessionPolicy { ttl: Some(Duration::from_millis(300)), ..policy() };
    let ours = replica(&url(), &prefix).await.sessions(policy);
    // It has swept by now, and another one is not due yet.
    let swept = format!("{prefix}:sweep");
    assert_eventually!(RedisServer::shared().cli(&["DEL", &swept]) == "1", Duration::from_secs(5));
    for _ in 0..3 {
        create(&ours).await;
    }
    assert_eq!(ours.count().await.expect("a count"), 3);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let stays = replica(&url(), &prefix).await.sessions(SessionPolicy { ttl: None, ..policy });
    assert_eventually!(ours.count().await.expect("a count") == 0, Duration::from_secs(5));
    let session = create(&stays).await;
    assert_eq!(ours.list(0, 10).await.expect("a list"), (vec![session], 1));
}

/// However many are alive: those who have expired are found among the oldest, and a sweep goes on where the last one ended.
#[tokio::test]
async fn a_long_index_is_swept_from_its_old_end() {
    let server = RedisServer::start();
    let prefix = prefix();
    let (index, swept) = (format!("{prefix}:sessions"), format!("{prefix}:swept"));
    // Twenty thousand that live, between three that have expired and were made long ago and three of just now.
    let fill = "for i = 1, 20006 do
                    local id = string.format('00000000-0000-4000-8000-%012d', i)
                    redis.call('ZADD', KEYS[1], -i, id)
                    if i > 3 and i < 20004 then redis.call('HSET', ARGV[1] .. ':s:{' .. id .. '}:h', 's', '') end
                end";
    server.cli(&["EVAL", fill, "1", &index, &prefix]);
    let count = || server.cli(&["ZCARD", &index]);
    let dead = |i: usize| server.cli(&["ZSCORE", &index, &format!("00000000-0000-4000-8000-{i:012}")]).is_empty();
    let ours = store(&server.url(), &prefix).await;
    assert_eventually!(dead(1) && dead(3), Duration::from_secs(5));
    assert!(!dead(20_004), "it began at the old end");
    let is_swept = async || {
        // Each look keeps this thread, and with it the sweep, waiting for a process.
        tokio::time::sleep(Duration::from_millis(250)).await;
        count() == "20000" && server.cli(&["GET", &swept]) == "0"
    };
    assert_eventually!(is_swept().await, Duration::from_secs(60));
    drop(ours);

    server.cli(&["EVAL", fill, "1", &index, &prefix]);
    server.cli(&["DEL", &format!("{prefix}:sweep")]);
    server.cli(&["SET", &swept, "20000"]);
    let _other = store(&server.url(), &prefix).await;
    assert_eventually!(dead(20_004) && dead(20_006), Duration::from_secs(5));
    assert!(!dead(1), "it went on where the last one ended");
}

#[tokio::test]
async fn a_running_turn_keeps_its_lease() {
    let prefix = prefix();
    let (ours, other) = (store(&url(), &prefix).await, store(&url(), &prefix).await);
    let id = create(&ours).await.id;
    let running = open(&ours, id).await;
    let Ok(Place::Waiting(mut waiting)) = place(&other, id).await else { panic!("two turns at once") };
    let early = timeout(policy().lease * 2, &mut waiting).await;
    assert!(early.is_err(), "a running turn was passed over");
    commit(running, 1).await.expect("a commit");
    assert_eq!(waiting.await.expect("a turn").memory.len(), 2);
}

async fn lost(ours: &chat_redis::RedisSessions, id: SessionId, how: impl AsyncFnOnce()) -> (Lost, Duration) {
    let mut opened = open(ours, id).await;
    let mut lost = poll_fn(|cx| opened.ticket.poll_lost(cx));
    assert!(timeout(Duration::from_millis(50), &mut lost).await.is_err(), "lost too early");
    how().await;
    let began = Instant::now();
    let lost = timeout(Duration::from_secs(10), lost).await.expect("the loss of the ticket");
    let took = began.elapsed();
    let committed = commit(opened, 1).await;
    assert!(matches!(committed, Err(CommitError::Lost(_))), "{committed:?}");
    (lost, took)
}

#[tokio::test]
async fn a_deletion_elsewhere_ends_a_running_turn_at_once() {
    let prefix = prefix();
    // No renewal finds it out.
    let ours = replica(&url(), &prefix).await.sessions(patient());
    let other = store(&url(), &prefix).await;
    let id = create(&ours).await.id;
    let delete = async || {
        assert_eq!(other.delete(id, &ANYBODY).await.expect("an answer"), Deletion::Deleted);
    };
    assert_eq!(lost(&ours, id, delete).await.0, Lost::Deleted);
}

#[tokio::test]
async fn a_deletion_that_nobody_tells_of_is_found_out_with_the_next_renewal() {
    let prefix = prefix();
    let ours = store(&url(), &prefix).await;
    // The next renewal is due after a third of the lease at the latest.
    assert_in_time("the loss of the ticket", policy().lease / 2, async || {
        let id = create(&ours).await.id;
        let delete = async || {
            assert_eq!(RedisServer::shared().cli(&["DEL", &format!("{prefix}:s:{{{id}}}:h")]), "1");
        };
        let (lost, took) = lost(&ours, id, delete).await;
        assert_eq!(lost, Lost::Deleted);
        took
    })
    .await;
}

#[test]
fn a_replica_that_stalled_cannot_commit_any_more() {
    let (stalled, awake) = (own_runtime(), own_runtime());
    let prefix = prefix();
    let (theirs, id, opened) = stalled.block_on(async {
        let theirs = store(&url(), &prefix).await;
        let id = create(&theirs).await.id;
        let opened = open(&theirs, id).await;
        (theirs, id, opened)
    });
    // Nothing of the first runtime goes on meanwhile: as if the machine had stood still.
    let ours = awake.block_on(async {
        let ours = store(&url(), &prefix).await;
        let opened = timeout(Duration::from_secs(10), open(&ours, id)).await.expect("the turn after");
        commit(opened, 2).await.expect("a commit");
        ours
    });
    let committed = stalled.block_on(commit(opened, 1));
    assert!(matches!(committed, Err(CommitError::Lost(Lost::FencedOff))), "{committed:?}");
    assert_eq!(awake.block_on(memory(&ours, id)), ["q2", "a2"]);
    drop(theirs);
}

#[test]
fn a_replica_that_stalled_learns_that_it_was_passed_over() {
    let (stalled, awake) = (own_runtime(), own_runtime());
    let prefix = prefix();
    let (_theirs, id, mut opened) = stalled.block_on(async {
        let theirs = store(&url(), &prefix).await;
        let id = create(&theirs).await.id;
        let opened = open(&theirs, id).await;
        (theirs, id, opened)
    });
    let _running = awake.block_on(async {
        let ours = store(&url(), &prefix).await;
        timeout(Duration::from_secs(10), open(&ours, id)).await.expect("the turn after")
    });
    let lost = stalled.block_on(async { timeout(policy().lease, poll_fn(|cx| opened.ticket.poll_lost(cx))).await });
    assert_eq!(lost, Ok(Lost::FencedOff));
}

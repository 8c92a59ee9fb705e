//! Redis away, full, frozen, refusing: nothing hangs, nothing is lost that was promised, and all is well again by itself.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_domain::{
    admission::{BucketPolicy, parse_network},
    ports::{
        limits::{BypassList, Identity, RateLimiter},
        sessions::{CommitError, Deletion, Lost, MAX_WAITING, OpenError, Place, SessionStore, UNFINISHED_FOR},
    },
    testing::{
        conformance::eventually_within,
        samples::{session, session_id},
    },
};
use chat_redis::{Redis, RedisConfig, RedisSessions};
use chat_test_support::{RedisServer, assert_eventually, assert_in_time};
use tokio::io::AsyncWriteExt;

use crate::{
    line::Line,
    load::Load,
    scene::{
        ANYBODY, BOUND, clock, commit, connecting, create, memory, open, patient, place, prefix, replica, sessions,
        store,
    },
};

pub(crate) async fn within_bounds<T>(what: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let output = what.await;
    assert!(began.elapsed() < BOUND, "after {:?}", began.elapsed());
    output
}

pub(crate) async fn patient_store(server: &RedisServer, prefix: &str) -> RedisSessions {
    replica(&server.url(), prefix).await.sessions(patient())
}

/// That every way to the sessions says in time that there is no way.
pub(crate) async fn is_unavailable(store: &RedisSessions) {
    let id = session_id();
    assert!(within_bounds(store.create(Arc::new(session(0)))).await.is_err());
    assert!(within_bounds(store.read(id, &ANYBODY)).await.is_err());
    assert!(within_bounds(store.delete(id, &ANYBODY)).await.is_err());
    let opened = within_bounds(place(store, id)).await.map(drop);
    assert!(matches!(opened, Err(OpenError::Unavailable(_))), "{opened:?}");
}

pub(crate) async fn is_well_again(store: &RedisSessions) {
    let works = async || {
        let session = Arc::new(session(0));
        store.create(session.clone()).await.is_ok() && place(store, session.id).await.is_ok()
    };
    eventually_within(&*clock(), Duration::from_secs(20), "sessions", works).await;
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start();
    let store = store(&server.url(), &prefix()).await;
    let id = create(&store).await.id;
    for n in 0..3 {
        let opened = open(&store, id).await;
        server.cli(&["SCRIPT", "FLUSH"]);
        commit(opened, n).await.expect("a commit");
        server.cli(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(memory(&store, id).await.len(), 6);
}

#[tokio::test]
async fn an_emptied_redis_has_no_sessions_and_takes_new_ones() {
    let server = RedisServer::start();
    let store = store(&server.url(), &prefix()).await;
    let id = create(&store).await.id;
    let opened = open(&store, id).await;
    server.cli(&["FLUSHALL"]);
    server.cli(&["SCRIPT", "FLUSH"]);
    let committed = commit(opened, 1).await;
    assert!(matches!(committed, Err(CommitError::Lost(Lost::Deleted))), "{committed:?}");
    assert!(store.read(id, &ANYBODY).await.expect("an answer").is_none());
    assert_eq!(store.list(0, 10).await.expect("a list"), (vec![], 0));
    let id = create(&store).await.id;
    commit(open(&store, id).await, 2).await.expect("a commit");
    assert_eq!(memory(&store, id).await, ["q2", "a2"]);
}

/// A commit that was carried out, but whose answer was lost with its connection, is stored once, and known to be.
#[tokio::test]
async fn a_lost_answer_stores_nothing_twice() {
    let server = RedisServer::start();
    let line = Line::to(&server, Duration::ZERO).await;
    let store = store(&line.url(), &prefix()).await;
    let id = create(&store).await.id;
    for n in 0..3 {
        let opened = open(&store, id).await;
        line.lose_next_answer();
        within_bounds(commit(opened, n)).await.expect("a commit");
    }
    assert_eq!(memory(&store, id).await, ["q0", "a0", "q1", "a1", "q2", "a2"]);
    line.lose_next_answer();
    commit(within_bounds(open(&store, id)).await, 3).await.expect("a commit");
    assert!(line.lost() >= 4);
}

/// What a client is told of a deletion, and whether its history goes as well, must not depend on a connection.
#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_one() {
    let server = RedisServer::start();
    let line = Line::to(&server, Duration::ZERO).await;
    let prefix = prefix();
    let store = store(&line.url(), &prefix).await;
    let ids = [create(&store).await.id, create(&store).await.id];
    // So that Redis knows the script.
    assert_eq!(store.delete(ids[0], &ANYBODY).await.expect("an answer"), Deletion::Deleted);
    line.lose_next_answer();
    assert_eq!(within_bounds(store.delete(ids[1], &ANYBODY)).await.expect("an answer"), Deletion::Deleted);
    assert_eq!(line.lost(), 1);
    // What is left of it is no session, and not there for ever.
    assert!(matches!(place(&store, ids[1]).await, Err(OpenError::NotFound)));
    assert_eq!(store.list(0, 10).await.expect("a list"), (vec![], 0));
    let left = server.cli(&["KEYS", &format!("{prefix}:s:*")]);
    let (keys, day) = (left.lines().collect::<Vec<_>>(), UNFINISHED_FOR.as_secs());
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in keys {
        let seconds: u64 = server.cli(&["TTL", key]).parse().expect("seconds");
        assert!((day - 60..=day).contains(&seconds), "{seconds}");
    }
    for id in ids {
        store.finish_deletion(id).await;
        assert_eq!(store.delete(id, &ANYBODY).await.expect("an answer"), Deletion::Missing);
    }
    assert_eq!(server.cli(&["KEYS", &format!("{prefix}:s:*")]), "");
}

/// The same when another replica had its turn before it could be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_known_to_be_stored_after_turns_elsewhere() {
    let server = RedisServer::start();
    let line = Line::to(&server, Duration::ZERO).await;
    let prefix = prefix();
    let (store, other) = (store(&line.url(), &prefix).await, patient_store(&server, &prefix).await);
    let id = create(&store).await.id;
    for n in 0..3 {
        let ours = open(&store, id).await;
        let mut theirs = Vec::new();
        for _ in 0..MAX_WAITING {
            let Ok(Place::Waiting(waiting)) = place(&other, id).await else { panic!("two turns at once") };
            theirs.push(waiting);
        }
        line.lose_next_answer();
        let elsewhere = async {
            for (waiting, m) in theirs.into_iter().zip(1..) {
                commit(waiting.await.expect("a turn"), 100 * (n + 1) + m).await.expect("a commit");
            }
        };
        let (committed, ()) = tokio::join!(commit(ours, n), elsewhere);
        committed.expect("it was stored");
        let expected = (n + 1) * 2 * (MAX_WAITING + 1);
        assert_eq!(memory(&store, id).await.len(), expected, "and stored once");
    }
    assert_eq!(line.lost(), 3);
    let done = server.cli(&["HGET", &format!("{prefix}:s:{{{id}}}:h"), "done"]);
    assert!(done.len() < 600, "{done}");
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error() {
    let server = RedisServer::start();
    let prefix = prefix();
    let store = store(&server.url(), &prefix).await;
    let id = create(&store).await.id;
    server.cli(&["RPUSH", &format!("{prefix}:s:{{{id}}}:m"), "no message"]);
    assert!(store.read(id, &ANYBODY).await.is_err());
    assert!(matches!(place(&store, id).await, Err(OpenError::Unavailable(_))));
    server.cli(&["DEL", &format!("{prefix}:s:{{{id}}}:m")]);
    // The place that could not be used was given back.
    within_bounds(async { commit(open(&store, id).await, 1).await.expect("a commit") }).await;
}

#[tokio::test]
async fn a_turn_that_was_not_answered_in_time_is_given_back() {
    let server = RedisServer::start();
    let store = patient_store(&server, &prefix()).await;
    let id = create(&store).await.id;
    // So that Redis knows the script, and what it finds in its buffers does something.
    commit(open(&store, id).await, 0).await.expect("a commit");
    server.freeze();
    let opened = within_bounds(place(&store, id)).await.map(drop);
    assert!(matches!(opened, Err(OpenError::Unavailable(_))), "{opened:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.thaw();
    // Redis carries it out now: nobody must have to wait for its lease to end.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    within_bounds(async { commit(open(&store, id).await, 1).await.expect("a commit") }).await;
}

/// What a failover looks like from here: for a moment nobody may write. The answer has been paid for, so a commit waits.
#[tokio::test]
async fn a_commit_outlasts_a_failover() {
    let server = RedisServer::start();
    let store = patient_store(&server, &prefix()).await;
    let session = create(&store).await;
    let opened = open(&store, session.id).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    // Who promotes it is at hand: a process may start late.
    let mut operator = tokio::net::TcpStream::connect(server.address()).await.expect("a connection");
    let promoted = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        operator.write_all(b"REPLICAOF NO ONE\r\n").await.expect("promoted");
    };
    let (committed, ()) = tokio::join!(within_bounds(commit(opened, 1)), promoted);
    assert!(committed.is_ok(), "{committed:?}");
    assert_eq!(memory(&store, session.id).await, ["q1", "a1"]);
}

#[tokio::test]
async fn a_read_only_redis_is_none() {
    let server = RedisServer::start();
    let store = store(&server.url(), &prefix()).await;
    let id = create(&store).await.id;
    let opened = open(&store, id).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let session = Arc::new(session(0));
    assert!(within_bounds(store.create(session)).await.is_err());
    let committed = within_bounds(commit(opened, 1)).await;
    assert!(matches!(committed, Err(CommitError::Unavailable(_))), "{committed:?}");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    is_well_again(&store).await;
    commit(open(&store, id).await, 2).await.expect("a commit");
    assert_eq!(memory(&store, id).await, ["q2", "a2"]);
}

#[tokio::test]
async fn a_full_redis_takes_nothing_by_halves() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let store = store(&server.url(), &prefix()).await;
    let id = create(&store).await.id;
    commit(open(&store, id).await, 1).await.expect("a commit");
    let opened = open(&store, id).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(within_bounds(store.create(Arc::new(session(0)))).await.is_err());
    let committed = within_bounds(commit(opened, 2)).await;
    assert!(matches!(committed, Err(CommitError::Unavailable(_))), "{committed:?}");
    assert!(matches!(within_bounds(place(&store, id)).await.map(drop), Err(OpenError::Unavailable(_))));
    assert_eq!(memory(&store, id).await, ["q1", "a1"]);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    within_bounds(async { commit(open(&store, id).await, 3).await.expect("a commit") }).await;
    assert_eq!(memory(&store, id).await, ["q1", "a1", "q3", "a3"]);
}

#[tokio::test]
async fn wrong_credentials_are_told_without_them_and_tried_again() {
    let server = RedisServer::start_with(&["--requirepass", "another"]);
    let config = RedisConfig::new(format!("redis://:s3cr3t@{}/0", server.address()).into());
    let redis = within_bounds(Redis::connect(&config, clock())).await.expect("a URL of Redis");
    let store = sessions(&redis);
    is_unavailable(&store).await;
    let error = store.read(session_id(), &ANYBODY).await.expect_err("no session");
    let told = format!("{error} {error:?} {redis:?} {config:?}");
    assert!(!told.contains("s3cr3t") && !told.contains(&server.address()), "{told}");
    server.cli(&["-a", "another", "CONFIG", "SET", "requirepass", "s3cr3t"]);
    is_well_again(&store).await;
}

#[tokio::test]
async fn down_at_the_start_is_no_error_and_noticed_when_over() {
    let server = RedisServer::start();
    server.kill();
    let redis = within_bounds(connecting(&server.url(), &prefix())).await;
    let store = sessions(&redis);
    is_unavailable(&store).await;
    // At once: without a connection there is nothing to wait for.
    assert_in_time("read", Duration::from_millis(500), async || {
        let began = Instant::now();
        assert!(store.read(session_id(), &ANYBODY).await.is_err());
        began.elapsed()
    })
    .await;
    server.restart();
    is_well_again(&store).await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_given_up_in_time() {
    let server = RedisServer::start();
    let store = store(&server.url(), &prefix()).await;
    server.freeze();
    is_unavailable(&store).await;
    is_unavailable(&store).await;
    server.thaw();
    is_well_again(&store).await;
}

#[tokio::test]
async fn limits_and_the_bypass_list_without_redis() {
    let server = RedisServer::start();
    let redis = replica(&server.url(), &prefix()).await;
    let (limiter, bypass) = (redis.limiter(BucketPolicy::new(1.0, 5).expect("a policy")), redis.bypass());
    let address: IpAddr = "203.0.113.7".parse().expect("an address");
    bypass.add(parse_network("203.0.113.0/24").expect("a network")).await.expect("added");
    assert!(bypass.contains(address));
    server.kill();
    assert!(within_bounds(limiter.take(&[Identity::Ip(address)])).await.is_err());
    assert!(within_bounds(bypass.list()).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(bypass.contains(address), "the last list that was known holds");
    server.restart();
    assert_eventually!(limiter.take(&[Identity::Ip(address)]).await.is_ok(), Duration::from_secs(5));
    assert!(bypass.contains(address), "the list outlives the server's restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_two_seconds_loses_and_doubles_nothing() {
    let server = RedisServer::start();
    let load = Load::begin(&server.url()).await;
    load.goes_on(50, Duration::from_secs(10)).await;
    server.pause(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.goes_on(50, Duration::from_secs(10)).await;
    let slowest = load.end(false).await;
    assert!(slowest < BOUND, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_for_three_seconds_loses_and_doubles_nothing() {
    let server = RedisServer::start();
    let load = Load::begin(&server.url()).await;
    load.goes_on(50, Duration::from_secs(10)).await;
    server.freeze();
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.thaw();
    load.goes_on(50, Duration::from_secs(10)).await;
    let slowest = load.end(false).await;
    assert!(slowest < BOUND, "{slowest:?}");
}

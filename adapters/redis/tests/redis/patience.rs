//! However many commands an operation takes, it is over in the promised time: also where Redis is slow with each of them,
//! or falls silent between two.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_domain::{
    admission::{BucketPolicy, parse_network},
    ports::{
        health::{HealthCheck, HealthState},
        history::{HistoryStore, SessionQuery},
        limits::{BypassList, Identity, RateLimiter},
        sessions::{Deletion, SessionStore},
    },
    testing::samples::{forget, record, session, turn},
};
use chat_redis::{DECISION, Redis, RedisConfig, RedisSessions};
use chat_test_support::{RedisServer, assert_eventually, assert_in_time};
use futures_util::future::join_all;

use crate::{
    line::Line,
    scene::{ANYBODY, BOUND, clock, create, patient, prefix, replica, store},
};

/// One way. Two commands take longer than what is bounded, and one of two does not.
const SLOW: Duration = Duration::from_millis(700);

async fn timed<T: Debug>(what: &str, operation: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let output = operation.await;
    let took = began.elapsed();
    assert!(took < BOUND, "{what}: {output:?} after {took:?}");
    (output, took)
}

/// What is left of sessions in Redis, but for the index, which is swept.
fn left(server: &RedisServer, prefix: &str) -> String {
    server.cli(&["--scan", "--pattern", &format!("{prefix}:s:*")])
}

async fn over(line: &Line, prefix: &str) -> (Redis, Arc<RedisSessions>) {
    let redis = replica(&line.url(), prefix).await;
    let store = Arc::new(redis.sessions(patient()));
    // So that Redis knows the scripts.
    let id = create(&store).await.id;
    store.delete(id, &ANYBODY).await.expect("deleted");
    store.finish_deletion(id).await;
    (redis, store)
}

#[tokio::test]
async fn a_session_that_could_not_be_made_whole_is_taken_back_without_anybody_waiting_for_it() {
    let server = RedisServer::start();
    for answers in [0, 1] {
        let (line, prefix) = (Line::to(&server, Duration::ZERO).await, prefix());
        let (_redis, store) = over(&line, &prefix).await;
        line.fall_silent_after(answers);
        let (created, _) = timed("create", store.create(Arc::new(session(0)))).await;
        created.expect_err("no answer");
        assert_ne!(left(&server, &prefix), "", "it was made");
        line.speak();
        assert_eventually!(left(&server, &prefix).is_empty(), Duration::from_secs(30));
    }
}

#[tokio::test]
async fn the_commands_of_one_operation_share_its_time() {
    let server = RedisServer::start();
    let (line, prefix) = (Line::to(&server, Duration::ZERO).await, prefix());
    let (redis, store) = over(&line, &prefix).await;
    let (bypass, history) = (redis.bypass(), redis.history(&format!("{prefix}-archive"), "test"));
    let archived = Arc::new(session(0));
    history.apply(&record(&archived, &turn(1))).await.expect("archived");
    let (one, other) = (create(&store).await, create(&store).await);
    // One that has expired: the list takes it out, and looks again.
    server.cli(&["DEL", &format!("{prefix}:s:{{{}}}:h", one.id)]);

    line.set_delay(SLOW);
    let network = parse_network("203.0.113.0/24").expect("a network");
    let (listed, deleted, made, added) = tokio::join!(
        timed("list", store.list(0, 10)),
        timed("delete", store.delete(other.id, &ANYBODY)),
        timed("create", store.create(Arc::new(session(0)))),
        timed("add", bypass.add(network)),
    );
    listed.0.expect_err("three commands take four seconds");
    made.0.expect_err("two commands take almost three seconds");
    // What comes after the one that counts happens by itself.
    assert_eq!(deleted.0.expect("deleted"), Deletion::Deleted);
    added.0.expect("added");

    line.set_delay(Duration::ZERO);
    assert_eventually!(bypass.list().await.is_ok_and(|list| list == [network]), Duration::from_secs(5));
    assert_eventually!(store.list(0, 10).await.is_ok_and(|list| list == (vec![], 0)), Duration::from_secs(10));
}

#[tokio::test]
async fn a_redis_that_falls_silent_between_two_commands_ends_every_operation() {
    let server = RedisServer::start();
    let prefix = prefix();
    let (kept, spoken) = (create(&*store(&server.url(), &prefix).await).await, Arc::new(session(0)));
    let silent_after = async |answers, operation| {
        let line = Line::to(&server, Duration::ZERO).await;
        let (redis, store) = over(&line, &prefix).await;
        let history = redis.history(&format!("{prefix}-archive"), "test");
        history.apply(&record(&spoken, &turn(1))).await.expect("archived");
        let all = SessionQuery { limit: 9, ..SessionQuery::default() };
        line.fall_silent_after(answers);
        match operation {
            0 => drop(timed("list", store.list(0, 10)).await),
            1 => drop(timed("read", store.read(kept.id, &ANYBODY)).await),
            2 => drop(timed("archived sessions", history.sessions(&all)).await),
            3 => drop(timed("archived messages", history.messages(spoken.id, 0, 9)).await),
            4 => drop(timed("record", history.apply(&record(&spoken, &turn(2)))).await),
            _ => drop(timed("forget", history.apply(&forget(&Arc::new(session(0))))).await),
        }
        line.speak();
        assert_eventually!(store.read(kept.id, &ANYBODY).await.is_ok(), Duration::from_secs(10));
    };
    join_all((0..12).map(|n| silent_after(n / 6, n % 6))).await;
}

#[tokio::test]
async fn limiters_and_health_checks_know_soon() {
    let server = RedisServer::start();
    let redis = replica(&server.url(), &prefix()).await;
    let limiter = redis.limiter(BucketPolicy::new(1.0, 5).expect("a policy"));
    let who = [Identity::Ip("203.0.113.7".parse().expect("an address"))];
    // Nor do probes wait for long.
    for (what, bound) in [("limits", 600), ("health", 1_500)] {
        assert_in_time(what, Duration::from_millis(bound), async || {
            // Connected, each time: who is not has nothing to wait for.
            assert_eventually!(limiter.take(&who).await.is_ok(), Duration::from_secs(20));
            server.freeze();
            let began = Instant::now();
            if what == "health" {
                assert_eq!(redis.health().check().await.state, HealthState::Down);
            } else {
                limiter.take(&who).await.expect_err("no answer");
            }
            let took = began.elapsed();
            server.thaw();
            took
        })
        .await;
    }

    // A Redis that is not there at all leaves nothing to wait for.
    let config = RedisConfig::new("redis://127.0.0.1:1/0".into()).with_prefix("x");
    let nowhere = Redis::connect(&config, clock()).await.expect("a URL of Redis");
    let limiter = nowhere.limiter(BucketPolicy::new(1.0, 5).expect("a policy"));
    assert_in_time("no connection", DECISION / 2, async || {
        let began = Instant::now();
        limiter.take(&who).await.expect_err("no connection");
        began.elapsed()
    })
    .await;
}

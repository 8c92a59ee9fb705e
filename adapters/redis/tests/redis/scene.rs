//! What tests need: replicas of the service, which share a Redis.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use chat_domain::{
    ports::{
        Clock,
        health::{HealthCheck, HealthState},
        sessions::{CommitError, OpenError, Opened, Place, SessionStore},
    },
    session::{Caller, Session, SessionId},
    testing::samples::{contents, limit, session, turn},
};
use chat_local::system::SystemClock;
use chat_redis::{Redis, RedisConfig, RedisSessions, SessionPolicy};
use chat_test_support::{RedisServer, assert_eventually};

pub(crate) const ANYBODY: Caller = Caller::Client(None);

/// Clients are promised an answer within two seconds, and operations are over after `PATIENCE`, which is 1.8. One that
/// takes it twice takes longer than this; one that is held up by a busy machine does not.
pub(crate) const BOUND: Duration = Duration::from_millis(2_700);

/// The same for all: moments of one clock mean nothing to another.
pub(crate) fn clock() -> Arc<dyn Clock> {
    static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);
    Arc::new(*CLOCK)
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    format!("test-{}", chat_domain::testing::samples::session_id())
}

/// One replica's connections to a Redis, which it has.
pub(crate) async fn replica(url: &str, prefix: &str) -> Redis {
    let redis = connecting(url, prefix).await;
    assert_eventually!(redis.health().check().await.state == HealthState::Up, Duration::from_secs(10));
    redis
}

/// The same, of a Redis that may not be there.
pub(crate) async fn connecting(url: &str, prefix: &str) -> Redis {
    let config = RedisConfig::new(url.into()).with_prefix(prefix);
    Redis::connect(&config, clock()).await.expect("a URL of Redis")
}

/// Connections to the shared server, under a prefix of their own.
pub(crate) async fn fresh() -> Redis {
    replica(&RedisServer::shared().url(), &prefix()).await
}

/// A policy whose sessions stay, and whose turns are taken for dead after a time that tests can wait for.
pub(crate) fn policy() -> SessionPolicy {
    SessionPolicy { ttl: None, lease: Duration::from_secs(3) }
}

/// A policy with so long a lease that nothing in a test happens because one has ended or was renewed.
pub(crate) fn patient() -> SessionPolicy {
    SessionPolicy { ttl: None, lease: Duration::from_secs(3_600) }
}

pub(crate) fn sessions(redis: &Redis) -> Arc<RedisSessions> {
    Arc::new(redis.sessions(policy()))
}

/// One replica's sessions.
pub(crate) async fn store(url: &str, prefix: &str) -> Arc<RedisSessions> {
    sessions(&replica(url, prefix).await)
}

pub(crate) async fn create(store: &RedisSessions) -> Arc<Session> {
    let session = Arc::new(session(0));
    store.create(session.clone()).await.expect("a session is created");
    session
}

pub(crate) async fn place(store: &RedisSessions, id: SessionId) -> Result<Place, OpenError> {
    store.open_turn(id, &ANYBODY, clock().moment().plus(Duration::from_secs(30))).await
}

/// A turn, waited for.
pub(crate) async fn try_open(store: &RedisSessions, id: SessionId) -> Result<Opened, OpenError> {
    match place(store, id).await? {
        Place::Open(opened) => Ok(opened),
        Place::Waiting(waiting) => waiting.await,
    }
}

pub(crate) async fn open(store: &RedisSessions, id: SessionId) -> Opened {
    try_open(store, id).await.expect("a turn")
}

/// Stores the `n`th sample turn.
pub(crate) async fn commit(opened: Opened, n: usize) -> Result<(), CommitError> {
    opened.ticket.commit(turn(n), limit(1000)).await
}

/// What a session remembers.
pub(crate) async fn memory(store: &RedisSessions, id: SessionId) -> Vec<String> {
    let read = store.read(id, &ANYBODY).await.expect("an answer").expect("the session");
    contents(&read.memory).into_iter().map(str::to_owned).collect()
}

//! What a turn costs: round trips, counted on a line on which each takes a while.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use chat_domain::{
    admission::BucketPolicy,
    ports::{
        history::HistoryStore,
        limits::{BypassList, Identity, RateLimiter},
        sessions::SessionStore,
    },
    testing::samples::{key, record, turn},
};
use chat_redis::PATIENCE;
use chat_test_support::RedisServer;

use crate::{
    line::Line,
    scene::{ANYBODY, commit, create, open, prefix, replica, sessions},
};

/// One way.
const DELAY: Duration = Duration::from_millis(50);

async fn trips<T>(what: impl Future<Output = T>) -> (T, u128) {
    let began = Instant::now();
    let output = what.await;
    (output, began.elapsed().as_millis() / (2 * DELAY).as_millis())
}

#[tokio::test]
async fn a_turn_with_limits_and_history_takes_four_round_trips() {
    let server = RedisServer::start();
    let line = Line::to(&server, DELAY).await;
    let redis = replica(&line.url(), &prefix()).await;
    let (store, bypass, history) = (sessions(&redis), redis.bypass(), redis.history("archive", "test"));
    // On such a line the first decision, for which the script is sent as well, takes longer than it may.
    let limiter = redis.limiter(BucketPolicy::new(10.0, 10).expect("a policy")).with_patience(PATIENCE);
    let session = create(&store).await;
    let address: IpAddr = "203.0.113.7".parse().expect("an address");
    let who = [Identity::Ip(address), Identity::Key(key(1))];
    // The first of each carries its script along.
    for n in [0, 1] {
        let (_, bypassed) = trips(async { bypass.contains(address) }).await;
        let (taken, limited) = trips(limiter.take(&who)).await;
        taken.expect("a decision");
        let (opened, opening) = trips(open(&store, session.id)).await;
        let (committed, committing) = trips(commit(opened, n)).await;
        committed.expect("a commit");
        let op = record(&session, &turn(n));
        let (recorded, recording) = trips(history.apply(&op)).await;
        recorded.expect("archived");
        let expected = if n == 0 { [0, 2, 2, 2, 2] } else { [0, 1, 1, 1, 1] };
        assert_eq!([bypassed, limited, opening, committing, recording], expected);
    }
    assert_eq!(store.read(session.id, &ANYBODY).await.expect("an answer").expect("the session").memory.len(), 4);
}

#[tokio::test]
async fn a_turn_in_a_free_session_is_two_commands() {
    let server = RedisServer::start();
    let redis = replica(&server.url(), &prefix()).await;
    let store = sessions(&redis);
    let id = create(&store).await.id;
    commit(open(&store, id).await, 0).await.expect("a commit");
    server.cli(&["CONFIG", "RESETSTAT"]);
    for n in 1..=10 {
        commit(open(&store, id).await, n).await.expect("a commit");
    }
    assert_eq!((server.calls("evalsha"), server.calls("eval"), server.calls("publish")), (20, 0, 0));
}

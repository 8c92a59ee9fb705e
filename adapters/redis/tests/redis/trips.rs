//! What a turn costs: round trips, counted on a line that is long enough to tell who waits for whom.

use std::{net::IpAddr, time::Duration};

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
    scene::{ANYBODY, commit, create, open, patient, prefix, replica},
};

/// One way.
const DELAY: Duration = Duration::from_millis(10);

/// What goes on beside the turns adds a trip to some, and hides one of others: it is not in most rounds.
const ROUNDS: usize = 7;

async fn trips<T>(line: &Line, what: impl Future<Output = T>) -> (T, usize) {
    let before = line.trips();
    let output = what.await;
    (output, line.trips() - before)
}

#[tokio::test]
async fn a_turn_with_limits_and_history_takes_four_round_trips() {
    let server = RedisServer::start();
    let line = Line::to(&server, DELAY).await;
    let redis = replica(&line.url(), &prefix()).await;
    let (store, bypass, history) = (redis.sessions(patient()), redis.bypass(), redis.history("archive", "test"));
    let limiter = redis.limiter(BucketPolicy::new(1000.0, 1000).expect("a policy")).with_patience(PATIENCE);
    let session = create(&store).await;
    let address: IpAddr = "203.0.113.7".parse().expect("an address");
    let who = [Identity::Ip(address), Identity::Key(key(1))];
    for (knows_scripts, expected) in [(false, [0, 2, 2, 2, 2]), (true, [0, 1, 1, 1, 1])] {
        let mut counts = [[0; ROUNDS]; 5];
        for n in 0..ROUNDS {
            if !knows_scripts {
                server.cli(&["SCRIPT", "FLUSH"]);
            }
            let (_, bypassed) = trips(&line, async { bypass.contains(address) }).await;
            let (taken, limited) = trips(&line, limiter.take(&who)).await;
            taken.expect("a decision");
            let (opened, opening) = trips(&line, open(&store, session.id)).await;
            let (committed, committing) = trips(&line, commit(opened, n)).await;
            committed.expect("a commit");
            let op = record(&session, &turn(n));
            let (recorded, recording) = trips(&line, history.apply(&op)).await;
            recorded.expect("archived");
            for (counts, count) in counts.iter_mut().zip([bypassed, limited, opening, committing, recording]) {
                counts[n] = count;
            }
        }
        counts.iter_mut().for_each(|counts| counts.sort_unstable());
        assert_eq!(counts.map(|counts| counts[ROUNDS / 2]), expected, "scripts known: {knows_scripts}: {counts:?}");
    }
    let memory = store.read(session.id, &ANYBODY).await.expect("an answer").expect("the session").memory;
    assert_eq!(memory.len(), 2 * 2 * ROUNDS, "two messages a turn");
}

#[tokio::test]
async fn a_turn_in_a_free_session_is_two_commands() {
    let server = RedisServer::start();
    let redis = replica(&server.url(), &prefix()).await;
    let store = redis.sessions(patient());
    let id = create(&store).await.id;
    commit(open(&store, id).await, 0).await.expect("a commit");
    server.cli(&["CONFIG", "RESETSTAT"]);
    for n in 1..=10 {
        commit(open(&store, id).await, n).await.expect("a commit");
    }
    assert_eq!((server.calls("evalsha"), server.calls("eval"), server.calls("publish")), (20, 0, 0));
}

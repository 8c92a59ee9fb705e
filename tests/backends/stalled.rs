//! A replica that stands still in the middle of a turn, and wakes up when the session has moved on.

use std::time::{Duration, Instant};

use chat_test_support::{Gate, RedisServer, Reply, Upstream, assert_eventually};

use crate::scene::{SOON, agent, archived, echoed, memory, operator};

/// What users are promised, and what it may take to be told.
const HELD: Duration = Duration::from_secs(15 + 3);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits until a replica is taken for dead"]
async fn a_replica_that_wakes_up_late_writes_into_no_session_that_moved_on() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", redis.url()).env("HISTORY_STORAGE_BACKEND", "redis");
    let (stalls, goes_on) = (launch.clone().start().await, launch.start().await);
    let (client, operator) = (goes_on.client(), operator(&goes_on));
    let session = client.create_session().await;
    client.say(&session, "before").await.expect(200);

    let gate = Gate::new();
    upstream.push(Reply::text("too late").held_by(&gate));
    let asked = upstream.requests().len();
    let late = tokio::spawn({
        let (client, session) = (stalls.client(), session.clone());
        async move { client.say(&session, "stalled").await }
    });
    upstream.wait_for_requests(asked + 1).await;
    stalls.signal("STOP");
    let began = Instant::now();
    client.say(&session, "after").await.expect(200);
    let held = began.elapsed();
    println!("the session was held for {held:?}");
    assert!(held < HELD, "{held:?}");

    // The model's answer is there when the replica wakes up.
    gate.open();
    stalls.signal("CONT");
    let late = late.await.expect("an answer");
    assert_eq!((late.status, late.code()), (503, "storage_unavailable"), "{}", late.text);
    client.say(&session, "in the end").await.expect(200);
    let expected = echoed(&["before", "after", "in the end"]);
    assert_eq!(memory(&stalls.client(), &session).await, expected);
    assert_eventually!(archived(&operator, &session).await.as_ref() == Some(&expected), SOON);
}

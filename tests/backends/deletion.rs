//! A DELETE at one replica ends the turns of another.

use std::time::{Duration, Instant};

use chat_test_support::{Gate, RedisServer, Reply, Service, Upstream, assert_eventually, assert_in_time};
use tokio::task::JoinSet;

use crate::scene::{SOON, agent, archived, operator};

/// Told by a message, not found out by the next renewal of a lease, which comes after five seconds.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_at_one_replica_ends_running_and_waiting_turns_at_another_at_once() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let launch = agent(&upstream).env("REDIS_URL", redis.url()).env("HISTORY_STORAGE_BACKEND", "redis");
    let replicas = [launch.clone().start().await, launch.start().await];
    for running_is_streamed in [false, true] {
        let what = "six turns at the other replica, to their end";
        assert_in_time(what, AT_ONCE, async || delete(&replicas, &redis, &upstream, running_is_streamed).await).await;
    }
}

/// Deletes a session at the second replica that has turns at the first one; how long these took to end.
async fn delete(
    [a, b]: &[Service; 2],
    redis: &RedisServer,
    upstream: &Upstream,
    running_is_streamed: bool,
) -> Duration {
    let operator = operator(b);
    let session = a.client().create_session().await;
    a.client().say(&session, "before").await.expect(200);
    assert_eventually!(archived(&operator, &session).await.is_some_and(|archived| archived.len() == 2), SOON);

    let (asked, aborted, gate) = (upstream.requests().len(), upstream.aborted(), Gate::new());
    upstream.push(Reply::text("too late").held_by(&gate));
    let mut turns = JoinSet::new();
    for number in 0..6 {
        let (client, session) = (a.client(), session.clone());
        turns.spawn(async move {
            if (number % 2 == 0) == running_is_streamed {
                let events = match client.say_streaming(&session, "lost").await {
                    Ok(events) => events.collect().await,
                    Err(refused) => return (refused.status, refused.code().to_owned()),
                };
                let last = events.last().expect("an event");
                assert_eq!(last.event, "error", "{last:?}");
                return (404, last.data["error"]["code"].as_str().expect("a code").to_owned());
            }
            let answer = client.say(&session, "lost").await;
            (answer.status, answer.code().to_owned())
        });
        if number == 0 {
            upstream.wait_for_requests(asked + 1).await;
        }
    }
    let queue = format!("chat:s:{{{session}}}:q");
    assert_eventually!(redis.cli(&["LLEN", &queue]) == "5", SOON);

    // Right after a renewal: the next one, by which the running turn would find it out as well, is far away.
    let until = || redis.cli(&["HGET", &format!("chat:s:{{{session}}}:h"), "until"]);
    let first = until();
    assert_eventually!(until() != first, SOON);

    let began = Instant::now();
    b.client().delete(&format!("/sessions/{session}")).await.expect(204);
    let ended = turns.join_all().await;
    let took = began.elapsed();
    println!("six turns at the other replica ended {took:?} after the DELETE");
    assert_eq!(ended, vec![(404, "session_not_found".to_owned()); 6]);
    upstream.wait_for_aborted(aborted + 1).await;
    assert_eq!(upstream.requests().len(), asked + 1, "who waited has asked no model");
    gate.open();

    // Nothing is left, in memory or archive.
    for service in [a, b] {
        service.client().get(&format!("/sessions/{session}")).await.expect(404);
    }
    assert_eq!(archived(&operator, &session).await, None);
    let left = format!("chat:s:{{{session}}}*");
    assert_eventually!(redis.cli(&["--scan", "--pattern", &left]).is_empty(), SOON);
    took
}

//! Many turns at once: one after the other in a session, side by side in several.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_domain::testing::llm::{self, ScriptedLlm};
use chat_local::system::SystemClock;
use chat_test_support::{Answer, Gate, Reply, Upstream, assert_eventually};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    common::{ONE_WORKER, SOON, agent, echoed, messages_of, request_log, wait_for_posts},
    in_process::{InProcess, PATIENT},
    raw::{EVENTS, Raw, say},
};

/// One runs, 32 wait.
const PLACES: usize = 33;

#[tokio::test]
async fn turns_run_in_the_order_of_their_arrival_and_too_many_are_refused_at_once() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).envs([ONE_WORKER]).start().await;
    let client = service.client();
    let session = client.create_session().await;
    let gate = Gate::new();
    upstream.push(Reply::text("echo: 0").held_by(&gate));
    let mut turns = JoinSet::new();
    for number in 0..PLACES {
        let (client, session) = (client.clone(), session.clone());
        turns.spawn(async move {
            let content = number.to_string();
            // Plain and streamed turns stand in the same line.
            if number % 3 == 0 {
                return client.say(&session, &content).await.expect(200).content().to_owned();
            }
            let events = client.say_streaming(&session, &content).await.expect("a stream").collect().await;
            let last = events.last().expect("an event");
            assert_eq!(last.event, "message.completed", "{last:?}");
            last.data["message"]["content"].as_str().expect("a text").to_owned()
        });
        // The session was a post as well.
        wait_for_posts(&service.client(), number as u64 + 2).await;
    }
    for number in PLACES..50 {
        let began = Instant::now();
        let answer = if number % 2 == 0 {
            client.say(&session, "too many").await
        } else {
            *client.say_streaming(&session, "too many").await.expect_err("refused before a stream begins")
        };
        assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (409, "session_busy", Some("1")));
        assert!(began.elapsed() < Duration::from_secs(5), "at once");
    }
    assert_eq!(upstream.requests().len(), 1, "nobody overtakes");
    gate.open();
    let mut answers = turns.join_all().await;
    answers.sort_unstable_by_key(|answer| answer["echo: ".len()..].parse::<usize>().expect("a number"));
    let expected: Vec<String> = (0..PLACES).map(|number| number.to_string()).collect();
    assert_eq!(answers, expected.iter().map(|number| format!("echo: {number}")).collect::<Vec<_>>());
    let asked: Vec<String> = upstream.requests().iter().map(|request| request.last_user().to_owned()).collect();
    assert_eq!(asked, expected);
    assert_eq!(echoed(&client, &session).await, expected);
    assert_eq!(upstream.peak(), 1);
}

#[tokio::test]
async fn sessions_do_not_wait_for_each_other() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let gate = Gate::new();
    let mut turns = JoinSet::new();
    for number in 0..50 {
        let session = client.create_session().await;
        upstream.push(Reply::text("all together").held_by(&gate));
        let client = client.clone();
        turns.spawn(async move {
            if number % 2 == 0 {
                return client.say(&session, "together").await.expect(200).content().to_owned();
            }
            let events = client.say_streaming(&session, "together").await.expect("a stream").collect().await;
            events.last().expect("an event").data["message"]["content"].as_str().expect("a text").to_owned()
        });
    }
    upstream.wait_for_requests(50).await;
    assert_eq!(upstream.open(), 50);
    gate.open();
    assert_eq!(turns.join_all().await, vec!["all together"; 50]);
    assert_eq!(upstream.peak(), 50);
}

#[tokio::test]
async fn a_turn_that_takes_too_long_is_ended() {
    let upstream = Upstream::start().await;
    // Enough for a turn that is not held up, on a loaded machine as well.
    let service = agent(&upstream).env("TURN_TIMEOUT_SECONDS", "2").start().await;
    let client = service.client();
    let session = client.create_session().await;

    upstream.push(Reply::never());
    let began = Instant::now();
    let answer = client.with_header("x-request-id", "plain").say(&session, "for ever").await.expect(504);
    assert_eq!(answer.code(), "turn_timeout");
    assert!(began.elapsed() >= Duration::from_secs(2));
    upstream.wait_for_aborted(1).await;

    // Also when it is busy all the time.
    let chatter = (0..1000).fold(Reply::events(), |reply, _| reply.delta("on and ").wait(Duration::from_millis(20)));
    upstream.push(chatter);
    let streaming = client.with_header("x-request-id", "streamed");
    let events = streaming.say_streaming(&session, "for ever").await.expect("a stream").collect().await;
    let last = events.last().expect("an event");
    assert_eq!((last.event.as_str(), &last.data["error"]["code"]), ("error", &"turn_timeout".into()));
    assert_eq!(last.data["request_id"], "streamed");
    assert!(events.len() > 2, "it was streaming");
    upstream.wait_for_aborted(2).await;

    for id in ["plain", "streamed"] {
        assert_eq!(request_log(&service, id).await["status_code"], 504);
        // What the turn itself logs tells whose it is as well.
        service.wait_for_log(|line| line["message"] == "request failed" && line["request_id"] == id).await;
    }
    assert_eventually!(client.say(&session, "in time").await.status == 200, SOON);
    assert_eq!(echoed(&client, &session).await, ["in time"]);
}

#[tokio::test]
async fn a_turn_whose_time_ends_in_the_queue_is_told_that_the_session_is_busy() {
    // Turns of one session are given the same time, so those in front end first, unless one of them is held up where no
    // deadline reaches: by a reader who has stopped reading.
    let megabyte = "x".repeat(1 << 20);
    let endless = llm::Reply::pieces((0..50).map(|_| megabyte.as_str()));
    let model = ScriptedLlm::new(Arc::new(SystemClock::new()), [endless, llm::Reply::text("fine")]);
    let time = Duration::from_secs(2);
    let server = InProcess::start_with(model.clone(), PATIENT, time).await;
    let client = server.client();
    let session = client.create_session().await;
    let mut stalled = Raw::connect_narrow(&server.base_url()).await;
    stalled.send(say(&session, "stall", EVENTS)).await;
    stalled.read_until("message.delta").await;

    let began = Instant::now();
    let plain = client.say(&session, "wait");
    let streamed = async { client.say_streaming(&session, "wait").await.expect("a stream").collect().await };
    let (plain, streamed) = tokio::join!(plain, streamed);
    assert_eq!((plain.status, plain.code(), plain.header("retry-after")), (409, "session_busy", Some("1")));
    assert_eq!(streamed.len(), 1, "{streamed:?}");
    assert_eq!((streamed[0].event.as_str(), &streamed[0].data["error"]["code"]), ("error", &"session_busy".into()));
    assert!(began.elapsed() >= time, "they waited");

    drop(stalled);
    assert_eventually!(model.stopped() == 1, SOON);
    assert_eq!(client.say(&session, "free").await.expect(200).content(), "fine");
    let read = client.get(&format!("/sessions/{session}")).await.expect(200);
    assert_eq!(read.body["history"].as_array().map(Vec::len), Some(2));
    assert_eq!(model.asked().len(), 2);
}

#[tokio::test]
async fn a_waiting_turn_sees_what_the_one_before_it_left() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).envs([ONE_WORKER]).start().await;
    let client = service.client();
    let session = client.create_session().await;
    let gate = Gate::new();
    upstream.push(Reply::text("echo: one").held_by(&gate));
    upstream.push(Reply::status(400));
    let say = async |content: &str, posts: u64| -> Answer {
        wait_for_posts(&service.client(), posts).await;
        client.say(&session, content).await
    };
    let opening = async {
        wait_for_posts(&service.client(), 4).await;
        gate.open();
    };
    let (one, fails, three, ()) = tokio::join!(say("one", 1), say("fails", 2), say("three", 3), opening);
    assert_eq!((one.status, fails.status, three.status), (200, 502, 200));
    assert_eq!(
        upstream.last_request().conversation(),
        [("user", "one"), ("assistant", "echo: one"), ("user", "three")]
    );
    assert_eq!(echoed(&client, &session).await, ["one", "three"]);
}

#[tokio::test]
async fn a_smaller_memory_holds_whole_turns_under_load() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let session = client.post("/sessions", &json!({"memory_limit": 6})).await.expect(201);
    let session = session.body["id"].as_str().expect("an id").to_owned();
    let mut turns = JoinSet::new();
    for number in 0..30 {
        let (client, path) = (client.clone(), messages_of(&session));
        turns.spawn(async move { client.post(&path, &json!({"content": number.to_string()})).await.expect(200) });
    }
    for answer in turns.join_all().await {
        let history = answer.body["history"].as_array().expect("a history");
        assert!(history.len() <= 6 && history.len().is_multiple_of(2), "{}", answer.text);
        assert_eq!(history.last().expect("the answer")["content"], answer.content(), "its own turn is the last");
    }
    assert_eq!(echoed(&client, &session).await.len(), 3);
}

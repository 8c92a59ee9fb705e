//! How the events of a stream travel.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_domain::testing::llm::{Reply as LlmReply, ScriptedLlm};
use chat_local::system::SystemClock;
use chat_test_support::{Gate, Reply, Upstream};

use crate::{
    common::agent,
    in_process::{InProcess, PATIENT},
    raw::{EVENTS, Raw, get, say},
};

#[tokio::test]
async fn an_event_does_not_wait_for_the_acknowledgement_of_the_one_before() {
    const ROUNDS: usize = 16;
    // Each piece is written by itself.
    let reply = LlmReply::pieces(["a ", "few ", "words ", "one ", "by ", "one"]).yielding(1);
    let llm = ScriptedLlm::improvising(Arc::new(SystemClock::new()), move |_| reply.clone());
    let server = InProcess::start(llm, PATIENT).await;
    let session = server.client().create_session().await;
    // A client that keeps asking on one connection holds its acknowledgements back, for 40 ms, to send them along with
    // the next question.
    let mut connection = Raw::connect(&server.base_url()).await;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..4 {
            connection.send(get("/")).await;
            assert_eq!(connection.answer().await.status, 200);
        }
        // Nothing of this waits for an acknowledgement: it tells how fast the machine is just now.
        let asking = began.elapsed();
        let began = Instant::now();
        connection.send(say(&session, "hello", EVENTS)).await;
        connection.read_until("message.completed").await;
        took.push(began.elapsed().saturating_sub(asking));
        connection.read_until("\r\n0\r\n\r\n").await;
    }
    took.sort_unstable();
    assert!(took[ROUNDS / 4] < Duration::from_millis(30), "{took:?}");
}

#[tokio::test]
async fn events_come_as_they_happen_and_in_order() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let session = client.create_session().await;
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let reply = gates.iter().fold(Reply::events(), |reply, gate| reply.delta("word ").hold(gate));
    upstream.push(reply.finish("stop").usage(10, 3).done());
    let mut events = client.say_streaming(&session, "slowly").await.expect("a stream");
    assert_eq!(events.next().await.expect("an event").event, "message.started");
    for (number, gate) in gates.iter().enumerate() {
        // Each is here before the next one is even said.
        let event = events.next().await.expect("an event");
        assert_eq!((event.event.as_str(), event.id), ("message.delta", (number + 2).to_string()));
        gate.open();
    }
    let last = events.next().await.expect("an event");
    assert_eq!(
        (last.event.as_str(), &last.data["message"]["content"]),
        ("message.completed", &"word word word ".into())
    );
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_reader_who_takes_his_time_gets_all() {
    let upstream = Upstream::start().await;
    let service = agent(&upstream).start().await;
    let client = service.client();
    let session = client.create_session().await;
    // More than the buffers of a connection hold: the turn waits for its reader.
    let size = 12 << 20;
    upstream.push(Reply::huge(size));
    let mut events = client.say_streaming(&session, "all of it").await.expect("a stream");
    assert_eq!(events.next().await.expect("an event").event, "message.started");
    let other = client.create_session().await;
    client.say(&other, "meanwhile").await.expect(200);
    let mut received = 0;
    while let Some(event) = events.next().await {
        match event.event.as_str() {
            "message.delta" => received += event.data["content"].as_str().expect("a text").len(),
            name => assert_eq!(name, "message.completed"),
        }
    }
    assert_eq!(received, size);
}

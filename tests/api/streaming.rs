//! Answers as Server-Sent Events.

use chat_test_support::{Cut, Event, Gate, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{NO_SESSION, SOON, Scene, assert_error, is_uuid, keys, message, pairs, said};

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

fn deltas(events: &[Event]) -> String {
    let deltas = events.iter().filter(|event| event.event == "message.delta");
    deltas.map(|event| event.data["content"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn an_answer_comes_as_events_in_order() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::stream(["Hel", "lo\n\n", "you: \u{2028}", "data: x\r"]).with_usage(3, 4));
    let mut stream = scene.client.say_streaming(&session, "hi").await.expect("a stream");
    let request_id = stream.headers["x-request-id"].to_str().expect("text").to_owned();
    assert!(is_uuid(&request_id));
    for (name, value) in [("cache-control", "no-cache"), ("x-accel-buffering", "no")] {
        assert_eq!(stream.headers[name], value);
    }
    let first = stream.next().await.expect("an event");
    assert_eq!((first.event.as_str(), first.id.as_str()), ("message.started", "1"));
    assert_eq!(first.data, json!({"session_id": session, "request_id": request_id}));

    let events = stream.collect().await;
    let (last, parts) = events.split_last().expect("events");
    assert!(!parts.is_empty() && names(parts).iter().all(|name| *name == "message.delta"), "{parts:?}");
    assert!(parts.iter().all(|event| keys(&event.data) == ["content"]));
    assert_eq!(deltas(&events), "Hello\n\nyou: \u{2028}data: x\r");
    let ids: Vec<u64> = events.iter().map(|event| event.id.parse().expect("a number")).collect();
    assert!(ids[0] > 1 && ids.is_sorted_by(|a, b| a < b), "{ids:?}");

    assert_eq!(last.event, "message.completed");
    assert_eq!(last.data["message"]["content"], deltas(&events));
    assert_eq!(last.data["usage"], json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}));
    assert!(scene.upstream.last_request().wants_stream());
}

#[tokio::test]
async fn the_completed_event_has_the_same_body_as_a_plain_answer() {
    let scene = Scene::start().await;
    let (plain, streamed) = (scene.client.create_session().await, scene.client.create_session().await);
    let mut plain = scene.client.say(&plain, "hello").await.expect(200).body;
    let events = scene.client.say_streaming(&streamed, "hello").await.expect("a stream").collect().await;
    let mut completed = events.last().expect("events").data.clone();
    assert_eq!(completed["session_id"], streamed.as_str());
    let remembered = scene.client.get(&format!("/sessions/{streamed}")).await.expect(200);
    assert_eq!(completed["history"], remembered.body["history"]);
    // The two differ in nothing but what identifies and dates them.
    for body in [&mut plain, &mut completed] {
        body["session_id"] = Value::Null;
        body["message"]["created_at"] = Value::Null;
        for message in body["history"].as_array_mut().expect("a list") {
            message["created_at"] = Value::Null;
        }
    }
    assert_eq!(plain, completed);
}

#[tokio::test]
async fn deltas_come_as_the_model_gives_them() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let (middle, end) = (Gate::new(), Gate::new());
    let reply = Reply::events().delta("one").hold(&middle).delta(" two").hold(&end).finish("stop").done();
    scene.upstream.push(reply);
    let mut stream = scene.client.say_streaming(&session, "hi").await.expect("a stream");
    let mut next = async || {
        let event = tokio::time::timeout(SOON, stream.next()).await.expect("an event before the answer's end");
        event.expect("not the end")
    };
    assert_eq!(next().await.event, "message.started");
    assert_eq!(next().await.data, json!({"content": "one"}));
    middle.open();
    assert_eq!(next().await.data, json!({"content": " two"}));
    assert_eq!(scene.memory(&session).await, [], "nothing is remembered before the answer is complete");
    end.open();
    assert_eq!(next().await.event, "message.completed");
    assert_eq!(scene.memory(&session).await, pairs(&[("user", "hi"), ("assistant", "one two")]));
}

#[tokio::test]
async fn events_are_only_for_those_who_ask_by_name() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for (accept, streams) in [
        (None, false),
        (Some("*/*"), false),
        (Some("application/json"), false),
        (Some("text/*"), false),
        (Some("text/event-stream"), true),
        (Some("TEXT/Event-Stream; q=0.9"), true),
        (Some("application/json, text/event-stream"), true),
    ] {
        let request = scene.client.request(Method::POST, &format!("/sessions/{session}/messages"));
        let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
        let response = request.json(&message("hi")).send().await.expect("an answer");
        let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
        assert_eq!(kind, if streams { "text/event-stream" } else { "application/json" }, "{accept:?}");
        let text = response.text().await.expect("a whole answer");
        assert_eq!(text.contains("event: message.completed\n"), streams, "{accept:?}: {text}");
    }
}

#[tokio::test]
async fn what_is_decided_before_the_turn_is_an_ordinary_error() {
    let scene = Scene::with(&[("ALLOWED_MODELS", "a"), ("MEMORY_MAX", "50"), ("MAX_BODY_BYTES", "4096")]).await;
    let session = scene.client.create_session().await;
    let too_large = "x".repeat(4096);
    for (id, body, status, code) in [
        (session.as_str(), json!({}), 422, "validation_error"),
        (&session, json!({"content": "x", "options": {"model": "b"}}), 422, "validation_error"),
        (&session, json!({"content": "x", "options": {"tool_name": "none"}}), 422, "unknown_tool"),
        (&session, json!({"content": "x", "memory_limit": 51}), 400, "invalid_memory_limit"),
        (&session, json!({"content": too_large}), 413, "payload_too_large"),
        ("7", message("x"), 422, "validation_error"),
        (NO_SESSION, message("x"), 404, "session_not_found"),
    ] {
        let answer = scene.client.stream(&format!("/sessions/{id}/messages"), &body).await.expect_err("no stream");
        assert_error(&answer, status, code);
    }
    assert_eq!(scene.upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_failure_after_the_headers_is_an_error_event() {
    let scene = Scene::with(&[("LLM_MAX_RETRIES", "0")]).await;
    let cases = [
        ("before the first part", Reply::status(500), "unavailable", ""),
        ("rejected", Reply::status(400), "rejected", ""),
        ("cut off", Reply::events().delta("half an ans").cut(Cut::Close), "unavailable", "half an ans"),
        ("reset", Reply::events().delta("half an ans").cut(Cut::Reset), "unavailable", "half an ans"),
        ("an error chunk", Reply::events().delta("half ").error_chunk(502, "it broke"), "unavailable", "half "),
        ("an empty answer", Reply::events().finish("stop").done(), "invalid_response", ""),
        ("broken JSON", Reply::events().delta("half ").data("{\"choices\": [").done(), "invalid_response", "half "),
    ];
    let count = cases.len() as u64;
    for (name, reply, kind, text) in cases {
        let session = scene.client.create_session().await;
        scene.upstream.push(reply);
        let stream = scene.client.say_streaming(&session, "hi").await.expect("a stream");
        let request_id = stream.headers["x-request-id"].to_str().expect("text").to_owned();
        let events = stream.collect().await;
        assert_eq!(deltas(&events), text, "{name}");
        let last = events.last().expect("events");
        assert_eq!(last.event, "error", "{name}: {events:?}");
        assert_eq!(keys(&last.data), ["error", "request_id"]);
        assert_eq!(last.data["request_id"], request_id.as_str());
        let error = &last.data["error"];
        assert_eq!((&error["code"], &error["details"]), (&json!("provider_error"), &json!({"kind": kind})), "{name}");
        assert_eq!(names(&events).iter().filter(|name| **name == "error").count(), 1);
        assert_eq!(scene.memory(&session).await, [], "{name}: all or nothing");
        // The client has seen a 200, but that is not what became of the request.
        let is_its = |line: &Value| line["event"] == "request_completed" && line["request_id"] == request_id.as_str();
        assert_eq!(scene.service.wait_for_log(is_its).await["status_code"], 502, "{name}");
    }
    let metrics = scene.metrics().await;
    assert_eq!((&metrics["responses_by_status"]["502"], &metrics["errors_total"]), (&json!(count), &json!(count)));
    assert_eq!(metrics["responses_by_status"].get("200"), None, "{metrics}");
}

#[tokio::test]
async fn a_turn_that_takes_too_long_is_told_so() {
    let scene = Scene::with(&[("TURN_TIMEOUT_SECONDS", "1")]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::events().delta("never ").hang());
    let events = scene.client.say_streaming(&session, "hi").await.expect("a stream").collect().await;
    let last = events.last().expect("events");
    assert_eq!((last.event.as_str(), &last.data["error"]["code"]), ("error", &json!("turn_timeout")));
    scene.upstream.push(Reply::never());
    assert_error(&scene.client.say(&session, "hi").await, 504, "turn_timeout");
    scene.upstream.wait_for_aborted(2).await;
    assert_eq!(scene.memory(&session).await, []);
}

#[tokio::test]
async fn a_deleted_sessions_stream_ends() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::events().delta("never ").hang());
    let mut stream = scene.client.say_streaming(&session, "hi").await.expect("a stream");
    while stream.next().await.expect("an event").event != "message.delta" {}
    scene.client.delete(&format!("/sessions/{session}")).await.expect(204);
    let events = stream.collect().await;
    assert_eq!(names(&events), ["error"]);
    assert_eq!(events[0].data["error"]["code"], "session_not_found");
    scene.upstream.wait_for_aborted(1).await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_message_back() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::events().delta("half ").hang());
    let named = |id| scene.client.with_header("x-request-id", id);
    let mut stream = named("streamed").say_streaming(&session, "hi").await.expect("a stream");
    while stream.next().await.expect("an event").event != "message.delta" {}
    drop(stream);
    scene.upstream.wait_for_aborted(1).await;

    // The same without a stream: nothing has been sent, and nobody is there to send it to.
    scene.upstream.push(Reply::never());
    let plain = named("plain");
    let turn = plain.say(&session, "hi");
    tokio::select! {
        _ = turn => panic!("there is no answer"),
        () = scene.upstream.wait_for_requests(2) => {}
    }
    scene.upstream.wait_for_aborted(2).await;

    // The session is free again, and knows nothing of it.
    scene.client.say(&session, "and now?").await.expect(200);
    assert_eq!(scene.upstream.last_request().conversation(), [("user", "and now?")]);
    for id in ["streamed", "plain"] {
        let is_its = |line: &Value| line["event"] == "request_completed" && line["request_id"] == id;
        assert_eq!(scene.service.wait_for_log(is_its).await["status_code"], 499, "{id}");
    }
}

#[tokio::test]
async fn a_streamed_turn_is_remembered_like_any_other() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for content in ["1", "2"] {
        let stream = scene.client.say_streaming(&session, content).await.expect("a stream");
        let events = stream.collect().await;
        let history = said(&events.last().expect("events").data["history"]);
        assert_eq!(history, scene.memory(&session).await);
    }
    let sent = [("user", "1"), ("assistant", "echo: 1"), ("user", "2")];
    assert_eq!(scene.upstream.last_request().conversation(), sent);
}

#[tokio::test]
#[ignore = "takes the 15 seconds of silence that it is about"]
async fn a_silent_stream_shows_that_it_is_alive() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::events().delta("a").hang());
    let request = scene.client.request(Method::POST, &format!("/sessions/{session}/messages"));
    let request = request.header("accept", "text/event-stream").json(&message("hi"));
    let mut response = request.send().await.expect("an answer");
    let mut text = String::new();
    while !text.ends_with(": alive\n\n") {
        let chunk = tokio::time::timeout(SOON, response.chunk()).await.expect("a sign of life in time");
        text.push_str(std::str::from_utf8(&chunk.expect("an unbroken stream").expect("no end")).expect("UTF-8"));
    }
    assert!(text.ends_with("data: {\"content\":\"a\"}\n\n: alive\n\n"), "{text}");
}

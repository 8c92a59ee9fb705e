//! Retries, fallbacks, and the circuit that spares a dead backend.

use std::time::Duration;

use chat_test_support::{Cut, DeadPort, Gate, Reply, Upstream, assert_eventually};
use serde_json::{Value, json};

use super::assert_provider_error;
use crate::scene::{SOON, Scene, message, pairs};

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let faults = [
        ("408", Reply::status(408)),
        ("409", Reply::status(409)),
        ("429", Reply::rate_limited(None)),
        ("500", Reply::status(500)),
        ("503", Reply::status(503)),
        ("reset", Reply::no_answer(Cut::Reset)),
        ("closed", Reply::no_answer(Cut::Close)),
    ];
    let scene = Scene::over(Upstream::scripted([]).await, &[("LLM_MAX_RETRIES", "1")]).await;
    for (name, fault) in faults {
        let session = scene.client.create_session().await;
        let before = scene.upstream.requests().len();
        scene.upstream.push(fault);
        scene.upstream.push(Reply::text("second try"));
        let answer = scene.post(&session, message("hello")).await.expect(200);
        assert_eq!((answer.content(), scene.upstream.requests().len() - before), ("second try", 2), "{name}");
        let asked: Vec<Value> =
            scene.upstream.requests()[before..].iter().map(|request| request.body.clone()).collect();
        assert_eq!(asked[0], asked[1], "{name}: the same question");
        assert_eq!(scene.memory(&session).await, pairs(&[("user", "hello"), ("assistant", "second try")]), "{name}");
    }
}

#[tokio::test]
async fn there_are_so_many_retries_and_no_more() {
    for retries in [0, 1, 2] {
        let upstream = Upstream::answering(|_| Reply::status(503)).await;
        let scene = Scene::over(upstream, &[("LLM_MAX_RETRIES", &retries.to_string())]).await;
        let session = scene.client.create_session().await;
        assert_provider_error(&scene, &scene.post(&session, message("hello")).await, "unavailable");
        assert_eq!(scene.upstream.requests().len(), 1 + retries);
        assert_eq!(scene.metrics().await["llm_calls_total"], 1 + retries);
        assert_eq!(scene.memory(&session).await, []);
    }
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    let scene = Scene::with(&[("LLM_MAX_RETRIES", "2")]).await;
    let session = scene.client.create_session().await;
    for (asked, (reply, kind)) in [
        (Reply::status(400), "rejected"),
        (Reply::status(401), "auth"),
        (Reply::status(402), "auth"),
        (Reply::status(404), "unavailable"),
        (Reply::status(422), "rejected"),
        (Reply::null_content(), "invalid_response"),
        (Reply::malformed(), "invalid_response"),
    ]
    .into_iter()
    .enumerate()
    {
        scene.upstream.push(reply);
        assert_provider_error(&scene, &scene.post(&session, message("hello")).await, kind);
        assert_eq!(scene.upstream.requests().len(), asked + 1, "{kind}");
    }
}

#[tokio::test]
async fn nothing_is_taken_back_once_the_first_part_is_out() {
    let scene = Scene::with(&[("LLM_MAX_RETRIES", "2")]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::status(503));
    scene.upstream.push(Reply::events().delta("half an ans").cut(Cut::Reset));
    let events = scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["message.started", "message.delta", "error"], "retried before the first part, not behind it");
    assert_eq!(scene.upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_backends_wish_to_be_left_alone_is_passed_on() {
    let scene = Scene::with(&[("LLM_MAX_RETRIES", "0")]).await;
    let session = scene.client.create_session().await;
    for (theirs, ours) in
        [(Some("7"), Some("7")), (Some("1.5"), Some("2")), (Some("0"), Some("1")), (None, None), (Some("soon"), None)]
    {
        scene.upstream.push(Reply::rate_limited(theirs));
        let answer = scene.post(&session, message("hello")).await;
        assert_provider_error(&scene, &answer, "rate_limited");
        assert_eq!(answer.header("retry-after"), ours, "{theirs:?}");
    }
    // It is about rates only: what is broken may be well again any time.
    scene.upstream.push(Reply::status(503).header("retry-after", "7"));
    let answer = scene.post(&session, message("hello")).await;
    assert_provider_error(&scene, &answer, "unavailable");
    assert_eq!(answer.header("retry-after"), None);
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_is_told() {
    let scene = Scene::with(&[("LLM_MAX_RETRIES", "1")]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::rate_limited(Some("1")));
    scene.post(&session, message("hello")).await.expect(200);
    let requests = scene.upstream.requests();
    let pause = requests[1].at - requests[0].at;
    assert!(pause >= Duration::from_millis(950), "{pause:?}");
}

/// A scene with a second backend, whose own model answers in its own name.
async fn with_fallback(variables: &[(&str, &str)]) -> (Scene, Upstream) {
    let second = Upstream::answering(|request| Reply::text(format!("second: {}", request.last_user()))).await;
    let base_url = second.base_url();
    let own = [
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OPENAI_API_KEY", "sk-second"),
        ("LLM_FALLBACKS", "openai:second-model"),
        ("LLM_MAX_RETRIES", "0"),
        ("PROVIDER_TIMEOUT_SECONDS", "2"),
    ];
    (Scene::with(&[&own, variables].concat()).await, second)
}

#[tokio::test]
async fn another_backend_answers_when_the_first_cannot() {
    let (scene, second) = with_fallback(&[]).await;
    for (turn, (name, fault)) in [
        ("401", Reply::status(401)),
        ("402", Reply::status(402)),
        ("403", Reply::status(403)),
        ("404", Reply::status(404)),
        ("429", Reply::status(429)),
        ("503", Reply::status(503)),
        ("empty", Reply::null_content()),
        ("malformed", Reply::malformed()),
        ("timeout", Reply::never()),
        ("reset", Reply::no_answer(Cut::Reset)),
    ]
    .into_iter()
    .enumerate()
    {
        let session = scene.client.create_session().await;
        scene.upstream.push(fault);
        let body = json!({"content": "hello", "options": {"model": "a/clients-choice", "seed": 7}});
        let answer = scene.post(&session, body).await.expect(200);
        assert_eq!(answer.content(), "second: hello", "{name}");
        assert_eq!((scene.upstream.requests().len(), second.requests().len()), (turn + 1, turn + 1), "{name}");
        let (first, last) = (scene.upstream.last_request(), second.last_request());
        assert_eq!(first.body["model"], "a/clients-choice");
        assert_eq!((&last.body["model"], &last.body["seed"]), (&json!("second-model"), &json!(7)), "{name}");
        assert_eq!(last.bearer(), Some("sk-second"), "{name}: to each its own key");
        assert_eq!(first.conversation(), last.conversation());
    }
}

#[tokio::test]
async fn another_backend_is_not_asked_what_the_first_rejects() {
    let (scene, second) = with_fallback(&[]).await;
    let session = scene.client.create_session().await;
    for status in [400, 413, 422] {
        scene.upstream.push(Reply::status(status));
        assert_provider_error(&scene, &scene.post(&session, message("hello")).await, "rejected");
    }
    assert_eq!(second.requests().len(), 0);
}

#[tokio::test]
async fn a_stream_changes_the_backend_before_its_first_part_only() {
    let (scene, second) = with_fallback(&[]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::status(503));
    let events = scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
    assert_eq!(events.last().expect("events").data["message"]["content"], "second: hello");
    scene.upstream.push(Reply::events().delta("half").cut(Cut::Close));
    let events = scene.client.say_streaming(&session, "hello").await.expect("a stream").collect().await;
    assert_eq!(events.last().expect("events").event, "error");
    assert_eq!(second.requests().len(), 1);
}

#[tokio::test]
async fn when_all_fail_the_last_failure_is_told() {
    let (scene, second) = with_fallback(&[]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::status(401));
    second.push(Reply::status(503));
    assert_provider_error(&scene, &scene.post(&session, message("hello")).await, "unavailable");
    assert_eq!(scene.memory(&session).await, []);
}

#[tokio::test]
async fn a_pause_beyond_the_turn_is_not_waited_for() {
    let (scene, second) = with_fallback(&[("LLM_MAX_RETRIES", "2"), ("TURN_TIMEOUT_SECONDS", "5")]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::rate_limited(Some("60")));
    let answer = scene.post(&session, message("hello")).await.expect(200);
    assert_eq!((answer.content(), second.requests().len()), ("second: hello", 1));
    assert_eq!(scene.upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_dead_backend_is_left_alone_and_readiness_says_so() {
    let dead = DeadPort::take();
    let (scene, second) = with_fallback(&[("OPENROUTER_BASE_URL", &dead.base_url()), ("ADMIN_TOKEN", "t")]).await;
    let operator = scene.client.with_header("x-admin-token", "t");
    let ready = async || operator.get("/health/ready").await.expect(200).body;
    let session = scene.client.create_session().await;
    for failed in 0..5 {
        assert_eq!(ready().await["status"], "ready", "after {failed} failures");
        scene.post(&session, message("hello")).await.expect(200);
    }
    assert_eventually!(ready().await["status"] == "degraded", SOON);
    let readiness = ready().await;
    let checks = readiness["checks"].as_array().expect("checks");
    let llm = checks.iter().find(|check| check["name"] == "llm").expect("an LLM check");
    assert_eq!(llm["state"], "degraded");

    // From now on it costs nothing: the second backend is asked at once.
    let calls = async || scene.metrics().await["llm_calls_total"].as_u64().expect("a number");
    let before = calls().await;
    scene.post(&session, message("hello")).await.expect(200);
    assert_eq!((calls().await - before, second.requests().len()), (1, 6));
}

#[tokio::test]
async fn a_lone_backend_is_asked_however_often_it_failed() {
    let scene = Scene::with(&[("LLM_MAX_RETRIES", "0")]).await;
    let session = scene.client.create_session().await;
    for _ in 0..6 {
        scene.upstream.push(Reply::status(500));
        assert_provider_error(&scene, &scene.post(&session, message("hello")).await, "unavailable");
    }
    assert_eq!(scene.client.get("/health/ready").await.expect(200).body["status"], "degraded");
    scene.post(&session, message("hello")).await.expect(200);
    assert_eventually!(scene.client.get("/health/ready").await.expect(200).body["status"] == "ready", SOON);
}

#[tokio::test]
async fn a_slow_session_does_not_hold_up_another() {
    let scene = Scene::start().await;
    let (slow, quick) = (scene.client.create_session().await, scene.client.create_session().await);
    let gate = Gate::new();
    scene.upstream.push(Reply::text("at last").held_by(&gate));
    let answers = async {
        scene.upstream.wait_for_requests(1).await;
        let quick = scene.client.say(&quick, "hello").await;
        gate.open();
        quick
    };
    let (slow, quick) = tokio::join!(scene.client.say(&slow, "hello"), answers);
    assert_eq!((slow.expect(200).content(), quick.expect(200).content()), ("at last", "echo: hello"));
}

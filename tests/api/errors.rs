//! Every failure, on every path and method: its status, its one form, its request's id; and nothing of what was sent.

mod bodies;
mod paths;

use chat_test_support::Answer;
use reqwest::{Method, header::HeaderValue};
use serde_json::json;

use crate::scene::{NO_SESSION, Scene, assert_error, field_errors, is_uuid, keys};

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_and_in_one_sentence() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let body = json!({"role": "sentinel", "memory_limit": "sentinel", "options": "sentinel", "content": 5});
    let answer = scene.post(&session, body).await;
    assert_error(&answer, 422, "validation_error");
    let errors = field_errors(&answer);
    let paths: Vec<&str> = errors.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["content", "role", "memory_limit", "options"]);
    let reasons: Vec<String> = errors.iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
    let expected = format!("Request validation failed: {}", reasons.join("; "));
    assert_eq!(answer.body["error"]["message"], expected);
    assert!(!answer.text.contains("sentinel"), "{}", answer.text);

    // The sentence that the seed's clients look for.
    let answer = scene.post(&session, json!({"message": "hello"})).await;
    assert_eq!(answer.body["error"]["message"], "Request validation failed: content: Field required");
    let details = json!({"errors": [{"path": "content", "reason": "Field required"}]});
    assert_eq!(answer.body["error"]["details"], details);
    assert_eq!(keys(&answer.body["error"]), ["code", "details", "message"]);
}

#[tokio::test]
async fn a_clients_request_id_is_taken_over_if_it_is_fit() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let missing = format!("/sessions/{NO_SESSION}");
    let messages = format!("/sessions/{session}/messages");
    // Good and bad answers, with a body and without, JSON and a stream, free and limited.
    let requests: [(Method, &str, Option<&str>, u16); 9] = [
        (Method::GET, "/", None, 200),
        (Method::HEAD, "/health", None, 200),
        (Method::OPTIONS, "/sessions", None, 204),
        (Method::GET, &missing, None, 404),
        (Method::GET, "/nowhere", None, 404),
        (Method::PUT, "/sessions", None, 405),
        (Method::POST, "/sessions", Some("{"), 422),
        (Method::GET, "/admin/runtime", None, 503),
        (Method::POST, &messages, Some(r#"{"content": "x"}"#), 200),
    ];
    let ask = async |(method, path, body, status): (Method, &str, Option<&'static str>, u16), id: Option<&[u8]>| {
        let mut request = scene.client.request(method, path);
        if let Some(id) = id {
            request = request.header("x-request-id", HeaderValue::from_bytes(id).expect("a header"));
        }
        let answer = Answer::of(body.into_iter().fold(request, |request, body| request.body(body))).await;
        assert_eq!(answer.status, status, "{path}");
        if !answer.text.is_empty() && status >= 400 {
            assert_error(&answer, status, answer.code());
        }
        answer.header("x-request-id").expect("on every answer").to_owned()
    };
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    for request in requests {
        for fit in ["a", "0", "trace:7b9c-1/é".trim_end_matches("/é"), "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", &longest] {
            assert_eq!(ask(request.clone(), Some(fit.as_bytes())).await, fit);
        }
        let unfit = [b"".as_slice(), b" ", b"a b", b"a\tb", "é".as_bytes(), b"\xff", too_long.as_bytes()];
        for unfit in unfit.map(Some).into_iter().chain([None]) {
            let made = ask(request.clone(), unfit).await;
            assert!(is_uuid(&made), "{unfit:?} became {made}");
            assert_ne!(made, ask(request.clone(), unfit).await, "each request has its own");
        }
    }
}

#[tokio::test]
async fn a_request_is_found_in_the_log_by_its_id() {
    let scene = Scene::start().await;
    let client = scene.client.with_header("x-request-id", "to-be-found");
    assert_error(&client.get(&format!("/sessions/{NO_SESSION}")).await, 404, "session_not_found");
    let line = scene.service.wait_for_log(|line| line["request_id"] == "to-be-found").await;
    assert_eq!((&line["event"], &line["status_code"]), (&json!("request_completed"), &json!(404)));
}

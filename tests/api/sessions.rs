//! Sessions: made, read, deleted, and what they remember.

mod lifetime;
mod memory;

use chat_test_support::Answer;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::scene::{NO_SESSION, Scene, assert_error, field_errors, is_time, keys, message, operations, send};

#[tokio::test]
async fn a_new_session_is_what_the_contract_shows() {
    let scene = Scene::start().await;
    let metadata = json!({"customer": 7, "tags": ["a", null], "nested": {"سلام": true, "π": 3.25}});
    let answer = scene.client.post("/sessions", &json!({"memory_limit": 5, "metadata": metadata})).await.expect(201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some());
    let session = &answer.body;
    assert_eq!(keys(session), ["created_at", "id", "memory_limit", "metadata"], "no provider, no model");
    let id = session["id"].as_str().expect("an id");
    let uuid = Uuid::parse_str(id).expect("a UUID");
    assert_eq!((uuid.get_version_num(), uuid.to_string()), (4, id.to_owned()), "random, as it is a secret");
    assert!(is_time(&session["created_at"]), "{session}");
    assert_eq!((&session["memory_limit"], &session["metadata"]), (&json!(5), &metadata));
}

#[tokio::test]
async fn everything_about_a_new_session_is_optional() {
    let scene = Scene::with(&[("MEMORY_DEFAULT", "7")]).await;
    let bodiless = Answer::of(scene.client.request(Method::POST, "/sessions")).await;
    let mut answers = vec![("no body", bodiless)];
    for body in [
        "{}",
        " {\n} ",
        r#"{"memory_limit": null, "metadata": null}"#,
        r#"{"metadata": {}}"#,
        // What old clients send besides is nobody's business, whatever it is.
        r#"{"provider": "openrouter", "fallback_provider": 7, "model": [], "": {"a": {"a": 1}}}"#,
    ] {
        answers.push((body, send(&scene.client, Method::POST, "/sessions", body).await));
    }
    for (body, answer) in answers {
        assert_eq!(answer.status, 201, "{body}: {}", answer.text);
        assert_eq!(answer.body["memory_limit"], 7, "{body}");
        assert_eq!(answer.body["metadata"], json!({}), "{body}");
    }
}

#[tokio::test]
async fn a_session_is_read_with_its_memory() {
    let scene = Scene::start().await;
    let created = scene.client.post("/sessions", &json!({"metadata": {"a": 1}})).await.expect(201).body;
    let id = created["id"].as_str().expect("an id");
    let read = async || scene.client.get(&format!("/sessions/{id}")).await.expect(200).body;
    let mut expected = created.clone();
    expected["history"] = json!([]);
    assert_eq!(read().await, expected);

    scene.client.say(id, "hello").await.expect(200);
    let after = read().await;
    let history = after["history"].as_array().expect("a list");
    assert_eq!(history.len(), 2);
    for message in history {
        assert_eq!(keys(message), ["content", "created_at", "metadata", "role"]);
        assert!(is_time(&message["created_at"]), "{message}");
    }
    let (asked, answered) = (&history[0], &history[1]);
    assert_eq!(
        (&asked["role"], &asked["content"], &asked["metadata"]),
        (&json!("user"), &json!("hello"), &Value::Null)
    );
    assert_eq!((&answered["role"], &answered["content"]), (&json!("assistant"), &json!("echo: hello")));
    assert_eq!(answered["metadata"], json!({"finish_reason": "stop"}));
    let times = [&created["created_at"], &asked["created_at"], &answered["created_at"]].map(Value::to_string);
    assert!(times[0] < times[1] && times[1] < times[2], "times increase strictly within a session: {times:?}");

    // An id is a UUID in whatever spelling.
    assert_eq!(scene.client.get(&format!("/sessions/{}", id.to_uppercase())).await.expect(200).body, after);
}

#[tokio::test]
async fn memory_limits_are_bounded() {
    let scene = Scene::with(&[("MEMORY_MAX", "20")]).await;
    let session = scene.client.create_session().await;
    let messages = format!("/sessions/{session}/messages");
    for (path, rest) in [("/sessions", "{"), (messages.as_str(), r#"{"content": "x", "#)] {
        let ask = async |limit: &str| {
            let body = format!(r#"{rest}"memory_limit": {limit}}}"#);
            send(&scene.client, Method::POST, path, body).await
        };
        for fits in ["1", "20", "null"] {
            assert!(ask(fits).await.status < 300, "{path} {fits}");
        }
        for too_many in ["21", "4294967296", "9223372036854775807"] {
            let answer = ask(too_many).await;
            assert_error(&answer, 400, "invalid_memory_limit");
            let requested: u64 = too_many.parse().expect("a number");
            assert_eq!(answer.body["error"]["details"], json!({"requested": requested, "maximum": 20}));
        }
        for none in ["0", "-1", "-99999999999999999999", "1.0", "1.5", "1e1", "true", "\"5\"", "[5]", "{}"] {
            let answer = ask(none).await;
            assert_error(&answer, 422, "validation_error");
            let errors = field_errors(&answer);
            assert_eq!(errors.len(), 1, "{none}");
            assert_eq!(errors[0].0, "memory_limit", "{none}");
        }
        // Beyond all numbers there is no telling what was asked for, but it was too much.
        assert_error(&ask("99999999999999999999999").await, 400, "invalid_memory_limit");
    }
    assert_eq!(scene.upstream.requests().len(), 3, "a refused message never gets to the model");
}

#[tokio::test]
async fn metadata_is_an_object_of_at_most_16_kib() {
    let scene = Scene::start().await;
    let of_size = |bytes: usize| json!({"metadata": {"a": "x".repeat(bytes - r#"{"a":""}"#.len())}});
    let fits = of_size(16 * 1024);
    let answer = scene.client.post("/sessions", &fits).await.expect(201);
    assert_eq!(answer.body["metadata"], fits["metadata"]);
    let answer = scene.client.post("/sessions", &of_size(16 * 1024 + 1)).await;
    assert_error(&answer, 422, "validation_error");
    assert_eq!(field_errors(&answer)[0].0, "metadata");
    assert!(answer.text.len() < 1024, "the metadata are not echoed");
    // Blanks are the client's to write and not kept, so they do not count.
    let spaced = format!(r#"{{"metadata": {{{}"a": 1}}}}"#, " ".repeat(17 * 1024));
    assert_eq!(send(&scene.client, Method::POST, "/sessions", spaced).await.status, 201);

    for none in [json!("text"), json!(1), json!([]), json!(true)] {
        let answer = scene.client.post("/sessions", &json!({"metadata": none})).await;
        assert_error(&answer, 422, "validation_error");
        assert_eq!(field_errors(&answer)[0].0, "metadata", "{none}");
    }
}

#[tokio::test]
async fn what_is_no_uuid_is_422_on_every_route() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let operations = operations(&scene.client).await;
    let with_id: Vec<_> = operations.iter().filter(|operation| operation.template.contains("{session_id}")).collect();
    assert!(with_id.len() >= 5, "{with_id:?}");
    for operation in with_id {
        for id in ["1", "not-a-uuid", "%20", "00000000-0000-4000-8000-00000000000g", "%D8%B3", &"9".repeat(500)] {
            let body = message("hello").to_string();
            let answer = send(&operator, operation.method.clone(), &operation.path(id), body).await;
            assert_error(&answer, 422, "validation_error");
            let expected = [("session_id".to_owned(), "Input should be a valid UUID".to_owned())];
            assert_eq!(field_errors(&answer), expected, "{} {id}", operation.template);
        }
        let answer =
            send(&operator, operation.method.clone(), &operation.path(NO_SESSION), message("x").to_string()).await;
        assert_error(&answer, 404, "session_not_found");
    }
}

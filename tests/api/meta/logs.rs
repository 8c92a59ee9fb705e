//! What is logged, and what never is.

use chat_test_support::{Reply, Service};
use serde_json::{Value, json};

use crate::scene::{KEY, NO_SESSION, Scene, TOKEN, is_time, launch};

/// Waits for the line of the request with this id.
async fn completed(service: &Service, request_id: &str) -> Value {
    service.wait_for_log(|line| line["event"] == "request_completed" && line["request_id"] == request_id).await
}

#[tokio::test]
async fn a_request_leaves_one_line() {
    let (scene, operator) = Scene::with_operator(&[]).await;
    let named = |id: &str| operator.with_header("x-request-id", id);
    let session = named("make").create_session().await;
    scene.upstream.push(Reply::text("hi").with_usage(7, 3));
    named("say").say(&session, "hello").await.expect(200);
    named("stream").say_streaming(&session, "hello").await.expect("a stream").collect().await;
    named("read").get(&format!("/sessions/{session}?secret=sentinel")).await.expect(200);
    named("miss").get("/nowhere").await.expect(404);
    named("delete").delete(&format!("/sessions/{session}")).await.expect(204);
    let messages = format!("/sessions/{session}/messages");
    let own = format!("/sessions/{session}");
    for (id, method, path, status, in_session) in [
        ("make", "POST", "/sessions", 201, true),
        ("say", "POST", &messages, 200, true),
        ("stream", "POST", &messages, 200, true),
        ("read", "GET", &own, 200, false),
        ("miss", "GET", "/nowhere", 404, false),
        ("delete", "DELETE", &own, 204, true),
    ] {
        let line = completed(&scene.service, id).await;
        assert!(is_time(&line["timestamp"]), "{line}");
        for (field, expected) in [
            ("level", json!("INFO")),
            ("method", json!(method)),
            ("path", json!(path)),
            ("status_code", json!(status)),
            ("client_ip", json!("127.0.0.1")),
        ] {
            assert_eq!(line[field], expected, "{field} in {line}");
        }
        assert!(line["target"].is_string() && line["message"].is_string(), "{line}");
        assert!(line["duration_ms"].as_f64().is_some_and(|took| took > 0.0), "{line}");
        if in_session {
            assert_eq!(line["session_id"], session.as_str(), "{line}");
        }
        let lines = scene.service.events("request_completed");
        assert_eq!(lines.iter().filter(|line| line["request_id"] == id).count(), 1, "{id}");
    }
    let said = completed(&scene.service, "say").await;
    assert_eq!((&said["prompt_tokens"], &said["completion_tokens"]), (&json!(7), &json!(3)));
    assert!(!scene.service.log_text().contains("sentinel"), "a query is nobody's business");
}

#[tokio::test]
async fn every_line_is_a_json_object_of_the_same_form() {
    let scene = Scene::with(&[("LLM_MAX_RETRIES", "0"), ("LOG_LEVEL", "TRACE")]).await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::error(500, "it\nbroke \"there\" \u{1b}[31m"));
    let client = scene.client.with_header("x-request-id", "broken");
    client.say(&session, "hello").await.expect(502);
    completed(&scene.service, "broken").await;
    let lines = scene.service.logs();
    for line in &lines {
        assert!(is_time(&line["timestamp"]), "{line}");
        let level = line["level"].as_str().expect("a level");
        assert!(["ERROR", "WARNING", "INFO", "DEBUG", "TRACE"].contains(&level), "{line}");
        assert!(line["target"].is_string() && line["message"].is_string(), "{line}");
    }
    // What belongs to a request says so.
    let failed = lines.iter().find(|line| line["message"] == "LLM attempt failed").expect("a warning");
    assert_eq!((&failed["level"], &failed["request_id"]), (&json!("WARNING"), &json!("broken")));
}

#[tokio::test]
async fn nothing_that_is_said_or_secret_is_ever_logged() {
    for format in ["json", "text"] {
        let variables = [
            ("LOG_LEVEL", "DEBUG"),
            ("LOG_FORMAT", format),
            ("API_KEYS", "sentinel-client-key"),
            ("LLM_MAX_RETRIES", "0"),
            ("INITIAL_SYSTEM_PROMPT", "sentinel-prompt"),
            ("OPENAI_API_KEY", "sentinel-openai-key"),
        ];
        let (scene, operator) = Scene::with_operator(&variables).await;
        let client = scene.client.with_header("x-api-key", "sentinel-client-key");
        let created = client.post("/sessions", &json!({"metadata": {"sentinel-member": "sentinel-metadata"}})).await;
        let session = created.expect(201).body["id"].as_str().expect("an id").to_owned();
        let body = json!({"content": "sentinel-content", "options": {"stop": "sentinel-option", "metadata": {"a": "sentinel-meta"}}});
        let messages = format!("/sessions/{session}/messages");
        scene.upstream.push(Reply::text("sentinel-answer"));
        client.post(&messages, &body).await.expect(200);
        client.stream(&messages, &body).await.expect("a stream").collect().await;
        // Whatever goes wrong.
        scene.upstream.push(Reply::error(401, &format!("the key {KEY} is wrong, Bearer {KEY}")));
        client.post(&messages, &body).await.expect(502);
        scene.upstream.push(Reply::body(200, "application/json", r#"{"sentinel-answer": "#));
        client.post(&messages, &body).await.expect(502);
        scene.upstream.push(Reply::wrong_types());
        client.post(&messages, &body).await.expect(502);
        client
            .post(&messages, &json!({"content": 5, "role": "sentinel-role", "options": {"sentinel-name": 1}}))
            .await
            .expect(422);
        client.post(&messages, &json!("sentinel-body")).await.expect(422);
        client.post("/sessions", &json!({"memory_limit": "sentinel-limit"})).await.expect(422);
        scene.client.with_header("x-api-key", "sentinel-wrong-key").get("/sessions/1").await.expect(401);
        scene.client.with_header("authorization", "Bearer sentinel-bearer").get("/sessions/1").await.expect(401);
        scene.client.with_header("x-admin-token", "sentinel-wrong-token").get("/admin/config").await.expect(401);
        scene
            .client
            .with_header("cookie", "sentinel=sentinel")
            .get(&format!("/?key=sentinel-query&id={NO_SESSION}"))
            .await
            .expect(200);
        operator.post("/admin/bypass", &json!({"ip": "sentinel-address"})).await.expect(400);
        operator.get(&format!("/admin/sessions/{session}/messages")).await.expect(200);
        operator.get("/admin/config").await.expect(200);
        // The last one to be answered is the last one to be written.
        scene.client.with_header("x-request-id", "the-last-one").get("/").await.expect(200);
        let written = async || scene.service.log_text().contains("the-last-one");
        chat_test_support::assert_eventually!(written().await, crate::scene::SOON);
        let log = scene.service.log_text();
        let leaks: Vec<&str> = log.lines().filter(|line| line.contains("sentinel") || line.contains(TOKEN)).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
        assert!(log.contains("request_completed"));
    }
}

#[tokio::test]
async fn a_key_is_logged_as_a_part_of_its_hash() {
    let scene = Scene::with(&[("API_KEYS", "key-one")]).await;
    let client = scene.client.with_header("x-api-key", "key-one");
    client.with_header("x-request-id", "with-key").create_session().await;
    let line = completed(&scene.service, "with-key").await;
    // The beginning of the key's SHA-256: it tells keys apart and does not give them away.
    assert_eq!(line["api_key"], "9b346041bc9a");
}

#[tokio::test]
async fn levels_are_pythons_or_rusts_names() {
    for (level, has_info) in
        [("INFO", true), ("info", true), ("DEBUG", true), ("WARNING", false), ("warn", false), ("ERROR", false)]
    {
        let exit = launch().env("LOG_LEVEL", level).arg("check-config").run().await;
        assert!(exit.status.success(), "{level}: {}", exit.stderr);
        if has_info {
            let service = launch().env("LOG_LEVEL", level).start().await;
            service.client().with_header("x-request-id", "one").get("/").await.expect(200);
            completed(&service, "one").await;
        }
    }
    let exit = launch().env("LOG_LEVEL", "LOUD").arg("check-config").run().await;
    assert_eq!(exit.status.code(), Some(2));
    assert!(exit.stderr.contains("LOG_LEVEL"), "{}", exit.stderr);
}

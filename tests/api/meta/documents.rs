//! The API's description and the page that shows it.

use std::path::Path;

use serde_json::Value;

use crate::scene::{Scene, launch, operations};

#[tokio::test]
async fn the_description_is_the_same_wherever_it_is_read() {
    let scene = Scene::start().await;
    let served = scene.client.get("/openapi.json").await.expect(200);
    assert_eq!(served.header("content-type"), Some("application/json"));
    let printed = launch().arg("openapi").run().await;
    assert!(printed.status.success(), "{}", printed.stderr);
    assert_eq!(served.text, printed.stdout);
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/chat-agent.json");
    if let Ok(checked_in) = std::fs::read_to_string(checked_in) {
        assert!(served.text == checked_in, "the API has changed: look at what `make openapi` makes of its description");
    }
    // No configuration changes what is described.
    let other = Scene::with(&[("ADMIN_TOKEN", "t"), ("API_KEYS", "k"), ("METRICS_ENABLED", "false")]).await;
    assert_eq!(other.client.get("/openapi.json").await.expect(200).text, served.text);
}

#[tokio::test]
async fn every_operation_is_described_for_people_and_generators() {
    let scene = Scene::start().await;
    let operations = operations(&scene.client).await;
    let mut ids: Vec<&str> = operations.iter().filter_map(|operation| operation.spec["operationId"].as_str()).collect();
    assert_eq!(ids.len(), operations.len(), "each has an id");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), operations.len(), "no two have the same");
    for operation in &operations {
        assert!(operation.spec["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{operation:?}");
        let responses = operation.spec["responses"].as_object().expect("responses");
        assert!(responses.contains_key("500"), "{operation:?}");
        for (status, response) in responses {
            assert!(response["headers"].get("X-Request-ID").is_some(), "{} {status}", operation.template);
        }
        // Readiness tells more with the admin token, so it is a place to guess it at.
        let limited = ["/sessions", "/admin", "/health/ready"].iter().any(|path| operation.template.starts_with(path));
        assert_eq!(responses.contains_key("429"), limited, "{operation:?}");
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let scene = Scene::start().await;
    let page = scene.client.get("/docs").await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let html = page.text.to_ascii_lowercase();
    assert!(html.contains("<html") && html.contains("swagger"));
    for attribute in ["src=", "href="] {
        for quote in ["\"", "'", ""] {
            for scheme in ["http://", "https://", "//"] {
                let reference = format!("{attribute}{quote}{scheme}");
                let at = html.find(&reference);
                let context = at.map(|at| &html[at..(at + 100).min(html.len())]);
                assert_eq!(context, None, "a reference to somewhere else");
            }
        }
    }
    assert!(!html.contains("@import url(http"));
}

#[tokio::test]
async fn the_schemas_hold_for_what_is_answered() {
    let scene = Scene::start().await;
    let spec = scene.client.get("/openapi.json").await.expect(200).body;
    let session = scene.client.create_session().await;
    let turn = scene.client.say(&session, "hello").await.expect(200).body;
    let read = scene.client.get(&format!("/sessions/{session}")).await.expect(200).body;
    let metrics = scene.metrics().await;
    let error = scene.client.get("/nowhere").await.expect(404).body;
    for (name, answer) in [
        ("Turn", &turn),
        ("SessionWithHistory", &read),
        ("Message", &turn["message"]),
        ("Metrics", &metrics),
        ("Error", &error),
    ] {
        let schema = &spec["components"]["schemas"][name];
        let described = schema["properties"].as_object().unwrap_or_else(|| panic!("{name} is not described"));
        let answered = answer.as_object().expect("an object");
        for field in answered.keys() {
            assert!(described.contains_key(field), "{name}.{field} is not described");
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(answered.contains_key(required), "{name}.{required} is missing");
        }
    }
}

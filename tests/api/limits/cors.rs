//! Web pages that call.

use chat_test_support::{Answer, Client};
use reqwest::Method;
use serde_json::json;

use super::NEVER_REFILLED;
use crate::scene::{NO_SESSION, Scene, assert_error, operations};

const ORIGIN: &str = "https://shop.example.com";

/// One answer of every kind: good, bad, refused, streamed, from every part of the service.
async fn answers(client: &Client) -> Vec<(&'static str, Answer)> {
    let preflight = client.request(Method::OPTIONS, "/sessions").header("access-control-request-method", "POST");
    let mut answers = vec![("201", client.post("/sessions", &json!({})).await)];
    let session = answers[0].1.body["id"].as_str().unwrap_or(NO_SESSION).to_owned();
    let messages = client.request(Method::POST, &format!("/sessions/{session}/messages"));
    let stream = messages.header("accept", "text/event-stream").json(&json!({"content": "hello"}));
    answers.extend([
        ("a stream", Answer::of(stream).await),
        ("422", client.post("/sessions", &json!({"memory_limit": 0})).await),
        ("429", client.get(&format!("/sessions/{NO_SESSION}")).await),
        ("200", client.get("/health").await),
        ("404", client.get("/nowhere").await),
        ("405", client.delete("/health").await),
        ("401", client.get("/admin/runtime").await),
        ("the document", client.get("/openapi.json").await),
        ("a preflight", Answer::of(preflight).await),
    ]);
    answers
}

const LIMITED: [(&str, &str); 3] = [NEVER_REFILLED, ("RATE_BURST", "3"), ("ADMIN_TOKEN", "t")];

#[tokio::test]
async fn every_answer_can_be_read_by_every_page() {
    let scene = Scene::with(&LIMITED).await;
    let page = scene.client.with_header("origin", ORIGIN);
    let answers = answers(&page).await;
    let statuses: Vec<u16> = answers.iter().map(|(_, answer)| answer.status).collect();
    assert_eq!(statuses, [201, 200, 422, 429, 200, 404, 405, 401, 200, 204]);
    for (name, answer) in answers {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{name}");
        let exposed = answer.header("access-control-expose-headers").expect("exposed headers");
        for header in ["X-Request-ID", "Retry-After", "X-Total-Count"] {
            assert!(exposed.split(", ").any(|exposed| exposed == header), "{name}: {exposed}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{name}");
    }
}

#[tokio::test]
async fn a_preflight_is_told_what_may_be_sent() {
    let scene = Scene::start().await;
    for (path, methods) in [
        ("/sessions", &["POST"][..]),
        ("/sessions/1", &["GET", "DELETE"]),
        ("/sessions/1/messages", &["POST"]),
        ("/admin/bypass", &["GET", "POST"]),
        ("/metrics", &["GET"]),
    ] {
        let request = scene.client.request(Method::OPTIONS, path).header("origin", ORIGIN);
        let request = request.header("access-control-request-method", methods[0]);
        let answer = Answer::of(request.header("access-control-request-headers", "content-type, x-api-key")).await;
        assert_eq!(answer.status, 204, "{path}");
        let list = |name| {
            let value = answer.header(name).unwrap_or_else(|| panic!("{path}: {name} is missing"));
            value.split(", ").map(str::to_ascii_lowercase).collect::<Vec<_>>()
        };
        let (allowed, headers) = (list("access-control-allow-methods"), list("access-control-allow-headers"));
        assert!(methods.iter().all(|method| allowed.contains(&method.to_ascii_lowercase())), "{path}: {allowed:?}");
        for header in ["content-type", "accept", "authorization", "x-api-key", "x-admin-token", "x-request-id"] {
            assert!(headers.contains(&header.to_owned()), "{path}: {headers:?}");
        }
    }
    let metrics = scene.metrics().await;
    assert_eq!(metrics["requests_total"], 0, "a preflight is no chat");
}

#[tokio::test]
async fn origins_can_be_listed() {
    let listed = format!("{ORIGIN}, http://localhost:3000");
    let scene = Scene::with(&[&LIMITED[..], &[("CORS_ALLOW_ORIGINS", &listed)]].concat()).await;
    for (name, answer) in answers(&scene.client.with_header("origin", ORIGIN)).await {
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{name}");
        assert_eq!(answer.header("vary").map(str::to_ascii_lowercase).as_deref(), Some("origin"), "{name}");
    }
    for other in [
        "https://evil.example.com",
        "https://shop.example.com.evil.org",
        "http://shop.example.com",
        "https://shop.example.com:8443",
        "null",
    ] {
        for (name, answer) in answers(&scene.client.with_header("origin", other)).await {
            assert_eq!(answer.header("access-control-allow-origin"), None, "{name} for {other}");
            assert_eq!(answer.header("vary").map(str::to_ascii_lowercase).as_deref(), Some("origin"), "{name}");
        }
    }
}

/// A browser hides the answer from such a page, but what it asked for would be done: simple requests need no preflight.
#[tokio::test]
async fn pages_of_others_change_nothing_where_origins_are_listed() {
    for listed in [ORIGIN, "none"] {
        let (scene, operator) = Scene::with_operator(&[("CORS_ALLOW_ORIGINS", listed)]).await;
        let session = scene.client.create_session().await;
        for origin in ["https://evil.example.com", "http://localhost:1", "null"] {
            for operation in operations(&scene.client).await {
                let is_guarded = ["/sessions", "/admin"].iter().any(|root| operation.template.starts_with(root));
                let request = operator.request(operation.method.clone(), &operation.path(&session));
                let answer = Answer::of(request.header("origin", origin).body(r#"{"content":"hi"}"#)).await;
                if is_guarded {
                    assert_error(&answer, 403, "origin_not_allowed");
                } else {
                    assert_ne!(answer.status, 403, "{}", operation.template);
                }
            }
            scene.client.with_header("origin", origin).get("/admin/ui").await.expect(200);
        }
        assert_eq!(scene.upstream.requests().len(), 0, "no model was asked");
        let sessions = operator.get("/admin/sessions").await.expect(200);
        assert_eq!(sessions.header("x-total-count"), Some("1"));
        // The service's own pages, and those of listed origins.
        let own = scene.service.base_url().to_owned();
        for origin in [own.as_str()].into_iter().chain((listed == ORIGIN).then_some(ORIGIN)) {
            let page = scene.client.with_header("origin", origin);
            page.say(&session, "hello").await.expect(200);
            operator.with_header("origin", origin).get("/admin/runtime").await.expect(200);
        }
    }
}

#[tokio::test]
async fn pages_can_be_shut_out() {
    let scene = Scene::with(&[("CORS_ALLOW_ORIGINS", "none")]).await;
    let answer = scene.client.with_header("origin", ORIGIN).get("/health").await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

//! Servers that take their time to start.

use std::time::{Duration, Instant};

use chat_test_support::mcp::Servers;
use serde_json::{Value, json};

use crate::scene::Scene;

#[tokio::test]
async fn a_turn_right_after_the_start_waits_for_the_tools() {
    let servers = Servers::new().scripted("quick", &[]).scripted("slow", &["--start-after", "5"]);
    let scene = Scene::of(&servers).await;
    assert_eq!(scene.shown("slow").await["status"], "starting");
    assert_eq!(scene.client.get("/health/ready").await.expect(200).body["status"], "degraded");
    let answer = scene.ask("/slow_echo {\"text\": \"here\"}").await;
    assert_eq!(answer.content(), "here");
    assert_eq!(answer.body["message"]["metadata"]["unavailable_servers"], Value::Null);
    let requests = scene.upstream.requests();
    assert!(requests[0].tool_names().contains(&"quick_echo"), "the model was asked when all were there");
}

#[tokio::test]
async fn a_turn_waits_no_longer_than_it_may() {
    let servers = Servers::new().scripted("quick", &[]).scripted("never", &["--silent"]);
    let began = Instant::now();
    // In this time the quick one has to be there, on a busy machine as well.
    let scene = Scene::with(&servers, &[("MCP_START_TIMEOUT_SECONDS", "8")]).await;
    let answer = scene.ask("/quick_echo {\"text\": \"here\"}").await;
    let took = began.elapsed();
    assert!((Duration::from_millis(7900)..Duration::from_secs(20)).contains(&took), "{took:?}");
    assert_eq!(answer.content(), "here");
    assert_eq!(answer.body["message"]["metadata"]["unavailable_servers"], json!(["never"]));
    // Who comes later does not wait again.
    let again = Instant::now();
    scene.ask("hi").await;
    assert!(again.elapsed() < Duration::from_secs(6), "{:?}", again.elapsed());
    assert_eq!(scene.shown("never").await["status"], "starting");
}

#[tokio::test]
async fn a_required_server_that_does_not_start_in_time_is_missed() {
    let servers = Servers::new().scripted("never", &["--silent"]).with("required", true);
    let scene = Scene::with(&servers, &[("MCP_START_TIMEOUT_SECONDS", "0.5")]).await;
    assert_eq!(scene.post(&json!({"content": "hi"})).await.expect(503).code(), "tools_unavailable");
    assert_eq!(scene.client.get("/health/ready").await.expect(503).body["status"], "unavailable");
    assert_eq!(scene.upstream.requests().len(), 0, "no model was asked");
}

#[tokio::test]
async fn tools_that_any_web_page_can_use_are_warned_of() {
    let servers = Servers::new().scripted("one", &[]);
    for (variables, is_open) in [
        (&[][..], true),
        (&[("CORS_ALLOW_ORIGINS", "https://shop.example.com")], false),
        (&[("CORS_ALLOW_ORIGINS", "none")], false),
        (&[("API_KEYS", "a-key-of-the-test")], false),
    ] {
        let scene = Scene::with(&servers, variables).await;
        // Lines come in order, and this one comes after all of the start.
        scene.service.wait_for_log(|line| line["event"] == "listening").await;
        assert_eq!(scene.service.events("open_tools").len(), usize::from(is_open), "{variables:?}");
    }
    let without = Scene::with(&Servers::new(), &[]).await;
    without.service.wait_for_log(|line| line["event"] == "listening").await;
    assert!(without.service.events("open_tools").is_empty());
}

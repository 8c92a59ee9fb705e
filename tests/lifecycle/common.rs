//! What several tests need.

use std::time::Duration;

use chat_test_support::{Client, Launch, Service, Upstream, assert_eventually};
use serde_json::Value;

/// For what should happen at once; a loaded machine may take its time.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The built program, without configuration.
pub(crate) fn program() -> Launch {
    Service::launch(env!("CARGO_BIN_EXE_chat-agent"))
}

/// The service over an upstream, with limits that are not in the way.
pub(crate) fn agent(upstream: &Upstream) -> Launch {
    let generous = [
        ("RATE_RPS", "100000"),
        ("RATE_BURST", "100000"),
        ("MEMORY_DEFAULT", "200"),
        ("MEMORY_MAX", "200"),
        ("LLM_MAX_RETRIES", "0"),
        ("OPENROUTER_KEY", "test-key"),
    ];
    program().envs(generous).env("OPENROUTER_BASE_URL", upstream.base_url())
}

/// Where the messages of a session are posted.
pub(crate) fn messages_of(session: &str) -> String {
    format!("/sessions/{session}/messages")
}

/// Waits until so many messages and sessions have been posted to the service, all told.
///
/// It counts a message a moment before that has its place in the session's order. Where that order matters, a service
/// with [`ONE_WORKER`] gives the place before it answers anybody else.
pub(crate) async fn wait_for_posts(client: &Client, number: u64) {
    assert_eventually!(client.get("/health").await.body["requests_total"] == number, SOON);
}

/// One thread for all connections.
pub(crate) const ONE_WORKER: (&str, &str) = ("TOKIO_WORKER_THREADS", "1");

/// The line of the log about a request with this id, once it is over.
pub(crate) async fn request_log(service: &Service, request_id: &str) -> Value {
    service.wait_for_log(|line| line["event"] == "request_completed" && line["request_id"] == request_id).await
}

/// What was said in a session and answered with an echo. Fails the test unless the memory is exactly such pairs.
pub(crate) async fn echoed(client: &Client, session: &str) -> Vec<String> {
    let answer = client.get(&format!("/sessions/{session}")).await.expect(200);
    let history = answer.body["history"].as_array().expect("a history");
    let (pairs, rest) = history.as_chunks::<2>();
    assert!(rest.is_empty(), "half a pair: {}", answer.text);
    let said = pairs.iter().map(|[user, assistant]| {
        assert_eq!((&user["role"], &assistant["role"]), (&"user".into(), &"assistant".into()), "{}", answer.text);
        let said = user["content"].as_str().expect("a text");
        assert_eq!(assistant["content"], format!("echo: {said}"), "{}", answer.text);
        said.to_owned()
    });
    said.collect()
}

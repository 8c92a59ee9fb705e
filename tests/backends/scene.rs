//! What several tests need: the service with a model that echoes, and short words for what is asked of it.

use std::time::{Duration, Instant};

use chat_test_support::{Answer, Client, Launch, Service, Upstream, assert_in_time};
use serde_json::Value;

/// The operator's token.
pub(crate) const TOKEN: &str = "sentinel-of-the-admin-token";

/// What a condition may take to come true: far more than it needs on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Whatever Redis does, an error is an answer by then.
pub(crate) const PROMISED: Duration = Duration::from_millis(2_500);

/// The service over an upstream, with limits that are not in the way.
pub(crate) fn agent(upstream: &Upstream) -> Launch {
    program(env!("CARGO_BIN_EXE_chat-agent"), upstream)
}

/// The same, started by another program.
pub(crate) fn program(program: &str, upstream: &Upstream) -> Launch {
    let generous = [
        ("RATE_RPS", "1000000"),
        ("RATE_BURST", "1000000"),
        ("MEMORY_DEFAULT", "10000"),
        ("MEMORY_MAX", "10000"),
        ("MAX_BODY_BYTES", "4000000"),
        ("LLM_MAX_RETRIES", "0"),
        ("SHUTDOWN_GRACE_SECONDS", "5"),
        ("OPENROUTER_KEY", "test-key"),
        ("ADMIN_TOKEN", TOKEN),
    ];
    Service::launch(program).envs(generous).env("OPENROUTER_BASE_URL", upstream.base_url())
}

/// Starts it again where it was before, for clients that only know its address.
pub(crate) async fn start_again(launch: &Launch, before: &Service) -> Service {
    let port = before.base_url().rsplit_once(':').expect("an address with a port").1.to_owned();
    launch.clone().env("PORT", port).start().await
}

/// A client that shows the admin token.
pub(crate) fn operator(service: &Service) -> Client {
    service.client().with_header("x-admin-token", TOKEN)
}

/// Messages as (role, content) pairs.
pub(crate) fn said(messages: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let messages = messages.as_array().expect("a list of messages");
    messages.iter().map(|message| (text(&message["role"]), text(&message["content"]))).collect()
}

/// Turns whose answer is an echo, as (role, content) pairs.
pub(crate) fn echoed(said: &[&str]) -> Vec<(String, String)> {
    let turn =
        |said: &&str| [("user".to_owned(), (*said).to_owned()), ("assistant".to_owned(), format!("echo: {said}"))];
    said.iter().flat_map(turn).collect()
}

/// What a session remembers.
pub(crate) async fn memory(client: &Client, session: &str) -> Vec<(String, String)> {
    said(&client.get(&format!("/sessions/{session}")).await.expect(200).body["history"])
}

/// All that the archive has of a session; none if it has nothing.
pub(crate) async fn archived(operator: &Client, session: &str) -> Option<Vec<(String, String)>> {
    let mut messages = Vec::new();
    loop {
        let path = format!("/admin/history/sessions/{session}/messages?limit=200&offset={}", messages.len());
        let page = operator.get(&path).await;
        if page.status == 404 {
            return None;
        }
        let page = page.expect(200).body;
        messages.extend(said(&page["messages"]));
        assert_eq!(page["count"], page["messages"].as_array().map_or(0, Vec::len), "{page}");
        if messages.len() as u64 == page["total"].as_u64().expect("a number") {
            return Some(messages);
        }
        assert!(page["count"] != 0, "an empty page before the end: {page}");
    }
}

/// What readiness says in a word, and what it says of one dependency.
pub(crate) async fn readiness(operator: &Client, name: &str) -> (String, Value) {
    let body = operator.get("/health/ready").await.body;
    let check = body["checks"].as_array().expect("checks").iter().find(|check| check["name"] == name);
    (body["status"].as_str().expect("a word").to_owned(), check.cloned().unwrap_or_default())
}

/// Whether all is well, and nothing waits for the archive.
pub(crate) async fn is_well(operator: &Client) -> bool {
    let (status, history) = readiness(operator, "history").await;
    status == "ready" && history["backlog"].as_u64().unwrap_or_default() == 0
}

/// Fails the test unless a request is refused, in the promised time, because something cannot be kept.
pub(crate) async fn assert_unavailable(what: &str, request: impl AsyncFn() -> Answer) {
    assert_in_time(what, PROMISED, async || {
        let began = Instant::now();
        let answer = request().await;
        let took = began.elapsed();
        assert_eq!((answer.status, answer.code()), (503, "storage_unavailable"), "{what}: {}", answer.text);
        took
    })
    .await;
}

/// Waits, without keeping the test's other tasks from going on.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

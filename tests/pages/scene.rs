//! The services that the pages talk to.

use chat_test_support::{Launch, Service, Upstream};
use serde_json::json;

use crate::browser::Page;

/// The operator's token.
pub(crate) const TOKEN: &str = "sentinel-of-the-admin-token";

/// The binary, with limits that no test runs into by accident.
pub(crate) fn program() -> Launch {
    let generous = [("RATE_RPS", "100000"), ("RATE_BURST", "100000"), ("ADMIN_TOKEN", TOKEN)];
    Service::launch(env!("CARGO_BIN_EXE_chat-agent")).envs(generous)
}

/// With the built-in model.
pub(crate) fn demo() -> Launch {
    program().arg("demo")
}

/// Over a scripted model.
pub(crate) fn over(upstream: &Upstream) -> Launch {
    let variables = [("OPENROUTER_KEY", "test-key"), ("LLM_MAX_RETRIES", "0")];
    program().envs(variables).env("OPENROUTER_BASE_URL", upstream.base_url())
}

/// The port that a service listens on, to start another one there.
pub(crate) fn port(service: &Service) -> String {
    service.base_url().rsplit_once(':').expect("a port").1.to_owned()
}

/// Where a page is.
pub(crate) fn page(service: &Service, path: &str) -> String {
    format!("{}{path}", service.base_url())
}

/// An element of the conversation that is shown.
pub(crate) fn here(testid: &str) -> String {
    format!(".conversation:not([hidden]) [data-testid=\"{testid}\"]")
}

/// An answer of the conversation that is shown: `streaming`, `complete` or `broken`.
pub(crate) fn answer(state: &str) -> String {
    format!("{}[data-state={state}]", here("answer"))
}

/// Writes a message and sends it.
pub(crate) async fn say(tab: &Page, text: &str) {
    tab.fill(&here("message-input"), text).await;
    tab.click(&here("send")).await;
}

/// Waits until this is in the box where a message is written.
pub(crate) async fn box_has(tab: &Page, text: &str) {
    let (input, text) = (json!(here("message-input")), json!(text));
    tab.until(&format!("document.querySelector({input})?.value === {text}")).await;
}

/// The id of the session that was made last.
pub(crate) async fn newest_session(service: &Service) -> String {
    let operator = service.client().with_header("x-admin-token", TOKEN);
    let sessions = operator.get("/admin/sessions").await.expect(200).body;
    sessions[0]["id"].as_str().expect("a session").to_owned()
}

/// How many messages a session remembers.
pub(crate) async fn remembered(service: &Service, session: &str) -> usize {
    let session = service.client().get(&format!("/sessions/{session}")).await.expect(200).body;
    session["history"].as_array().expect("a history").len()
}

/// What would run if a page took text for markup.
pub(crate) const HOSTILE: &str =
    r#"<script>window.ran = 1</script><img src="x" onerror="window.ran = 1"><b onclick="window.ran = 1">bold</b>"#;

/// Fails the test if any of that became more than text.
pub(crate) async fn assert_harmless(tab: &Page) {
    assert!(tab.is("window.ran === undefined").await, "it ran");
    assert_eq!(tab.count("main script, main img, main iframe, main [onclick], main [onerror]").await, 0);
    assert_eq!(tab.count("a[href^='javascript'], a[href^='data']").await, 0);
}

//! What failed says so, and in which way.

use chat_test_support::{Gate, RecordedRequest, Reply, Upstream, assert_eventually};
use serde_json::json;

use crate::{
    collector::{Span, one},
    scene::{SOON, Scene, TRACE},
};

fn how(span: &Span) -> (&str, bool) {
    (span.get("error.type").as_str().unwrap_or_default(), span.has_failed)
}

#[tokio::test]
async fn each_attempt_at_a_model_has_its_own_span_and_its_own_failure() {
    let model = |request: &RecordedRequest| match request.body["model"].as_str() {
        Some("spare/model") => Reply::text("at last"),
        _ => Reply::status(429),
    };
    let spare = [("LLM_FALLBACKS", "openrouter:spare/model"), ("LLM_MAX_RETRIES", "1")];
    let scene = Scene::over(Upstream::answering(model).await, &spare).await;
    let session = scene.client.create_session().await;
    scene.caller("01").say(&session, "hello").await.expect(200);
    let spans = scene.collector.trace(TRACE, 5).await;
    let failed: Vec<_> = spans.iter().filter(|span| span.name == "chat vendor/model").map(how).collect();
    assert_eq!(failed, [("rate_limited", true); 2]);
    let answered = one(&spans, "chat spare/model");
    assert_eq!((how(answered), answered.get("chat_agent.backend")), (("", false), &json!("fallback_1")));
    assert_eq!(how(one(&spans, "invoke_agent chat-agent")), ("", false), "the turn succeeded");
}

#[tokio::test]
async fn a_turn_without_an_answer_has_failed_with_its_request() {
    let scene = Scene::over(Upstream::answering(|_| Reply::status(500)).await, &[]).await;
    let session = scene.client.create_session().await;
    scene.caller("01").say(&session, "hello").await.expect(502);
    let spans = scene.collector.trace(TRACE, 3).await;
    assert_eq!(how(one(&spans, "chat vendor/model")), ("unavailable", true));
    assert_eq!(how(one(&spans, "invoke_agent chat-agent")), ("unavailable", true));
    assert_eq!(how(one(&spans, "POST /sessions/{session_id}/messages")), ("502", true));
}

#[tokio::test]
async fn what_a_client_does_wrong_is_no_failure_of_the_server() {
    let scene = Scene::start().await;
    let nowhere = "00000000-0000-4000-8000-000000000000";
    scene.caller("01").say(nowhere, "hello").await.expect(404);
    let spans = scene.collector.trace(TRACE, 2).await;
    let server = one(&spans, "POST /sessions/{session_id}/messages");
    assert_eq!((how(server), server.get("http.response.status_code")), (("", false), &json!(404)));
    assert_eq!(how(one(&spans, "invoke_agent chat-agent")), ("session_not_found", true));
}

#[tokio::test]
async fn a_tool_that_fails_says_so_and_the_turn_goes_on() {
    let model = |request: &RecordedRequest| match request.messages().last() {
        Some(last) if last["role"] == "tool" => Reply::text("never mind"),
        _ => Reply::tool_calls([("shop_fail", "{}")]),
    };
    let scene = Scene::over(Upstream::answering(model).await, &[]).await;
    let session = scene.client.create_session().await;
    scene.caller("01").say(&session, "hello").await.expect(200);
    let spans = scene.collector.trace(TRACE, 5).await;
    assert_eq!(how(one(&spans, "execute_tool fail")), ("tool_error", true));
    assert_eq!(how(one(&spans, "invoke_agent chat-agent")), ("", false));
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_what_is_under_way() {
    let gate = Gate::new();
    let held = gate.clone();
    let model = move |_: &RecordedRequest| Reply::text("too late").held_by(&held);
    let scene = Scene::over(Upstream::answering(model).await, &[]).await;
    let session = scene.client.create_session().await;
    {
        let caller = scene.caller("01");
        let turn = caller.say(&session, "hello");
        let goes_away = scene.upstream.wait_for_requests(1);
        tokio::select! { _ = turn => panic!("nobody answered"), () = goes_away => {} }
    }
    let spans = scene.collector.trace(TRACE, 3).await;
    assert_eq!(how(one(&spans, "chat vendor/model")), ("cancelled", true));
    assert_eq!(how(one(&spans, "invoke_agent chat-agent")), ("cancelled", true));
    let server = one(&spans, "POST /sessions/{session_id}/messages");
    assert_eq!((how(server).0, server.get("http.response.status_code").is_null()), ("client_closed_request", true));
    gate.open();
    assert_eventually!(scene.upstream.open() == 0, SOON);
}

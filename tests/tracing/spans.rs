//! Which spans there are, what they are called and what they say.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use crate::{
    collector::one,
    scene::{CALLER, MARKER, Scene, TRACE},
};

#[tokio::test]
async fn a_turn_is_one_trace_that_goes_on_where_the_callers_began() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let caller = scene.caller("01").with_header("x-request-id", "mine");
    caller.say(&session, MARKER).await.expect(200);

    let spans = scene.collector.trace(TRACE, 5).await;
    let server = one(&spans, "POST /sessions/{session_id}/messages");
    let turn = one(&spans, "invoke_agent chat-agent");
    let tool = one(&spans, "execute_tool echo");
    let chats: Vec<_> = spans.iter().filter(|span| span.name == "chat vendor/model").collect();
    assert_eq!(chats.len(), 2);
    assert_eq!((&*server.parent, &*turn.parent, &*tool.parent), (CALLER, &*server.id, &*turn.id));
    assert!(chats.iter().all(|chat| chat.parent == turn.id));
    assert!(spans.iter().all(|span| !span.has_failed && span.get("error.type").is_null()), "{spans:#?}");
    assert!(spans.iter().all(|span| span.state == "vendor=opaque"));

    assert_eq!(server.kind, SpanKind::Server);
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/sessions/{session_id}/messages")),
        ("url.path", json!("/sessions/{session_id}/messages")),
        ("url.scheme", json!("http")),
        ("http.response.status_code", json!(200)),
        ("http.response.header.x-request-id", json!(["mine"])),
    ] {
        assert_eq!(server.get(name), &value, "{name}");
    }
    assert_eq!(server.resource["service.name"], "chat-agent");
    assert_eq!(server.resource["service.version"], env!("CARGO_PKG_VERSION"));

    assert_eq!(turn.kind, SpanKind::Internal);
    for (name, value) in [
        ("gen_ai.operation.name", json!("invoke_agent")),
        ("gen_ai.usage.input_tokens", json!(30)),
        ("gen_ai.usage.output_tokens", json!(10)),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
    ] {
        assert_eq!(turn.get(name), &value, "{name}");
    }

    let address = scene.upstream.address();
    for (chat, (finish, input, output)) in chats.iter().zip([("tool_calls", 10, 3), ("stop", 20, 7)]) {
        assert_eq!(chat.kind, SpanKind::Client);
        for (name, value) in [
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.provider.name", json!("openrouter")),
            ("gen_ai.request.model", json!("vendor/model")),
            ("gen_ai.response.model", json!("vendor/model-2026-01-01")),
            ("gen_ai.response.finish_reasons", json!([finish])),
            ("gen_ai.usage.input_tokens", json!(input)),
            ("gen_ai.usage.output_tokens", json!(output)),
            ("server.address", json!(address.ip().to_string())),
            ("server.port", json!(address.port())),
            ("chat_agent.backend", json!("primary")),
            ("gen_ai.conversation.id", turn.get("gen_ai.conversation.id").clone()),
        ] {
            assert_eq!(chat.get(name), &value, "{name}");
        }
    }

    let asked = scene.upstream.last_request();
    let call = asked.messages().last().expect("the tool's result")["tool_call_id"].clone();
    assert_eq!(tool.kind, SpanKind::Internal);
    for (name, value) in [
        ("gen_ai.operation.name", json!("execute_tool")),
        ("gen_ai.tool.name", json!("echo")),
        ("gen_ai.tool.call.id", call),
        ("gen_ai.tool.type", json!("extension")),
        ("chat_agent.tool.server", json!("shop")),
    ] {
        assert_eq!(tool.get(name), &value, "{name}");
    }
    let is_last = |line: &Value| line["event"] == "request_completed" && line["request_id"] == "mine";
    let line = scene.service.wait_for_log(is_last).await;
    assert_eq!(line["trace_id"], TRACE, "the log leads to the trace");
}

#[tokio::test]
async fn a_streamed_turn_is_the_same_trace_to_its_last_event() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let events = scene.caller("01").say_streaming(&session, MARKER).await.expect("a stream").collect().await;
    assert!(events.len() > 3);
    let spans = scene.collector.trace(TRACE, 5).await;
    let server = one(&spans, "POST /sessions/{session_id}/messages");
    let turn = one(&spans, "invoke_agent chat-agent");
    assert_eq!((&*turn.parent, server.get("http.response.status_code")), (&*server.id, &json!(200)));
    assert_eq!(turn.get("gen_ai.usage.input_tokens"), &json!(30));
    assert_eq!(one(&spans, "execute_tool echo").parent, turn.id);
    assert!(spans.iter().all(|span| !span.has_failed), "{spans:#?}");
}

#[tokio::test]
async fn turns_of_one_conversation_are_known_by_a_hash_and_never_by_the_sessions_id() {
    let scene = Scene::start().await;
    let (one, other) = (scene.client.create_session().await, scene.client.create_session().await);
    for session in [&one, &one, &other] {
        scene.client.say(session, "hello").await.expect(200);
    }
    scene.client.get(&format!("/sessions/{one}")).await.expect(200);
    scene.collector.named("GET /sessions/{session_id}").await;
    let turns = scene.collector.named("invoke_agent chat-agent").await;
    let ids: Vec<_> = turns.iter().map(|turn| turn.get("gen_ai.conversation.id").as_str().expect("a text")).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[0].len() == 32, "{ids:?}");
    let bytes = scene.collector.bytes();
    for session in [one, other] {
        assert!(
            !contains(&bytes, &session) && !contains(&bytes, &session.replace('-', "")),
            "an id that lets others in"
        );
    }
}

#[tokio::test]
async fn what_does_no_work_has_no_span() {
    let scene = Scene::with(&[("ADMIN_TOKEN", "t")]).await;
    for path in ["/", "/health", "/health/ready", "/metrics", "/docs", "/nowhere", "/sessions/1/2/3"] {
        scene.client.get(path).await;
    }
    scene.client.with_header("x-admin-token", "t").get("/admin/runtime").await.expect(200);
    scene.client.create_session().await;
    scene.collector.named("POST /sessions").await;
    let mut names: Vec<_> = scene.collector.spans().into_iter().map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["GET /admin/runtime", "POST /sessions"]);
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

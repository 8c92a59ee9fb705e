//! What is said is in no trace, unless the operator wants it there.

use serde_json::{Value, json};

use crate::{
    collector::one,
    scene::{MARKER, Scene, TRACE},
};

const PROMPT: &str = "sentinel-of-the-prompt";

#[tokio::test]
async fn nothing_that_is_said_is_in_a_trace() {
    let scene = Scene::with(&[("INITIAL_SYSTEM_PROMPT", PROMPT)]).await;
    let session = scene.client.create_session().await;
    scene.caller("01").say(&session, MARKER).await.expect(200);
    scene.collector.trace(TRACE, 5).await;
    let bytes = String::from_utf8_lossy(&scene.collector.bytes()).into_owned();
    assert!(!bytes.contains("sentinel") && !bytes.contains("It said"), "{bytes}");
}

#[tokio::test]
async fn with_the_setting_it_is_there_as_the_conventions_have_it() {
    let variables = [("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"), ("INITIAL_SYSTEM_PROMPT", PROMPT)];
    let scene = Scene::with(&variables).await;
    scene.service.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("what is said"))).await;
    let session = scene.client.create_session().await;
    scene.caller("01").say(&session, MARKER).await.expect(200);
    let spans = scene.collector.trace(TRACE, 5).await;
    let parsed = |value: &Value| serde_json::from_str::<Value>(value.as_str().expect("a text")).expect("JSON");

    let tool = one(&spans, "execute_tool echo");
    assert_eq!(parsed(tool.get("gen_ai.tool.call.arguments")), json!({"text": MARKER}));
    assert_eq!(tool.get("gen_ai.tool.call.result"), MARKER);
    let id = tool.get("gen_ai.tool.call.id");

    let last = spans.iter().rfind(|span| span.name == "chat vendor/model").expect("the last call of the model");
    assert_eq!(parsed(last.get("gen_ai.system_instructions")), json!([{"type": "text", "content": PROMPT}]));
    let arguments = json!({"text": MARKER}).to_string();
    let call = json!({"type": "tool_call", "id": id, "name": "shop_echo", "arguments": arguments});
    let result = json!({"type": "tool_call_response", "id": id, "result": MARKER});
    assert_eq!(
        parsed(last.get("gen_ai.input.messages")),
        json!([
            {"role": "user", "parts": [{"type": "text", "content": MARKER}]},
            {"role": "assistant", "parts": [call]},
            {"role": "tool", "parts": [result]},
        ])
    );
    let answer = json!({"type": "text", "content": format!("It said: {MARKER}")});
    assert_eq!(
        parsed(last.get("gen_ai.output.messages")),
        json!([{"role": "assistant", "parts": [answer], "finish_reason": "stop"}])
    );
}

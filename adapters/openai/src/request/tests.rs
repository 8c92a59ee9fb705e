use std::{sync::Arc, time::Duration};

use super::*;
use chat_domain::{
    agent::window::{PastRounds, Window},
    message::{Extra, Message, MessageId, Opaque, Role, ToolCall, ToolOutcome},
    options::{CompletionOptions, OptionPolicy},
    ports::tools::{Tool, ToolCatalogue},
    time::{Moment, Timestamp},
};
use serde_json::{Value, json, value::RawValue};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn said(role: Role, text: &str) -> Message {
    Message::said(MessageId(uuid::Uuid::nil()), Timestamp::default(), role, text)
}

fn done(id: &str, name: &str, arguments: &str, result: &str) -> FinishedCall {
    FinishedCall {
        call: ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() },
        server: "files".into(),
        tool: name.into(),
        outcome: ToolOutcome::ok(result),
        took: Duration::ZERO,
    }
}

fn catalogue() -> Arc<ToolCatalogue> {
    let tool = Tool {
        function: "files_read".into(),
        server: "files".into(),
        name: "read".into(),
        description: None,
        schema: raw(r#"{"type":"object" }"#).into(),
    };
    Arc::new(ToolCatalogue::new(vec![tool], vec![]))
}

fn options(members: &[(&str, &str)]) -> Arc<CompletionOptions> {
    let members = members.iter().map(|(name, value)| ((*name).to_owned(), raw(value))).collect();
    CompletionOptions::judge(members, &OptionPolicy::default()).expect("allowed")
}

fn request() -> LlmRequest {
    LlmRequest {
        window: Window::new(None, &[], 9, Arc::new(said(Role::User, "hello")), PastRounds::Replay),
        rounds: Vec::new(),
        tools: Arc::default(),
        tool_choice: ToolChoice::Auto,
        options: Arc::default(),
        delivery: Delivery::Whole,
        deadline: Moment::default(),
    }
}

fn text(request: &LlmRequest) -> String {
    String::from_utf8(body(request, "m")).expect("UTF-8")
}

fn json(request: &LlmRequest) -> Value {
    serde_json::from_str(&text(request)).expect("JSON")
}

#[test]
fn the_smallest_request_has_nothing_in_it_that_need_not_be() {
    let expected = r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":false}"#;
    assert_eq!(text(&request()), expected);
}

#[test]
fn a_conversation_is_sent_in_order_with_its_rounds() {
    let opaque = Some(Opaque(raw(r#"[{"type": "reasoning.text"}]"#).into()));
    let past = Round { text: "let me see".into(), calls: vec![done("c1", "files_read", "{}", "found \"it\"")], opaque };
    let mut answer = said(Role::Assistant, "سلام");
    answer.extra = Some(Box::new(Extra { rounds: vec![past], ..Extra::default() }));
    let memory = [Arc::new(said(Role::User, "hi")), Arc::new(answer)];
    let new = Arc::new(said(Role::User, "again"));
    let calls = vec![done("c2", "files_read", "{broken", "no"), done("c3", "files_read", " ", "yes")];
    let request = LlmRequest {
        window: Window::new(Some("be kind".into()), &memory, 9, new, PastRounds::Replay),
        rounds: vec![Round { text: "".into(), calls, opaque: None }],
        ..request()
    };
    let call = |id, arguments| json!({"id": id, "type": "function", "function": {"name": "files_read", "arguments": arguments}});
    let expected = json!([
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "let me see", "tool_calls": [call("c1", "{}")],
            "reasoning_details": [{"type": "reasoning.text"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "found \"it\""},
        {"role": "assistant", "content": "سلام"},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": null, "tool_calls": [call("c2", "{broken"), call("c3", "{}")]},
        {"role": "tool", "tool_call_id": "c2", "content": "no"},
        {"role": "tool", "tool_call_id": "c3", "content": "yes"},
    ]);
    let sent = json(&request);
    assert_eq!(sent["messages"], expected);
    assert!(sent.get("tools").is_none() && sent.get("tool_choice").is_none());
}

#[test]
fn tools_and_options_are_sent_to_the_letter() {
    let members = [("temperature", "0.70"), ("stop", r#"[ "a" ]"#), ("model", "\"other\""), ("seed", "null")];
    let request =
        LlmRequest { tools: catalogue(), options: options(&members), delivery: Delivery::Streamed, ..request() };
    let expected = concat!(
        r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"#,
        r#""tools":[{"type":"function","function":{"name":"files_read","parameters":{"type":"object" }}}],"#,
        r#""stream":true,"stream_options":{"include_usage":true},"temperature":0.70,"stop":[ "a" ]}"#,
    );
    assert_eq!(text(&request), expected);
}

#[test]
fn a_tool_choice_is_sent_with_tools_only() {
    let function = json!({"type": "function", "function": {"name": "files_read"}});
    for (choice, sent) in [
        (ToolChoice::Auto, Value::Null),
        (ToolChoice::None, json!("none")),
        (ToolChoice::Function("files_read".into()), function),
    ] {
        let with = LlmRequest { tools: catalogue(), tool_choice: choice.clone(), ..request() };
        assert_eq!(json(&with)["tool_choice"], sent);
        assert!(json(&with)["tools"].is_array());
        let without = LlmRequest { tool_choice: choice, ..request() };
        assert!(json(&without).get("tool_choice").is_none() && json(&without).get("tools").is_none());
    }
}

#[test]
fn what_only_makes_sense_with_tools_is_left_out_without_them() {
    let members = [("parallel_tool_calls", "false"), ("top_p", "1")];
    let without = LlmRequest { options: options(&members), ..request() };
    assert!(json(&without).get("parallel_tool_calls").is_none());
    assert_eq!(json(&without)["top_p"], 1);
    let with = LlmRequest { options: options(&members), tools: catalogue(), ..request() };
    assert_eq!(json(&with)["parallel_tool_calls"], false);
}

#[test]
fn names_a_model_made_up_are_made_acceptable() {
    for (name, sent) in [("files_read-2", "files_read-2"), ("files.read it", "files_read_it"), ("é", "_"), ("", "_")] {
        assert_eq!(function_name(name), sent);
    }
    assert_eq!(function_name(&"x".repeat(65)).len(), 64);
}

#[test]
fn the_buffer_is_allocated_once() {
    let text = "a line with \"quotes\"\n".repeat(500);
    let rounds = vec![Round {
        text: "".into(),
        calls: (0..20).map(|n| done(&format!("call_{n}"), "files_read", r#"{"a": 1}"#, &text)).collect(),
        opaque: None,
    }];
    let request = LlmRequest { rounds, tools: catalogue(), options: options(&[("top_p", "1")]), ..request() };
    let body = body(&request, "vendor/model");
    assert_eq!(body.capacity(), size(&request), "{} bytes", body.len());
}

//! What is said, as attributes have it, where the operator wants it there: JSON of roles and parts.

use chat_domain::{
    agent::window::{Entry, cut},
    message::{FinishedCall, ToolCall},
    ports::llm::{Completion, LlmRequest},
};
use serde_json::{Value, json};

/// The most that one attribute holds of a conversation, in bytes; the newest messages come first.
pub(super) const MOST: usize = 32 * 1024;

/// The most that it holds of one text.
const MOST_OF_A_TEXT: usize = 8 * 1024;

/// A text, cut to what a span can bear.
pub(super) fn text(text: &str) -> String {
    cut(text, MOST_OF_A_TEXT).unwrap_or_else(|| text.to_owned())
}

/// What a model is asked: the operator's instructions, and the conversation.
pub(super) fn asked(request: &LlmRequest) -> (Option<String>, String) {
    let mut instructions = None;
    let mut messages = Vec::new();
    for entry in request.window.entries(&request.rounds) {
        match entry {
            Entry::System(prompt) => {
                instructions = Some(json!([{"type": "text", "content": text(prompt)}]).to_string())
            }
            Entry::Said(role, said) => messages.push(message(role.as_str(), vec![part(said)])),
            Entry::Round(round) => {
                let said = (!round.text.is_empty()).then(|| part(&round.text));
                let calls = round.calls.iter().map(|finished| call(&finished.call));
                messages.push(message("assistant", said.into_iter().chain(calls).collect()));
                messages.push(message("tool", round.calls.iter().map(result).collect()));
            }
        }
    }
    (instructions, newest(messages))
}

/// What a model answered.
pub(super) fn answered(completion: &Completion) -> String {
    let said = (!completion.text.is_empty()).then(|| part(&completion.text));
    let parts = said.into_iter().chain(completion.calls.iter().map(call)).collect();
    let mut message = message("assistant", parts);
    if let Some(finish) = &completion.finish {
        message["finish_reason"] = finish.as_str().into();
    }
    newest(vec![message])
}

fn message(role: &str, parts: Vec<Value>) -> Value {
    json!({"role": role, "parts": parts})
}

fn part(said: &str) -> Value {
    json!({"type": "text", "content": text(said)})
}

fn call(call: &ToolCall) -> Value {
    json!({"type": "tool_call", "id": &*call.id, "name": &*call.name, "arguments": text(&call.arguments)})
}

fn result(finished: &FinishedCall) -> Value {
    json!({"type": "tool_call_response", "id": &*finished.call.id, "result": text(&finished.outcome.content)})
}

/// As many of the newest messages as there is room for, oldest first.
fn newest(messages: Vec<Value>) -> String {
    let mut left = MOST;
    let mut kept: Vec<String> = messages.iter().rev().map(Value::to_string).collect();
    let fitting = kept.iter().take_while(|message| match left.checked_sub(message.len() + 1) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    kept.truncate(fitting.count());
    kept.reverse();
    format!("[{}]", kept.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_the_newest_of_a_long_conversation_and_no_more_than_it_can_bear() {
        let long = "é".repeat(MOST_OF_A_TEXT);
        let messages: Vec<Value> = (0..20).map(|turn| message("user", vec![part(&format!("{turn} {long}"))])).collect();
        let kept = newest(messages);
        assert!(kept.len() <= MOST + 2, "{} bytes", kept.len());
        let kept: Value = serde_json::from_str(&kept).expect("JSON");
        let kept = kept.as_array().expect("a list");
        assert_eq!(kept.len(), 3);
        let last = kept[2]["parts"][0]["content"].as_str().expect("a text");
        assert!(last.starts_with("19 é") && last.ends_with("bytes]"), "{last:.20}");
    }
}

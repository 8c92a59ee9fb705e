//! The success of an OpenAI-compatible endpoint, in both its forms.

use bytes::Bytes;
use serde_json::{Value, json};

use super::RecordedRequest;

/// The creation time in every answer; nothing should depend on it.
const CREATED: u64 = 1_700_000_000;

/// Tool arguments are streamed in pieces of this many characters, so that they arrive broken
/// inside of names, numbers and escapes.
const ARGUMENT_PIECE: usize = 7;

/// What the model says, before it is put into one of the two forms.
#[derive(Clone, Debug)]
pub(super) struct Completion {
    /// The text as the pieces that a stream sends; `None`: `"content": null`.
    pub(super) pieces: Option<Vec<String>>,
    pub(super) calls: Vec<Call>,
    pub(super) usage: Option<Value>,
    /// `None`: `tool_calls` or `stop`, by what is there.
    pub(super) finish: Option<String>,
}

/// A tool call; its arguments need not be JSON.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Completion {
    pub(super) fn new(pieces: Option<Vec<String>>, calls: Vec<Call>) -> Self {
        let usage = Some(usage(10, 5));
        Self { pieces, calls, usage, finish: None }
    }

    fn finish(&self) -> &str {
        let default = if self.calls.is_empty() { "stop" } else { "tool_calls" };
        self.finish.as_deref().unwrap_or(default)
    }

    /// The answer in one piece.
    pub(super) fn json(&self, request: &RecordedRequest) -> Value {
        let mut message = json!({"role": "assistant", "content": self.pieces.as_ref().map(|pieces| pieces.concat())});
        if !self.calls.is_empty() {
            let calls = self.calls.iter().enumerate();
            message["tool_calls"] = calls.map(|(index, call)| call.json(&call_id(request, index))).collect();
        }
        let mut body = envelope(request, "chat.completion");
        body["choices"] = json!([{"index": 0, "message": message, "finish_reason": self.finish()}]);
        if let Some(usage) = &self.usage {
            body["usage"] = usage.clone();
        }
        body
    }

    /// The answer as the frames of a stream, with its end.
    pub(super) fn frames(&self, request: &RecordedRequest) -> Vec<Bytes> {
        let mut frames = vec![delta(request, &json!({"role": "assistant", "content": ""}))];
        let texts = self.pieces.iter().flatten();
        frames.extend(texts.map(|text| delta(request, &json!({"content": text}))));
        for (index, call) in self.calls.iter().enumerate() {
            let head = json!({"index": index, "id": call_id(request, index), "type": "function",
                "function": {"name": call.name, "arguments": ""}});
            frames.push(delta(request, &json!({"tool_calls": [head]})));
            let characters: Vec<char> = call.arguments.chars().collect();
            for piece in characters.chunks(ARGUMENT_PIECE) {
                let piece: String = piece.iter().collect();
                let part = json!({"index": index, "function": {"arguments": piece}});
                frames.push(delta(request, &json!({"tool_calls": [part]})));
            }
        }
        frames.push(finish(request, self.finish()));
        if let Some(usage) = self.usage.as_ref().filter(|_| request.wants_usage()) {
            frames.push(usage_chunk(request, usage));
        }
        frames.push(data("[DONE]"));
        frames
    }
}

impl Call {
    fn json(&self, id: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}})
    }
}

/// A usage object with these numbers.
pub(super) fn usage(prompt: u64, completion: u64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// A chunk with a delta.
pub(super) fn delta(request: &RecordedRequest, delta: &Value) -> Bytes {
    chunk(request, json!([{"index": 0, "delta": delta, "finish_reason": null}]))
}

/// The chunk that ends the choice.
pub(super) fn finish(request: &RecordedRequest, reason: &str) -> Bytes {
    chunk(request, json!([{"index": 0, "delta": {}, "finish_reason": reason}]))
}

/// The chunk with the usage, which has no choice.
pub(super) fn usage_chunk(request: &RecordedRequest, usage: &Value) -> Bytes {
    let mut body = envelope(request, "chat.completion.chunk");
    body["choices"] = json!([]);
    body["usage"] = usage.clone();
    data(&body.to_string())
}

/// One frame of a stream.
pub(super) fn data(text: &str) -> Bytes {
    Bytes::from(format!("data: {text}\n\n"))
}

fn chunk(request: &RecordedRequest, choices: Value) -> Bytes {
    let mut body = envelope(request, "chat.completion.chunk");
    body["choices"] = choices;
    data(&body.to_string())
}

fn envelope(request: &RecordedRequest, object: &str) -> Value {
    let model = request.body["model"].as_str().unwrap_or("test/model");
    let id = format!("gen-{}", request.number);
    // As real ones do: asked for a name, they tell which of its versions answers.
    json!({"id": id, "object": object, "created": CREATED, "model": format!("{model}-2026-01-01")})
}

/// Unique within an upstream, as real ones are.
fn call_id(request: &RecordedRequest, index: usize) -> String {
    format!("call_{}_{index}", request.number)
}

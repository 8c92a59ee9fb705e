//! Streams written by hand. They end, cleanly, with the last thing that is added.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Cut, Part, Reply, Shape, Step};
use crate::upstream::{Gate, completion};

impl Reply {
    /// An empty stream.
    #[must_use]
    pub fn events() -> Self {
        Self::of(Shape::Events(Vec::new()))
    }

    /// A piece of text.
    #[must_use]
    pub fn delta(self, text: &str) -> Self {
        self.part(Part::Delta(json!({"content": text})))
    }

    /// The beginning of a tool call.
    #[must_use]
    pub fn tool_begin(self, index: usize, id: &str, name: &str) -> Self {
        let function = json!({"name": name, "arguments": ""});
        self.part(Part::Delta(
            json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}),
        ))
    }

    /// A piece of a tool call's arguments.
    #[must_use]
    pub fn tool_arguments(self, index: usize, piece: &str) -> Self {
        self.part(Part::Delta(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})))
    }

    /// The chunk with the finish reason.
    #[must_use]
    pub fn finish(self, reason: &str) -> Self {
        self.part(Part::Finish(reason.to_owned()))
    }

    /// The chunk with the usage.
    #[must_use]
    pub fn usage(self, prompt: u64, completion: u64) -> Self {
        self.part(Part::Usage(completion::usage(prompt, completion)))
    }

    /// `data: [DONE]`.
    #[must_use]
    pub fn done(self) -> Self {
        self.data("[DONE]")
    }

    /// An error chunk, as OpenRouter sends it when the model fails half-way.
    #[must_use]
    pub fn error_chunk(self, code: u16, message: &str) -> Self {
        let error = json!({"code": code, "message": message});
        self.event(&json!({"id": "gen-0", "object": "chat.completion.chunk", "error": error,
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}))
    }

    /// A comment line, such as OpenRouter's `OPENROUTER PROCESSING`.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        self.raw(format!(": {text}\n\n"))
    }

    /// A chunk of any JSON.
    #[must_use]
    pub fn event(self, chunk: &Value) -> Self {
        self.data(&chunk.to_string())
    }

    /// A `data:` frame of any text.
    #[must_use]
    pub fn data(self, text: &str) -> Self {
        self.part(Part::Raw(completion::data(text)))
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(self, bytes: impl Into<Bytes>) -> Self {
        self.part(Part::Raw(bytes.into()))
    }

    /// A pause in the stream.
    #[must_use]
    pub fn wait(self, pause: Duration) -> Self {
        self.part(Part::Step(Step::Wait(pause)))
    }

    /// A pause in the stream until the test opens the gate.
    #[must_use]
    pub fn hold(self, gate: &Gate) -> Self {
        self.part(Part::Step(Step::Hold(gate.clone())))
    }

    /// The connection ends here, in the middle of the stream.
    #[must_use]
    pub fn cut(self, cut: Cut) -> Self {
        self.part(Part::Step(Step::Cut(cut)))
    }

    /// Nothing more comes, and the connection stays open.
    #[must_use]
    pub fn hang(self) -> Self {
        self.part(Part::Step(Step::Hang))
    }

    fn part(mut self, part: Part) -> Self {
        match &mut self.shape {
            Shape::Events(parts) => parts.push(part),
            _ => panic!("only a stream begun with Reply::events() is written by hand"),
        }
        self
    }
}

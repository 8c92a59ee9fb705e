//! Replies of a model that works, as JSON or as a stream.

use serde_json::Value;

use super::{Reply, Shape};
use crate::upstream::completion::{self, Call, Completion};

impl Reply {
    /// The model says this; streamed word by word.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::stream(text.as_ref().split_inclusive(' '))
    }

    /// The model says this; streamed in these pieces.
    #[must_use]
    pub fn stream<T: Into<String>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let pieces = pieces.into_iter().map(Into::into).collect();
        Self::completion(Some(pieces), Vec::new())
    }

    /// The model asks for one tool.
    #[must_use]
    pub fn tool_call(name: &str, arguments: &Value) -> Self {
        Self::tool_calls([(name, arguments.to_string())])
    }

    /// The model asks for several tools at once; the arguments are sent as they are, JSON or not.
    #[must_use]
    pub fn tool_calls<'a, A: Into<String>>(calls: impl IntoIterator<Item = (&'a str, A)>) -> Self {
        let calls = calls.into_iter();
        let calls = calls.map(|(name, arguments)| Call { name: name.to_owned(), arguments: arguments.into() });
        Self::completion(None, calls.collect())
    }

    /// `content: null` and no tool call: an answer that is none.
    #[must_use]
    pub fn null_content() -> Self {
        Self::completion(None, Vec::new())
    }

    /// A text beside the tool calls.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        let pieces = text.split_inclusive(' ').map(str::to_owned).collect();
        self.edit(|completion| completion.pieces = Some(pieces))
    }

    /// These token counts instead of 10 and 5.
    #[must_use]
    pub fn with_usage(self, prompt: u64, completion: u64) -> Self {
        self.with_usage_object(completion::usage(prompt, completion))
    }

    /// Any usage object.
    #[must_use]
    pub fn with_usage_object(self, usage: Value) -> Self {
        self.edit(|completion| completion.usage = Some(usage))
    }

    /// No usage.
    #[must_use]
    pub fn without_usage(self) -> Self {
        self.edit(|completion| completion.usage = None)
    }

    /// Another finish reason, such as `length`.
    #[must_use]
    pub fn with_finish(self, reason: &str) -> Self {
        self.edit(|completion| completion.finish = Some(reason.to_owned()))
    }

    fn completion(pieces: Option<Vec<String>>, calls: Vec<Call>) -> Self {
        Self::of(Shape::Completion(Completion::new(pieces, calls)))
    }

    fn edit(mut self, edit: impl FnOnce(&mut Completion)) -> Self {
        match &mut self.shape {
            Shape::Completion(completion) => edit(completion),
            _ => panic!("only a completion has a text, a usage and a finish reason"),
        }
        self
    }
}

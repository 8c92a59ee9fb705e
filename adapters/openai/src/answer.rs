//! What an answer amounts to, whole or gathered from its chunks: [`Gathered`].

mod calls;
mod reasoning;

use chat_domain::{
    message::{FinishReason, Usage},
    ports::llm::{Completion, LlmError, LlmErrorKind},
};
use serde_json::value::RawValue;

use self::{calls::Calls, reasoning::Reasoning};
use crate::{
    failure,
    redact::Redactor,
    wire::{Answer, Message},
};

/// An answer so far.
pub(crate) struct Gathered {
    text: String,
    /// How much of the text has been handed out by [`Gathered::news`].
    told: usize,
    calls: Calls,
    reasoning: Reasoning,
    finish: Option<FinishReason>,
    usage: Option<Box<RawValue>>,
    model: Option<Box<str>>,
    max_size: usize,
}

/// Reads a whole answer.
pub(crate) fn whole(body: &[u8], redactor: &Redactor) -> Result<Completion, LlmError> {
    let mut gathered = Gathered::new(usize::MAX);
    gathered.add(body, redactor)?;
    gathered.complete()
}

impl Gathered {
    /// Nothing yet, and never more than `max_size` bytes of text, arguments and the like.
    pub(crate) fn new(max_size: usize) -> Self {
        Self {
            text: String::new(),
            told: 0,
            calls: Calls::default(),
            reasoning: Reasoning::default(),
            finish: None,
            usage: None,
            model: None,
            max_size,
        }
    }

    /// Takes a chunk, or a whole answer.
    pub(crate) fn add(&mut self, json: &[u8], redactor: &Redactor) -> Result<(), LlmError> {
        // Text is checked faster as a whole than string by string; what is no text may still be readable where it counts.
        let answer: Answer<'_> = match std::str::from_utf8(json) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(json),
        }
        .map_err(|error| failure::unreadable(&error))?;
        if let Some(error) = answer.error {
            return Err(failure::reported(error, redactor));
        }
        if let Some(usage) = answer.usage {
            self.usage = Some(usage.to_owned());
        }
        if let (None, Some(model)) = (&self.model, answer.model) {
            // No answer is lost for what is no name.
            self.model = serde_json::from_str(model.get()).ok();
        }
        let Some(choice) = answer.choices.and_then(|choices| choices.0) else {
            return Ok(());
        };
        if let Some(error) = choice.error {
            return Err(failure::reported(error, redactor));
        }
        // Some backends repeat the whole message beside each delta.
        if let Some(message) = choice.delta.or(choice.message) {
            self.add_message(message)?;
        }
        match choice.finish_reason.as_ref().map(|reason| &*reason.0) {
            None | Some("") => {}
            Some("error") => return Err(failure::broke_down()),
            Some(word) => self.finish = Some(word.into()),
        }
        Ok(())
    }

    fn add_message(&mut self, message: Message<'_>) -> Result<(), LlmError> {
        let content = message.content.map(|content| content.0).filter(|content| !content.is_empty());
        let text = content.or(message.refusal.map(|refusal| refusal.0)).unwrap_or_default();
        if self.text.is_empty() {
            self.text = text.into_owned();
        } else {
            self.text.push_str(&text);
        }
        for call in message.tool_calls.into_iter().flatten() {
            self.calls.add(call)?;
        }
        if let Some(details) = message.reasoning_details {
            self.reasoning.add(details);
        }
        if self.text.len() + self.calls.size() + self.reasoning.size() > self.max_size {
            return Err(failure::too_long());
        }
        Ok(())
    }

    /// Text that has not been handed out; never empty. Blank text waits for what follows: an answer that stays blank is
    /// none, and whoever asked must be free to ask somebody else.
    pub(crate) fn news(&mut self) -> Option<String> {
        let news = &self.text[self.told..];
        if news.is_empty() || (self.told == 0 && is_blank(news)) {
            return None;
        }
        let news = news.to_owned();
        self.told = self.text.len();
        Some(news)
    }

    /// Whether the model has said why it stopped: of the answer itself, nothing more is to come.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether it has said what it used.
    pub(crate) fn has_usage(&self) -> bool {
        self.usage.is_some()
    }

    /// The answer.
    pub(crate) fn complete(self) -> Result<Completion, LlmError> {
        let text = if is_blank(&self.text) { String::new() } else { self.text };
        let calls = self.calls.finish()?;
        if text.is_empty() && calls.is_empty() {
            return Err(LlmError::new(LlmErrorKind::InvalidResponse, "the answer is empty"));
        }
        let usage = self.usage.and_then(|usage| serde_json::from_str::<Usage>(usage.get()).ok());
        Ok(Completion { text, calls, finish: self.finish, usage, model: self.model, opaque: self.reasoning.finish() })
    }
}

/// Whether a text says nothing.
fn is_blank(text: &str) -> bool {
    text.trim_start().is_empty()
}

#[cfg(test)]
mod tests;

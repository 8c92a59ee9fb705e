//! A model that needs no key and no network: [`DemoLlm`].

mod language;
mod reply;

use std::{future::ready, time::Duration};

use async_trait::async_trait;
use chat_domain::{
    agent::window::Entry,
    message::{FinishReason, ToolCall, Usage},
    ports::llm::{Completion, Delivery, LlmError, LlmEvent, LlmPort, LlmRequest, LlmStream},
};
use futures_util::{StreamExt, stream};
use serde_json::json;

use self::reply::Reply;

/// A model for trying the service out, for its examples and its tests: deterministic, offline, a pure function of what
/// it is asked.
///
/// It says what it is and what it remembers, in the language it is spoken to (English, or Persian), knows who told it
/// their name as long as that is in its memory, and uses tools: the one a client forces, or the one that a message asks
/// for with `/tool NAME {json}` or `use NAME {json}`; then it quotes what came of it. It keeps to `max_tokens`, counting
/// words.
#[derive(Debug, Clone, Copy, Default)]
pub struct DemoLlm {
    pause: Duration,
}

impl DemoLlm {
    /// A model that makes this pause between the words of a streamed answer, so that it looks like one that thinks; zero
    /// for none.
    pub fn new(pause: Duration) -> Self {
        Self { pause }
    }

    fn complete(request: &LlmRequest) -> Completion {
        let completion = match reply::reply(request) {
            Reply::Say(text) => match limit(request).and_then(|words| first_words(&text, words)) {
                Some(cut) => Completion { text: cut, finish: Some(FinishReason::Length), ..Completion::default() },
                None => Completion { text, finish: Some(FinishReason::Stop), ..Completion::default() },
            },
            Reply::Call { function, arguments } => {
                let id = format!("demo_{}", request.rounds.len() + 1).into();
                let call = ToolCall { id, name: (*function).into(), arguments: arguments.into() };
                Completion { calls: vec![call], finish: Some(FinishReason::ToolCalls), ..Completion::default() }
            }
        };
        let usage = usage(request, &completion);
        Completion { usage: Some(usage), ..completion }
    }
}

#[async_trait]
impl LlmPort for DemoLlm {
    async fn stream(&self, request: &LlmRequest) -> Result<LlmStream, LlmError> {
        let completion = Self::complete(request);
        if request.delivery == Delivery::Whole {
            return Ok(stream::once(ready(Ok(LlmEvent::End(completion)))).boxed());
        }
        let words: Vec<String> = completion.text.split_inclusive(char::is_whitespace).map(str::to_owned).collect();
        let pause = self.pause;
        let pieces = stream::iter(words).enumerate().then(move |(index, word)| async move {
            // The first one is there at once; asking for no pause must not cost a tick of the timer.
            if index > 0 && !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            Ok(LlmEvent::Text(word))
        });
        Ok(pieces.chain(stream::once(ready(Ok(LlmEvent::End(completion))))).boxed())
    }
}

/// How many words the client wants at the most.
fn limit(request: &LlmRequest) -> Option<usize> {
    let value = |wanted: &str| request.options.rest.iter().find(|(name, _)| **name == *wanted);
    let (_, value) = value("max_completion_tokens").or_else(|| value("max_tokens"))?;
    // An answer is never empty.
    serde_json::from_str::<usize>(value.get()).ok().map(|words| words.max(1))
}

/// The first words of a text; none if it has no more.
fn first_words(text: &str, words: usize) -> Option<String> {
    let kept: String = text.split_inclusive(char::is_whitespace).take(words).collect();
    (kept.len() < text.len()).then(|| kept.trim_end().to_owned())
}

/// What a model would report that counts words.
fn usage(request: &LlmRequest, completion: &Completion) -> Usage {
    let words = |text: &str| text.split_whitespace().count();
    let read = request.window.entries(&request.rounds).map(|entry| match entry {
        Entry::System(text) => words(text),
        Entry::Said(_, text) => words(text),
        Entry::Round(round) => {
            let calls = round.calls.iter();
            words(&round.text)
                + calls.map(|call| words(&call.call.arguments) + words(&call.outcome.content)).sum::<usize>()
        }
    });
    let prompt: usize = read.sum();
    let written = words(&completion.text) + completion.calls.iter().map(|call| words(&call.arguments)).sum::<usize>();
    let numbers = [("prompt_tokens", prompt), ("completion_tokens", written), ("total_tokens", prompt + written)];
    numbers.into_iter().map(|(name, count)| (name, json!(count))).collect()
}

#[cfg(test)]
mod tests;

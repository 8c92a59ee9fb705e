//! What is sent: the body of a chat completion request, written straight from the shared messages into one buffer.

use std::borrow::Cow;

use chat_domain::{
    agent::window::Entry,
    message::{FinishedCall, Round},
    ports::llm::{Delivery, LlmRequest, ToolChoice},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::value::RawValue;

/// An option that backends refuse when no tools are offered, as happens while a tool server is down.
const ONLY_WITH_TOOLS: &str = "parallel_tool_calls";

/// What stands around a message or an option, and some characters that have to be escaped: a guess that rarely has to be
/// corrected.
const AROUND: usize = 64;

/// The body of the request to `model`.
pub(crate) fn body(request: &LlmRequest, model: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut buffer = Vec::with_capacity(size(request));
    serde_json::to_writer(&mut buffer, &Body { request, model })?;
    Ok(buffer)
}

fn size(request: &LlmRequest) -> usize {
    let messages = request.window.entries(&request.rounds).map(|entry| match entry {
        Entry::System(text) | Entry::Said(_, text) => text.len() + AROUND,
        Entry::Round(round) => {
            let opaque = round.opaque.as_ref().map_or(0, |opaque| opaque.0.get().len());
            let calls = round.calls.iter();
            let calls = calls.map(|done| done.call.arguments.len() + done.outcome.content.len() + 4 * AROUND);
            round.text.len() + AROUND + opaque + calls.sum::<usize>()
        }
    });
    let options = request.options.rest.iter().map(|(name, value)| name.len() + value.get().len());
    let text = messages.sum::<usize>() + options.sum::<usize>();
    // Quotes and line ends grow by a byte, and tools like to answer in JSON, which is full of them.
    text + text / 4 + request.tools.wire().map_or(0, |tools| tools.get().len()) + 4 * AROUND
}

struct Body<'a> {
    request: &'a LlmRequest,
    model: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = self.request;
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("model", self.model)?;
        body.serialize_entry("messages", &Messages(request))?;
        let tools = request.tools.wire();
        if let Some(tools) = tools {
            body.serialize_entry("tools", tools)?;
            // Without tools a choice is refused; `auto` is what no choice means.
            match &request.tool_choice {
                ToolChoice::Auto => {}
                ToolChoice::None => body.serialize_entry("tool_choice", "none")?,
                ToolChoice::Function(name) => {
                    body.serialize_entry("tool_choice", &Chosen { r#type: "function", function: Named { name } })?;
                }
            }
        }
        let streamed = request.delivery == Delivery::Streamed;
        body.serialize_entry("stream", &streamed)?;
        if streamed {
            body.serialize_entry("stream_options", &StreamOptions { include_usage: true })?;
        }
        for (name, value) in &request.options.rest {
            if tools.is_some() || **name != *ONLY_WITH_TOOLS {
                body.serialize_entry(name, value)?;
            }
        }
        body.end()
    }
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Chosen<'a> {
    r#type: &'static str,
    function: Named<'a>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

/// The conversation, the running turn's rounds included.
struct Messages<'a>(&'a LlmRequest);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut messages = serializer.serialize_seq(None)?;
        for entry in self.0.window.entries(&self.0.rounds) {
            match entry {
                Entry::System(content) => messages.serialize_element(&Said { role: "system", content })?,
                Entry::Said(role, content) => messages.serialize_element(&Said { role: role.as_str(), content })?,
                Entry::Round(round) => {
                    messages.serialize_element(&Asked::from(round))?;
                    for done in &round.calls {
                        messages.serialize_element(&Outcome::from(done))?;
                    }
                }
            }
        }
        messages.end()
    }
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
}

/// An answer that asked for tools.
#[derive(Serialize)]
struct Asked<'a> {
    role: &'static str,
    /// `null` if it asked and said nothing; some backends refuse a message without the member.
    content: Option<&'a str>,
    tool_calls: Calls<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<&'a RawValue>,
}

impl<'a> From<&'a Round> for Asked<'a> {
    fn from(round: &'a Round) -> Self {
        Self {
            role: "assistant",
            content: (!round.text.is_empty()).then_some(&*round.text),
            tool_calls: Calls(&round.calls),
            reasoning_details: round.opaque.as_ref().map(|opaque| &*opaque.0),
        }
    }
}

/// What a tool gave.
#[derive(Serialize)]
struct Outcome<'a> {
    role: &'static str,
    tool_call_id: &'a str,
    content: &'a str,
}

impl<'a> From<&'a FinishedCall> for Outcome<'a> {
    fn from(done: &'a FinishedCall) -> Self {
        Self { role: "tool", tool_call_id: &done.call.id, content: &done.outcome.content }
    }
}

struct Calls<'a>(&'a [FinishedCall]);

impl Serialize for Calls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Call::from))
    }
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: Cow<'a, str>,
    arguments: &'a str,
}

impl<'a> From<&'a FinishedCall> for Call<'a> {
    fn from(done: &'a FinishedCall) -> Self {
        // What the model wrote goes back as it is, broken or not; only nothing at all would not be read as JSON by
        // backends that read it, and is taken for an empty object here as it was when the tool was called.
        let arguments = if done.call.arguments.trim().is_empty() { "{}" } else { &*done.call.arguments };
        Self {
            id: &done.call.id,
            r#type: "function",
            function: Function { name: function_name(&done.call.name), arguments },
        }
    }
}

/// A function's name as backends accept it in past calls: a model that made one up must not make the whole request
/// invalid with it.
fn function_name(name: &str) -> Cow<'_, str> {
    const MAX: usize = 64;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=MAX).contains(&name.len()) && name.chars().all(allowed) {
        return name.into();
    }
    let cleaned: String = name.chars().take(MAX).map(|c| if allowed(c) { c } else { '_' }).collect();
    if cleaned.is_empty() { "_".into() } else { cleaned.into() }
}

#[cfg(test)]
mod tests;

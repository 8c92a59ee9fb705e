//! What is sent: the body of a chat completion request, written straight from the shared messages into one buffer.
//!
//! By hand, since most of it is text, and [`json::write_str`] is much quicker at that than what serde_json offers.

use std::borrow::Cow;

use chat_domain::{
    agent::window::Entry,
    json::{self, Text},
    message::{FinishedCall, Role, Round},
    ports::llm::{Delivery, LlmRequest, ToolChoice},
};

/// An option that backends refuse when no tools are offered, as happens while a tool server is down.
const ONLY_WITH_TOOLS: &str = "parallel_tool_calls";

/// What stands around a message or an option, and some characters that have to be escaped: a guess that rarely has to be
/// corrected.
const AROUND: usize = 64;

/// The body of the request to `model`.
pub(crate) fn body(request: &LlmRequest, model: &str) -> Vec<u8> {
    let mut json = Json(Vec::with_capacity(size(request)));
    json.raw(r#"{"model":"#).text(model).raw(r#","messages":["#);
    for entry in request.window.entries(&request.rounds) {
        match entry {
            Entry::System(text) => _ = json.raw(SYSTEM).text(text).raw("},"),
            Entry::Said(role, text) => json.said(role, text),
            Entry::Round(round) => json.round(round),
        }
    }
    json.end("]");
    let tools = request.tools.wire();
    if let Some(tools) = tools {
        json.raw(r#","tools":"#).raw(tools.get());
        // Without tools a choice is refused; `auto` is what no choice means.
        match &request.tool_choice {
            ToolChoice::Auto => {}
            ToolChoice::None => _ = json.raw(r#","tool_choice":"none""#),
            ToolChoice::Function(name) => {
                json.raw(r#","tool_choice":{"type":"function","function":{"name":"#).text(name).raw("}}");
            }
        }
    }
    json.raw(match request.delivery {
        Delivery::Whole => r#","stream":false"#,
        Delivery::Streamed => r#","stream":true,"stream_options":{"include_usage":true}"#,
    });
    for (name, value) in &request.options.rest {
        if tools.is_some() || **name != *ONLY_WITH_TOOLS {
            json.raw(",").text(name).raw(":").raw(value.get());
        }
    }
    json.raw("}");
    json.0
}

fn size(request: &LlmRequest) -> usize {
    let messages = request.window.entries(&request.rounds).map(|entry| match entry {
        Entry::System(text) => text.len() + AROUND,
        Entry::Said(_, text) => text.len() + AROUND,
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

/// The beginning of the operator's prompt.
const SYSTEM: &str = r#"{"role":"system","content":"#;

/// JSON so far. Elements of arrays are written with a comma behind them.
struct Json(Vec<u8>);

impl Json {
    fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        json::write_str(&mut self.0, text);
        self
    }

    /// The end of an array that is not empty: in the place of its last comma.
    fn end(&mut self, bracket: &str) {
        self.0.pop();
        self.raw(bracket);
    }

    fn said(&mut self, role: Role, text: &Text) {
        self.raw(match role {
            Role::System => SYSTEM,
            Role::User => r#"{"role":"user","content":"#,
            Role::Assistant => r#"{"role":"assistant","content":"#,
        });
        text.write(&mut self.0);
        self.raw("},");
    }

    /// An answer that asked for tools, and what they gave.
    fn round(&mut self, round: &Round) {
        self.raw(r#"{"role":"assistant","content":"#);
        // Some backends refuse a message without the member, even if nothing was said.
        if round.text.is_empty() {
            self.raw("null")
        } else {
            self.text(&round.text)
        };
        self.raw(r#","tool_calls":["#);
        round.calls.iter().for_each(|done| self.call(done));
        self.end("]");
        if let Some(opaque) = &round.opaque {
            self.raw(r#","reasoning_details":"#).raw(opaque.0.get());
        }
        self.raw("},");
        for done in &round.calls {
            self.raw(r#"{"role":"tool","tool_call_id":"#).text(&done.call.id);
            self.raw(r#","content":"#).text(&done.outcome.content).raw("},");
        }
    }

    fn call(&mut self, done: &FinishedCall) {
        // What the model wrote goes back as it is, broken or not; only nothing at all would not be read as JSON by
        // backends that read it, and is taken for an empty object here as it was when the tool was called.
        let arguments = if done.call.arguments.trim().is_empty() { "{}" } else { &*done.call.arguments };
        self.raw(r#"{"id":"#).text(&done.call.id).raw(r#","type":"function","function":{"name":"#);
        self.text(&function_name(&done.call.name)).raw(r#","arguments":"#).text(arguments).raw("}},");
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

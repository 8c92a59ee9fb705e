//! What the demo model has to say: [`reply`].

use std::sync::Arc;

use chat_domain::{
    agent::window::{Entry, cut},
    json::parse,
    message::{FinishedCall, Role, Round},
    ports::{
        llm::{LlmRequest, ToolChoice},
        tools::{Tool, ToolCatalogue},
    },
};
use serde_json::{Map, Value, json};

use super::language::{Language, asks_for_name, told_name};

/// How much of a message is quoted, in bytes.
const QUOTED_MESSAGE: usize = 300;

/// How much of a tool's result is quoted, in bytes: results can be a megabyte.
const QUOTED_RESULT: usize = 2_000;

/// The demo model's next step.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// It says this.
    Say(String),
    /// It wants this function called.
    Call { function: Arc<str>, arguments: String },
}

/// The answer to a request.
pub(super) fn reply(request: &LlmRequest) -> Reply {
    let mut said: Vec<(Role, &str)> = request.window.entries(&[]).filter_map(said).collect();
    let (_, newest) = said.pop().unwrap_or((Role::User, ""));
    let language = Language::of(newest);
    if let Some(round) = request.rounds.last() {
        return Reply::Say(quote(round, language));
    }
    match &request.tool_choice {
        ToolChoice::Function(function) => {
            let arguments = arguments(request.tools.by_function(function), newest);
            return Reply::Call { function: function.clone(), arguments };
        }
        ToolChoice::Auto => match Wish::of(newest, &request.tools) {
            Wish::Call { function, arguments } => return Reply::Call { function, arguments },
            Wish::Unknown(name) => {
                let tools = tools(language, &request.tools).unwrap_or_default();
                return Reply::Say(sentences([language.no_such_tool(name), tools]));
            }
            Wish::None => {}
        },
        ToolChoice::None => {}
    }
    Reply::Say(converse(language, newest, &said, &request.tools))
}

fn said(entry: Entry<'_>) -> Option<(Role, &str)> {
    match entry {
        Entry::Said(role, text) => Some((role, text)),
        Entry::System(_) | Entry::Round(_) => None,
    }
}

fn converse(language: Language, newest: &str, earlier: &[(Role, &str)], catalogue: &ToolCatalogue) -> String {
    let quoted = cut(newest, QUOTED_MESSAGE);
    let comment = if asks_for_name(newest) {
        let clients = earlier.iter().rev().filter(|(role, _)| *role == Role::User);
        language.your_name(clients.filter_map(|(_, text)| told_name(text)).next())
    } else if let Some(name) = told_name(newest) {
        language.nice_to_meet(name)
    } else {
        language.you_said(quoted.as_deref().unwrap_or(newest).trim())
    };
    let is_first = earlier.is_empty();
    let introduction = if is_first { language.introduction() } else { "" };
    sentences([
        introduction.to_owned(),
        comment,
        language.remembered(earlier.len()),
        tools(language, catalogue).filter(|_| is_first).unwrap_or_default(),
    ])
}

/// What the tools of a round gave.
fn quote(round: &Round, language: Language) -> String {
    let quote = |finished: &FinishedCall| {
        let result = cut(&finished.outcome.content, QUOTED_RESULT);
        let result = result.as_deref().unwrap_or(&finished.outcome.content);
        language.tool_said(&finished.tool, finished.outcome.is_error, result)
    };
    round.calls.iter().map(quote).collect::<Vec<_>>().join("\n")
}

fn tools(language: Language, catalogue: &ToolCatalogue) -> Option<String> {
    let functions: Vec<&str> = catalogue.tools().iter().map(|tool| &*tool.function).collect();
    language.tools(&functions)
}

fn sentences<const N: usize>(sentences: [String; N]) -> String {
    let said: Vec<String> = sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect();
    said.join(" ")
}

/// What a message wants done with tools.
enum Wish<'a> {
    None,
    Call {
        function: Arc<str>,
        arguments: String,
    },
    /// A tool that there is not.
    Unknown(&'a str),
}

impl<'a> Wish<'a> {
    /// `/tool NAME {json}` is a command, and one for an unknown tool a mistake; `use NAME` may just be English.
    fn of(message: &'a str, catalogue: &ToolCatalogue) -> Self {
        let (first, rest) = split_word(message);
        let is_command = first == "/tool";
        if !is_command && !first.eq_ignore_ascii_case("use") {
            return Wish::None;
        }
        let (name, rest) = split_word(rest);
        match find(catalogue, name.trim_matches(['“', '”', '"', '`', '.', ','])) {
            // What was written as arguments is passed on as it is, also if it is broken: that is told as well.
            Some(tool) if rest.starts_with('{') => {
                Wish::Call { function: tool.function.clone(), arguments: rest.to_owned() }
            }
            Some(tool) => Wish::Call { function: tool.function.clone(), arguments: arguments(Some(tool), rest) },
            None if is_command => Wish::Unknown(name),
            None => Wish::None,
        }
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn find<'a>(catalogue: &'a ToolCatalogue, name: &str) -> Option<&'a Tool> {
    catalogue.by_function(name).or_else(|| catalogue.force(name).ok())
}

/// Arguments made of a message: the JSON object in it, else the message itself in every text that the tool requires.
fn arguments(tool: Option<&Tool>, message: &str) -> String {
    let object = message.find('{').map(|at| message[at..].trim());
    if let Some(object) = object.filter(|text| parse::<Map<String, Value>>(text).is_ok()) {
        return object.to_owned();
    }
    let schema: Value = tool.and_then(|tool| parse(tool.schema.get()).ok()).unwrap_or_default();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let fill = |name: &str| match schema["properties"][name]["type"].as_str() {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!(message),
    };
    Value::Object(required.map(|name| (name.to_owned(), fill(name))).collect()).to_string()
}

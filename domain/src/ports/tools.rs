//! The model's tools: [`ToolPort`].

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;

use crate::{message::ToolOutcome, time::Moment};

/// Offers tools and calls them.
///
/// # Promises
/// - [`ToolPort::catalogue`] is a snapshot: it neither waits nor does I/O, and it never changes after it was taken.
/// - [`ToolPort::call`] never fails: whatever goes wrong is an outcome that the model is shown, within the
///   implementation's own bound and at the latest at the deadline.
/// - Calls run in parallel; dropping a call's future cancels it, at the server too where it can be told.
/// - A result is bounded in size.
#[async_trait]
pub trait ToolPort: Send + Sync {
    /// What is on offer now.
    fn catalogue(&self) -> Arc<ToolCatalogue>;

    /// Waits for servers that start for the first time; resolves at once when there are none, and at the latest at
    /// `deadline` or after the implementation's own bound on a start.
    async fn started(&self, deadline: Moment);

    /// Calls a tool of a catalogue with a JSON object. `id` is the model's name for the call.
    async fn call(&self, id: &str, tool: &Tool, arguments: &RawValue, deadline: Moment) -> ToolOutcome;
}

/// A tool as a server offers it and as the model knows it.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The name the model calls it by: unique, of at most 64 characters `[A-Za-z0-9_-]`.
    pub function: Arc<str>,
    /// The server that has it.
    pub server: Arc<str>,
    /// Its own name there.
    pub name: Arc<str>,
    /// What it does, for the model.
    pub description: Option<Arc<str>>,
    /// The JSON Schema of its arguments, an object's.
    pub schema: Arc<RawValue>,
}

/// A server whose tools are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsentServer {
    /// Its configured name.
    pub name: Arc<str>,
    /// Whether no turn may go on without it.
    pub required: bool,
    /// The plain names of the tools it had when it was last there.
    pub last_known: Vec<Arc<str>>,
}

/// The tools on offer at one moment, with what is derived from them once and not per turn.
#[derive(Debug, Default)]
pub struct ToolCatalogue {
    tools: Vec<Tool>,
    by_function: HashMap<Arc<str>, usize>,
    absent: Vec<AbsentServer>,
    wire: Option<Box<RawValue>>,
}

/// Why a tool that a client named cannot be forced.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForceError {
    /// No server has it.
    #[error("unknown tool; {}", if known.is_empty() { "there are no tools here".to_owned() } else { format!("known are: {}", known.join(", ")) })]
    Unknown {
        /// What could be named, sorted.
        known: Vec<String>,
    },
    /// More than one server has it.
    #[error("several servers have this tool; name one of: {}", candidates.join(", "))]
    Ambiguous {
        /// The qualified names, sorted.
        candidates: Vec<String>,
    },
    /// The server that has it is down.
    #[error("the server of this tool is down")]
    ServerDown {
        /// That server.
        server: Arc<str>,
    },
}

impl ToolCatalogue {
    /// A catalogue of these tools and missing servers. Of two tools of one function name the first is kept.
    pub fn new(tools: Vec<Tool>, absent: Vec<AbsentServer>) -> Self {
        let mut by_function = HashMap::new();
        let mut kept: Vec<Tool> = Vec::with_capacity(tools.len());
        for tool in tools {
            by_function.entry(tool.function.clone()).or_insert_with(|| {
                kept.push(tool);
                kept.len() - 1
            });
        }
        let wire = (!kept.is_empty())
            .then(|| to_raw_value(&kept.iter().map(WireTool::from).collect::<Vec<_>>()).ok())
            .flatten();
        Self { tools: kept, by_function, absent, wire }
    }

    /// The tools, in the order in which the model is told of them.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// The servers that are missing.
    pub fn absent(&self) -> &[AbsentServer] {
        &self.absent
    }

    /// The tool the model calls by this name.
    pub fn by_function(&self, function: &str) -> Option<&Tool> {
        self.by_function.get(function).map(|&index| &self.tools[index])
    }

    /// The `tools` member of an OpenAI chat completion request, written once; none if there are no tools.
    pub fn wire(&self) -> Option<&RawValue> {
        self.wire.as_deref()
    }

    /// Finds the tool a client means: by its plain name, or as `server.tool` or `server_tool` when several have it.
    ///
    /// # Errors
    /// See [`ForceError`].
    pub fn force(&self, wanted: &str) -> Result<&Tool, ForceError> {
        let plain: Vec<&Tool> = self.tools.iter().filter(|tool| &*tool.name == wanted).collect();
        match plain.as_slice() {
            [one] => return Ok(one),
            [] => {}
            several => {
                let mut candidates: Vec<String> =
                    several.iter().map(|tool| qualified(&tool.server, &tool.name)).collect();
                candidates.sort();
                return Err(ForceError::Ambiguous { candidates });
            }
        }
        if let Some(tool) =
            self.tools.iter().find(|tool| *tool.function == *wanted || is_qualified(wanted, &tool.server, &tool.name))
        {
            return Ok(tool);
        }
        let down = |server: &&AbsentServer| {
            server.last_known.iter().any(|name| **name == *wanted || is_qualified(wanted, &server.name, name))
        };
        if let Some(server) = self.absent.iter().find(down) {
            return Err(ForceError::ServerDown { server: server.name.clone() });
        }
        let mut known: Vec<String> = self.tools.iter().map(|tool| qualified(&tool.server, &tool.name)).collect();
        known.sort();
        Err(ForceError::Unknown { known })
    }
}

fn qualified(server: &str, tool: &str) -> String {
    format!("{server}.{tool}")
}

fn is_qualified(wanted: &str, server: &str, tool: &str) -> bool {
    wanted.strip_prefix(server).and_then(|rest| rest.strip_prefix(['.', '_'])).is_some_and(|rest| rest == tool)
}

/// A function as OpenAI-compatible backends want it described.
#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    function: WireFunction<'a>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawValue,
}

impl<'a> From<&'a Tool> for WireTool<'a> {
    fn from(tool: &'a Tool) -> Self {
        let function =
            WireFunction { name: &tool.function, description: tool.description.as_deref(), parameters: &tool.schema };
        Self { r#type: "function", function }
    }
}

/// A port without tools.
pub struct NoTools(Arc<ToolCatalogue>);

impl NoTools {
    /// An empty catalogue.
    pub fn new() -> Self {
        Self(Arc::default())
    }
}

impl Default for NoTools {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ToolPort for NoTools {
    fn catalogue(&self) -> Arc<ToolCatalogue> {
        self.0.clone()
    }

    async fn started(&self, _deadline: Moment) {}

    async fn call(&self, _id: &str, tool: &Tool, _arguments: &RawValue, _deadline: Moment) -> ToolOutcome {
        ToolOutcome::error(format!("There is no tool {}.", tool.function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(server: &str, name: &str) -> Tool {
        Tool {
            function: format!("{server}_{name}").into(),
            server: server.into(),
            name: name.into(),
            description: None,
            schema: RawValue::from_string(r#"{"type":"object"}"#.into()).expect("JSON").into(),
        }
    }

    #[test]
    fn a_forced_tool_is_found_by_every_name_it_has() {
        let absent = AbsentServer { name: "down".into(), required: false, last_known: vec!["gone".into()] };
        let catalogue = ToolCatalogue::new(vec![tool("a", "read"), tool("a", "list"), tool("b", "read")], vec![absent]);
        assert_eq!(&*catalogue.force("list").expect("plain").function, "a_list");
        assert_eq!(&*catalogue.force("a.read").expect("dotted").server, "a");
        assert_eq!(&*catalogue.force("b_read").expect("underscored").server, "b");
        let ambiguous = ForceError::Ambiguous { candidates: vec!["a.read".into(), "b.read".into()] };
        assert_eq!(catalogue.force("read").err(), Some(ambiguous));
        for name in ["gone", "down.gone", "down_gone"] {
            assert_eq!(catalogue.force(name).err(), Some(ForceError::ServerDown { server: "down".into() }));
        }
        let known = vec!["a.list".into(), "a.read".into(), "b.read".into()];
        assert_eq!(catalogue.force("nothing").err(), Some(ForceError::Unknown { known }));
    }

    #[test]
    fn the_wire_form_is_what_backends_expect() {
        let catalogue = ToolCatalogue::new(vec![tool("a", "read"), tool("a", "read")], vec![]);
        let expected = r#"[{"type":"function","function":{"name":"a_read","parameters":{"type":"object"}}}]"#;
        assert_eq!(catalogue.wire().expect("a tool").get(), expected);
        assert!(ToolCatalogue::default().wire().is_none());
    }
}

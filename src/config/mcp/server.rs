//! One server's entry in the file.

use std::collections::{BTreeMap, BTreeSet};

use hyper::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};

use super::CONCURRENT_CALLS;
use super::entry::Entry;
use super::file::Catalogue;
use crate::config::assemble::A_MOMENT;
use crate::config::parse::{self, boolean, integer, seconds};
use crate::config::reader::Reader;
use crate::config::settings::{McpServer, McpTransport};
use crate::config::shown::excerpt;
use crate::config::unknown::most_like;
use crate::config::url;
use crate::config::yaml::Node;

const FOR_STDIO: [&str; 4] = ["command", "args", "env", "cwd"];
const FOR_HTTP: [&str; 2] = ["url", "headers"];
const FOR_BOTH: [&str; 6] =
    ["transport", "type", "read_timeout_seconds", "allowed_tools", "required", "max_concurrent_calls"];

/// What `mcp-agent` knows and we do without, so that nobody misses anything.
const NOT_NEEDED: [&str; 4] = ["name", "description", "http_timeout_seconds", "terminate_on_close"];

/// What `mcp-agent` knows and somebody would miss.
const NOT_SUPPORTED: [(&str, &str); 2] = [
    ("auth", "has no effect; put the key into `headers`, as `Authorization: Bearer …`"),
    ("roots", "has no effect: servers are not told of roots; most take directories in `args`"),
];

/// Headers that the transport sets itself.
const RESERVED: [&str; 8] = [
    "accept",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "mcp-session-id",
    "mcp-protocol-version",
    "last-event-id",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stdio,
    Http,
}

/// Reads an entry, and reports every problem in it. After one the server may be `None`, or not what was meant: nobody
/// gets to see it.
pub(super) fn server(reader: &mut Reader<'_>, catalogue: &Catalogue, name: &str, node: &Node) -> Option<McpServer> {
    let none = BTreeMap::new();
    let (fields, wrong) = match node {
        Node::Map(fields) => (fields, None),
        Node::Unusable(why) => (&none, Some(*why)),
        _ => (&none, Some("must be a mapping with a `command` or a `url` in it")),
    };
    let mut entry = Entry::new(reader, catalogue, name, fields);
    if let Some(why) = wrong {
        return entry.object(&[], None, why);
    }
    entry.warn_of_unknown_keys();
    let kind = entry.kind();
    let required = entry.value("required", boolean);
    let read_timeout = entry.value("read_timeout_seconds", seconds(A_MOMENT));
    let max_concurrent_calls = entry.value("max_concurrent_calls", integer(1..=1024));
    let allowed_tools = entry.allowed_tools();
    let (transport, shown) = match kind? {
        Kind::Stdio => (entry.stdio(), excerpt(entry.written("command"))),
        Kind::Http => (entry.http(), excerpt(url::host_of(entry.written("url")))),
    };
    let transport = transport?;
    Some(McpServer {
        name: name.to_owned(),
        shown: format!("{} {shown}", transport.name()),
        required: required.unwrap_or(false),
        allowed_tools,
        read_timeout,
        max_concurrent_calls: max_concurrent_calls.unwrap_or(CONCURRENT_CALLS),
        transport,
    })
}

impl Entry<'_, '_> {
    fn kind(&mut self) -> Option<Kind> {
        let [transport, kind] = ["transport", "type"].map(|key| self.value(key, kind));
        match (transport, kind) {
            _ if !self.is_good => None,
            (Some(transport), Some(kind)) if transport != kind => {
                self.object(&["type"], None, "contradicts `transport`; only one of them may be there")
            }
            (None, None) if self.field("command").is_some() => Some(Kind::Stdio),
            (None, None) if self.field("url").is_some() => Some(Kind::Http),
            (None, None) => self.object(&[], None, "must have a `command` to start or a `url` to connect to"),
            (transport, kind) => transport.or(kind),
        }
    }

    fn stdio(&mut self) -> Option<McpTransport> {
        self.warn_of_no_effect(&FOR_HTTP, "stdio");
        let command = self.needed("command", "must name the program to start", |text| match text.trim() {
            "" => Err("must name the program to start".to_owned()),
            command => Ok(command.to_owned()),
        });
        let args = self.list("args");
        let env = self.pairs("env");
        for (name, _) in &env {
            if name.is_empty() || name.contains(|c: char| c == '=' || c.is_control()) {
                self.object::<()>(&["env", name], None, "must have a name without `=` and control characters");
            }
        }
        let cwd = self.value("cwd", parse::path).filter(|path| !path.as_os_str().is_empty());
        Some(McpTransport::Stdio { command: command?, args, env, cwd })
    }

    fn http(&mut self) -> Option<McpTransport> {
        self.warn_of_no_effect(&FOR_STDIO, "streamable_http");
        let url = self.needed("url", "must be set for transport streamable_http", url::endpoint);
        let mut headers = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, value) in self.pairs("headers") {
            let keys = ["headers", name.as_str()];
            let lower = name.to_ascii_lowercase();
            let value = SecretString::from(value.expose_secret().trim());
            let problem = if HeaderName::from_bytes(name.as_bytes()).is_err() {
                "must have a name that HTTP allows: letters, digits and hyphens"
            } else if !value.expose_secret().chars().all(|c| c.is_ascii_graphic() || c == ' ') {
                "must be printable ASCII on one line"
            } else if RESERVED.contains(&lower.as_str()) {
                self.warn(&keys, "has no effect, since the transport sets it");
                continue;
            } else if !seen.insert(lower) {
                "is there twice, in capitals and in small letters"
            } else {
                headers.push((name, value));
                continue;
            };
            self.object::<()>(&keys, None, problem);
        }
        Some(McpTransport::Http { url: url?, headers })
    }

    fn allowed_tools(&mut self) -> Option<Vec<String>> {
        self.field("allowed_tools")?;
        let tools: Vec<String> =
            self.list("allowed_tools").iter().map(|tool| tool.expose_secret().trim().to_owned()).collect();
        if tools.is_empty() && self.is_good {
            self.warn(&["allowed_tools"], "is empty, so that no tool of the server can be used");
        }
        Some(tools)
    }

    fn warn_of_unknown_keys(&mut self) {
        let known = || FOR_BOTH.iter().chain(&FOR_STDIO).chain(&FOR_HTTP).copied();
        for (key, node) in self.fields {
            let is_known = known().chain(NOT_NEEDED).any(|known| known == key);
            if is_known || matches!(node, Node::Null) {
                continue;
            }
            match NOT_SUPPORTED.iter().find(|(name, _)| name == key) {
                Some((_, why)) => self.warn(&[key], why),
                None => {
                    let hint = most_like(key, known().map(|known| (known.to_owned(), known)))
                        .map_or(String::new(), |known| format!("; did you mean {known}?"));
                    self.warn(&[key], &format!("is not a known setting of a server{hint}"));
                }
            }
        }
    }

    fn warn_of_no_effect(&mut self, keys: &[&str], transport: &str) {
        for key in keys {
            let is_empty = match self.fields.get(*key) {
                None | Some(Node::Null) => true,
                Some(Node::List(items)) => items.is_empty(),
                Some(Node::Map(entries)) => entries.is_empty(),
                Some(_) => false,
            };
            if !is_empty {
                self.warn(&[key], &format!("has no effect with transport {transport}"));
            }
        }
    }
}

/// The word for a transport, as `mcp-agent` and the desktop clients write it.
fn kind(text: &str) -> Result<Kind, String> {
    match text.trim().to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "stdio" => Ok(Kind::Stdio),
        "streamablehttp" | "http" => Ok(Kind::Http),
        "sse" => {
            Err("must be streamable_http: MCP has given up the transport sse. The server has to speak streamable \
                      HTTP, which many do at /mcp instead of /sse"
                .to_owned())
        }
        _ => Err("must be stdio or streamable_http".to_owned()),
    }
}

//! The file that describes the servers, with the secrets beside it laid over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::error::Problem;
use crate::config::reader::Reader;
use crate::config::shown::excerpt;
use crate::config::sources::{Unreadable, read_at_most};
use crate::config::yaml::{self, Node};

/// Where the file is looked for when none is named.
const DEFAULT_FILES: [&str; 2] = ["mcp_agent.config.yaml", "config/mcp_agent.config.yaml"];

/// What is laid over it, from the same directory.
const SECRETS_FILE: &str = "mcp_agent.secrets.yaml";

/// A description of servers that is longer is some other file.
const MOST_BYTES: u64 = 1024 * 1024;

/// Where `mcp-agent` keeps its servers, and where desktop clients do.
const SECTIONS: [&[&str]; 2] = [&["mcp", "servers"], &["mcpServers"]];

/// All servers that a file describes. Nobody has judged them yet.
pub(super) struct Catalogue {
    pub(super) path: PathBuf,
    pub(super) entries: BTreeMap<String, Node>,
    section: &'static [&'static str],
    secrets: Option<(PathBuf, Node)>,
}

impl Catalogue {
    /// Reads the file that was named, or else one of the usual ones. `None` after a problem.
    pub(super) fn open(reader: &mut Reader<'_>, named: Option<PathBuf>) -> Option<Self> {
        let (path, text) = match named {
            Some(path) => named_file(reader, path),
            None => default_file(reader),
        }?;
        let (secrets_path, secrets_text) = secrets_file(reader, &path);
        // Both are read before either ends the reading: all mistakes are told at once.
        let described = parsed(reader, &path, &text);
        let secrets = secrets_text.and_then(|text| match text {
            Some(text) => parsed(reader, &secrets_path, &text).map(Some),
            None => Some(None),
        });
        let (described, secrets) = (described?, secrets?);
        let tree = secrets.iter().cloned().fold(described, Node::overlaid);
        let (section, entries) = match servers(tree) {
            Ok(servers) => servers,
            Err(expected) => {
                reader.problems.push(Problem::in_file(path.display(), expected));
                return None;
            }
        };
        Some(Self { path, entries, section, secrets: secrets.map(|node| (secrets_path, node)) })
    }

    /// A problem with what is below these keys: a server's name first, then the way to a value of it, and which item it
    /// is of a list.
    pub(super) fn problem(&self, keys: &[&str], item: Option<usize>, message: impl Into<String>) -> Problem {
        let keys: Vec<&str> = self.section.iter().chain(keys).copied().collect();
        let shown: Vec<String> = keys.iter().map(|key| excerpt(key)).collect();
        let item = item.map(|item| format!("[{item}]")).unwrap_or_default();
        Problem::in_file(format_args!("{}: {}{item}", self.file_of(&keys).display(), shown.join(".")), message)
    }

    /// The file that had the last word on a value.
    fn file_of(&self, keys: &[&str]) -> &Path {
        match &self.secrets {
            Some((path, node)) if !matches!(node.at(keys), None | Some(Node::Null | Node::Map(_))) => path,
            _ => &self.path,
        }
    }
}

fn named_file(reader: &mut Reader<'_>, path: PathBuf) -> Option<(PathBuf, String)> {
    match read_at_most(&reader.sources.directory.join(&path), MOST_BYTES) {
        Ok(text) => Some((path, text)),
        Err(why) => {
            let message = format!("must name a readable YAML or JSON file, but {} {why}", path.display());
            reader.object("MCP_AGENT_CONFIG", message);
            None
        }
    }
}

fn default_file(reader: &mut Reader<'_>) -> Option<(PathBuf, String)> {
    for path in DEFAULT_FILES.map(PathBuf::from) {
        match read_at_most(&reader.sources.directory.join(&path), MOST_BYTES) {
            Ok(text) => return Some((path, text)),
            Err(Unreadable::Missing | Unreadable::Directory) => {}
            Err(Unreadable::Other(why)) => {
                reader.problems.push(Problem::in_file(path.display(), why));
                return None;
            }
        }
    }
    let [here, below] = DEFAULT_FILES;
    let message = format!(
        "needs a file that describes the servers: name it in MCP_AGENT_CONFIG; {here} and {below} in the working \
         directory do not exist"
    );
    reader.conflict(&["MCP_AGENT_SERVERS", "MCP_AGENT_CONFIG"], message);
    None
}

/// The secrets' path and text; no text when there is no such file, nothing at all after a problem.
fn secrets_file(reader: &mut Reader<'_>, beside: &Path) -> (PathBuf, Option<Option<String>>) {
    let path = beside.with_file_name(SECRETS_FILE);
    let text = match read_at_most(&reader.sources.directory.join(&path), MOST_BYTES) {
        Ok(text) => Some(Some(text)),
        // Mounting a file that is not there makes container engines create a directory of its name.
        Err(Unreadable::Missing | Unreadable::Directory) => Some(None),
        Err(Unreadable::Other(why)) => {
            reader.problems.push(Problem::in_file(path.display(), why));
            None
        }
    };
    (path, text)
}

fn parsed(reader: &mut Reader<'_>, path: &Path, text: &str) -> Option<Node> {
    let text = without_surrogates(text);
    let tree = yaml::tree(path, &text).and_then(|tree| match tree {
        Node::Map(_) | Node::Null => Ok(tree),
        Node::Unusable(why) => Err(Problem::in_file(path.display(), why)),
        Node::Text(_) | Node::List(_) => {
            Err(Problem::in_file(path.display(), "must be a mapping, in YAML or JSON, with the servers in it"))
        }
    });
    tree.map_err(|problem| reader.problems.push(problem)).ok()
}

/// JSON writes what lies beyond the first 65,536 characters as two escapes, which YAML, otherwise its superset, does not
/// know. A file that has them is JSON or a mistake, and the YAML reader is the one to say which.
fn without_surrogates(text: &str) -> Cow<'_, str> {
    let has_some = text.contains("\\ud") || text.contains("\\uD");
    let json = has_some.then(|| serde_json::from_str::<serde_json::Value>(text.trim_start_matches('\u{feff}')));
    json.and_then(Result::ok).map_or(text.into(), |value| value.to_string().into())
}

/// The servers of a file, and where in it they are.
fn servers(tree: Node) -> Result<(&'static [&'static str], BTreeMap<String, Node>), String> {
    let is_there = |section: &&&[&str]| !matches!(tree.at(section), None | Some(Node::Null));
    match SECTIONS.iter().filter(is_there).collect::<Vec<_>>()[..] {
        [section] => match tree.at(section) {
            Some(Node::Map(entries)) => Ok((section, entries.clone())),
            Some(Node::Unusable(why)) => Err(format!("{}: {why}", section.join("."))),
            _ => Err(format!("{}: must be a mapping of names to servers", section.join("."))),
        },
        [] => Err("must have `mcp.servers` with a mapping of names to servers, as mcp-agent's files do, or \
                   `mcpServers`, as those of desktop clients do"
            .to_owned()),
        _ => Err("has both `mcp.servers` and `mcpServers`; only one of them may be there".to_owned()),
    }
}

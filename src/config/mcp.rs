//! MCP servers: which ones, from which file, and the one that variables describe.

mod entry;
mod expand;
mod file;
mod server;

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::assemble::A_MOMENT;
use super::parse::{self, boolean, integer, key, line, seconds};
use super::reader::Reader;
use super::settings::{Mcp, McpServer, McpTransport};
use super::shown::excerpt;
use super::unknown::likeness;
use super::url;
use file::Catalogue;

/// The name of the server that `MCP_SERVER_URL` describes.
const DEFAULT_SERVER: &str = "default";

/// Calls of one server's tools that may run at a time, unless the file says otherwise.
const CONCURRENT_CALLS: usize = 64;

pub(super) fn mcp(reader: &mut Reader<'_>) -> Mcp {
    let named = reader.optional("MCP_AGENT_CONFIG", parse::path);
    let picked = picked(reader);
    let default = default_server(reader);
    let (config_file, mut servers) = described(reader, named, &picked, default.is_some());
    servers.extend(default);
    Mcp {
        config_file,
        servers,
        app_name: reader.required("MCP_AGENT_APP_NAME", line),
        tool_timeout: reader.required("MCP_TOOL_TIMEOUT_SECONDS", seconds(A_MOMENT)),
        start_timeout: reader.required("MCP_START_TIMEOUT_SECONDS", seconds(0.0)),
        result_max_bytes: reader.required("MCP_RESULT_MAX_BYTES", integer(1..=u64::MAX)),
        log_stderr: reader.required("MCP_LOG_STDERR", boolean),
    }
}

fn picked(reader: &mut Reader<'_>) -> Vec<String> {
    let mut picked: Vec<String> = Vec::new();
    for name in reader.list("MCP_AGENT_SERVERS", parse::server_name) {
        if picked.contains(&name) {
            reader.warn("MCP_AGENT_SERVERS", &format!("names `{}` more than once", excerpt(&name)));
        } else {
            picked.push(name);
        }
    }
    picked
}

fn default_server(reader: &mut Reader<'_>) -> Option<McpServer> {
    let url = reader.optional("MCP_SERVER_URL", url::endpoint);
    let key = reader.optional("MCP_API_KEY", key);
    if key.is_some() && url.is_none() && !reader.is_wrong("MCP_SERVER_URL") {
        reader.warn("MCP_API_KEY", "has no effect without MCP_SERVER_URL");
    }
    let bearer = |key: SecretString| SecretString::from(format!("Bearer {}", key.expose_secret()));
    url.map(|url| {
        let shown = url::host_of(url.expose_secret()).to_owned();
        let headers = key.map(|key| ("Authorization".to_owned(), bearer(key))).into_iter().collect();
        let transport = McpTransport::Http { url, headers };
        McpServer {
            name: DEFAULT_SERVER.to_owned(),
            shown: format!("{} {shown}", transport.name()),
            required: false,
            allowed_tools: None,
            read_timeout: None,
            max_concurrent_calls: CONCURRENT_CALLS,
            transport,
        }
    })
}

/// The servers that were picked, out of the file that describes them. Without any of them no file is needed, or looked
/// for; those that were not picked are not judged.
fn described(
    reader: &mut Reader<'_>,
    named: Option<PathBuf>,
    picked: &[String],
    default_is_taken: bool,
) -> (Option<PathBuf>, Vec<McpServer>) {
    let (taken, picked): (Vec<_>, Vec<_>) =
        picked.iter().partition(|name| default_is_taken && name.as_str() == DEFAULT_SERVER);
    if !taken.is_empty() {
        reader.object(
            "MCP_AGENT_SERVERS",
            format!(
                "names `{DEFAULT_SERVER}`, which is the server of MCP_SERVER_URL and used without being named; a server \
                 of the file needs another name"
            ),
        );
    }
    if picked.is_empty() || reader.is_wrong("MCP_AGENT_CONFIG") {
        return (None, Vec::new());
    }
    let Some(catalogue) = Catalogue::open(reader, named) else {
        return (None, Vec::new());
    };
    let mut servers = Vec::new();
    for name in picked {
        match catalogue.entries.get(name) {
            Some(node) => servers.extend(server::server(reader, &catalogue, name, node)),
            // A file that cannot be read may name another one for the servers.
            None if reader.sources.problems.is_empty() => {
                let message = format!(
                    "names `{}`, which {} does not have; {}",
                    excerpt(name),
                    catalogue.path.display(),
                    others(&catalogue, name)
                );
                reader.object("MCP_AGENT_SERVERS", message);
            }
            None => {}
        }
    }
    (Some(catalogue.path), servers)
}

/// The names that could have been meant, the nearest ones first.
fn others(catalogue: &Catalogue, name: &str) -> String {
    const MOST: usize = 10;
    let mut names: Vec<&str> = catalogue.entries.keys().map(String::as_str).collect();
    names.sort_by(|one, two| likeness(two, name).total_cmp(&likeness(one, name)));
    let further = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let names: Vec<String> = names.into_iter().map(excerpt).collect();
    match (names.is_empty(), further) {
        (true, _) => "it has no servers".to_owned(),
        (_, 0) => format!("it has {}", names.join(", ")),
        _ => format!("it has {} and {further} more", names.join(", ")),
    }
}

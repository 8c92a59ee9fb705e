//! MCP servers: from variables and files to what they say.

mod entries;
mod expansion;
mod files;
mod picked;
mod secrets;

use secrecy::{ExposeSecret, SecretString};

use super::*;

const FILE: &str = "mcp_agent.config.yaml";

/// What a file with this text in it gives, when these servers are picked.
fn load_file(text: &str, servers: &str, pairs: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    Directory::new(&[(FILE, text)]).load_env(&[&[("MCP_AGENT_SERVERS", servers)], pairs].concat())
}

/// The same for one server, `s`, with this entry.
fn load_entry(entry: &str, pairs: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load_file(&format!("mcp:\n  servers:\n    s: {entry}\n"), "s", pairs)
}

/// The server that an entry describes, and what is said about it.
fn described(entry: &str, pairs: &[(&str, &str)]) -> (McpServer, Vec<String>) {
    match load_entry(entry, pairs) {
        Ok(mut loaded) => (loaded.settings.mcp.servers.remove(0), warnings(&loaded)),
        Err(errors) => panic!("{entry} should do: {errors}"),
    }
}

/// The server that an entry describes without a warning.
fn server(entry: &str) -> McpServer {
    let (server, warnings) = described(entry, &[]);
    assert_eq!(warnings, [""; 0], "{entry}");
    server
}

/// Command, arguments, environment, directory.
type Child<'a> = (&'a str, Vec<&'a str>, Vec<(&'a str, &'a str)>, Option<&'a Path>);

fn stdio(server: &McpServer) -> Child<'_> {
    let McpTransport::Stdio { command, args, env, cwd } = &server.transport else { panic!("{server:?}") };
    (command, args.iter().map(SecretString::expose_secret).collect(), exposed(env), cwd.as_deref())
}

fn http(server: &McpServer) -> (&str, Vec<(&str, &str)>) {
    let McpTransport::Http { url, headers } = &server.transport else { panic!("{server:?}") };
    (url.expose_secret(), exposed(headers))
}

fn exposed(pairs: &[(String, SecretString)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect()
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.settings.mcp.servers.iter().map(|server| server.name.as_str()).collect()
}

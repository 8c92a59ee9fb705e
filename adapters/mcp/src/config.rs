//! What the adapter is built from.

use std::{cmp::Reverse, ffi::OsString, path::PathBuf, time::Duration};

use chat_domain::ports::Propagation;
use secrecy::{ExposeSecret, SecretString};

/// All servers, and what holds for each of them.
#[derive(Debug, Clone)]
pub struct McpConfig {
    /// The servers, in the order in which the model is told of their tools.
    pub servers: Vec<ServerConfig>,
    /// The client's name, as servers see it.
    pub app_name: String,
    /// The client's version, as servers see it.
    pub app_version: String,
    /// How long a tool call may take, unless its server has a bound of its own.
    pub tool_timeout: Duration,
    /// How long after the start turns wait for servers that have not answered yet.
    pub start_timeout: Duration,
    /// How long a server may take from being started to having told its tools. Long, because `npx` and `uvx` may have to
    /// download the server first.
    pub handshake_timeout: Duration,
    /// Where a result is cut, in bytes.
    pub result_max_bytes: usize,
    /// Whether what servers write to stderr is logged; it may hold contents.
    pub log_stderr: bool,
    /// All that child processes see of our environment.
    pub environment: Vec<(String, OsString)>,
    /// What calls tell servers of the trace that they are a part of, in `_meta`.
    pub propagation: Propagation,
    /// The program that kills the children should we be killed ourselves; none: they are only told by their closed stdin.
    pub guard: Option<GuardCommand>,
}

/// A program that does nothing but call [`guard::run`](crate::guard::run).
#[derive(Debug, Clone)]
pub struct GuardCommand {
    /// What it is called in a list of processes.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// A server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Its name, unique among the servers.
    pub name: String,
    /// Whether no turn may go on without it.
    pub required: bool,
    /// The only tools of it that exist for us; all when `None`.
    pub allowed_tools: Option<Vec<String>>,
    /// How long a call of one of its tools may take, instead of [`McpConfig::tool_timeout`].
    pub tool_timeout: Option<Duration>,
    /// Calls that may run at a time; further ones wait, within their timeout. At least 1.
    pub max_concurrent_calls: usize,
    /// How it is reached.
    pub transport: Transport,
}

/// How a server is reached. What an operator may have written a secret into is one.
#[derive(Debug, Clone)]
pub enum Transport {
    /// It is started as a child and spoken to over its stdin and stdout.
    Stdio {
        /// The program, found in the `PATH` of [`McpConfig::environment`].
        command: String,
        /// Its arguments.
        args: Vec<SecretString>,
        /// What it sees besides [`McpConfig::environment`].
        env: Vec<(String, SecretString)>,
        /// Where it is started; here when `None`.
        cwd: Option<PathBuf>,
    },
    /// It is reached over streamable HTTP.
    Http {
        /// Its endpoint.
        url: SecretString,
        /// Sent with every request.
        headers: Vec<(String, SecretString)>,
    },
}

impl Transport {
    /// The word for it in configuration and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stdio { .. } => "stdio",
            Self::Http { .. } => "streamable_http",
        }
    }

    /// Whether nothing tells of the server's end but its silence.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self, Self::Http { .. })
    }

    /// Takes the secrets of this configuration out of a text that a server has a hand in: it may quote what it was given.
    /// The text is cut to so many characters afterwards, or part of a secret could be left at its end.
    pub(crate) fn redact(&self, text: &str, most: usize) -> String {
        let secrets: Vec<&SecretString> = match self {
            Self::Stdio { args, env, .. } => args.iter().chain(env.iter().map(|(_, value)| value)).collect(),
            Self::Http { url, headers } => headers.iter().map(|(_, value)| value).chain([url]).collect(),
        };
        let mut parts: Vec<&str> = secrets.into_iter().flat_map(parts).collect();
        // What contains another one goes first, or its rest would stay.
        parts.sort_by_key(|part| Reverse(part.len()));
        let redacted = parts.into_iter().fold(text.to_owned(), |text, part| text.replace(part, "***"));
        redacted.chars().take(most).collect()
    }
}

/// What is secret of a value: of a header the part after `Bearer `, of `--token=X` and of `?key=X` the `X` as well.
fn parts(secret: &SecretString) -> impl Iterator<Item = &str> {
    let words = secret.expose_secret().split_ascii_whitespace();
    words
        .flat_map(|word| {
            let values = word.split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
            [word].into_iter().chain(values)
        })
        .filter(|part| part.len() >= SHORTEST_SECRET)
}

/// What is shorter is a flag (`-y`) or a word, and hiding it would only hide what went wrong.
const SHORTEST_SECRET: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_texts() {
        let http = Transport::Http {
            url: "http://host/mcp?key=abcdef".into(),
            headers: vec![("Authorization".into(), "Bearer s3cr3t-token".into())],
        };
        let redact = |transport: &Transport, text: &str| transport.redact(text, 100);
        assert_eq!(redact(&http, "401: token s3cr3t-token is wrong"), "401: token *** is wrong");
        assert_eq!(redact(&http, "http://host/mcp?key=abcdef refused: abcdef"), "*** refused: ***");
        let stdio = Transport::Stdio {
            command: "npx".into(),
            args: vec!["-y".into(), "--token=hunter2".into(), "hunter2-and-more".into()],
            env: vec![("KEY".into(), "k3y-k3y".into())],
            cwd: None,
        };
        assert_eq!(redact(&stdio, "say -y with --token=hunter2 and k3y-k3y"), "say -y with *** and ***");
        assert_eq!(redact(&stdio, "hunter2 or hunter2-and-more"), "*** or ***");
        assert_eq!(stdio.redact("so hunter2", 5), "so **", "what is cut is cut when nothing secret is left");
    }
}

//! URLs, which may have a password in them.

use std::fmt;
use std::net::Ipv6Addr;

use secrecy::{ExposeSecret, SecretString};

/// A URL that prints without what may be secret in it: `redis://:***@host/0`.
#[derive(Clone)]
pub struct SecretUrl {
    whole: SecretString,
    shown: String,
}

impl SecretUrl {
    fn new(url: &str) -> Self {
        Self { whole: SecretString::from(url), shown: masked(url) }
    }

    /// Stands in for a URL that is missing, in settings that a problem keeps from being used.
    pub(super) fn nowhere() -> Self {
        Self::new("")
    }

    /// The host of an HTTP URL, and its port.
    pub fn host(&self) -> Option<(String, u16)> {
        let uri: hyper::Uri = self.whole.expose_secret().parse().ok()?;
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(default)))
    }

    /// A path behind this URL, which has no query.
    pub(super) fn below(&self, path: &str) -> Self {
        Self::new(&format!("{}{path}", self.whole.expose_secret()))
    }

    /// The scheme: what comes before `://`.
    pub fn scheme(&self) -> &str {
        self.shown.split("://").next().unwrap_or_default()
    }
}

impl ExposeSecret<str> for SecretUrl {
    fn expose_secret(&self) -> &str {
        self.whole.expose_secret()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The host of a URL, with its port; `***` when it is not clear where that is.
pub(super) fn host_of(url: &str) -> &str {
    split(url.trim()).map_or("***", |parts| parts.hosts)
}

struct Parts<'a> {
    scheme: &'a str,
    userinfo: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    /// Query and fragment.
    query: &'a str,
}

/// Splits without judging. `None` when it is not even clear what the password would be.
fn split(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    // An unescaped `/` in a password would make the rest of it look like a path.
    if path.contains('@') {
        return None;
    }
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (!scheme.is_empty() && scheme.chars().all(known)).then_some(Parts { scheme, userinfo, hosts, path, query })
}

/// The URL as it may be shown. Passwords go, and queries, which carry tokens as often as not.
pub(super) fn masked(url: &str) -> String {
    let Some(parts) = split(url) else {
        return "***".to_owned();
    };
    let userinfo = match parts.userinfo.map(|userinfo| userinfo.split_once(':')) {
        None => String::new(),
        Some(None) => "***@".to_owned(), // some services take a token as the user's name
        Some(Some((user, _))) => format!("{user}:***@"),
    };
    let query = if parts.query.is_empty() { "" } else { "?***" };
    format!("{}://{userinfo}{}{}{query}", parts.scheme, parts.hosts, parts.path)
}

/// Where an HTTP API lives: paths are appended to it, so it has no query, and no slash at its end.
pub(super) fn base_url(text: &str) -> Result<SecretUrl, String> {
    let expected = "must be an http:// or https:// URL with a host, like https://api.example.com/v1, without a query";
    let text = text.trim().trim_end_matches('/');
    http(text).filter(|parts| parts.query.is_empty()).map(|_| SecretUrl::new(text)).ok_or_else(|| expected.to_owned())
}

/// The address of one HTTP endpoint. It prints without its path, which with hosted tools is a key as often as not.
pub(super) fn endpoint(text: &str) -> Result<SecretUrl, String> {
    let text = text.trim();
    http(text)
        .map(|Parts { scheme, hosts, .. }| SecretUrl {
            whole: SecretString::from(text),
            shown: format!("{scheme}://{hosts}/***"),
        })
        .ok_or_else(|| "must be an http:// or https:// URL with a host, like https://tools.example.com/mcp".to_owned())
}

fn http(text: &str) -> Option<Parts<'_>> {
    let parts = split(text)?;
    let usable = matches!(parts.scheme, "http" | "https") && is_host(parts.hosts) && text.parse::<hyper::Uri>().is_ok();
    usable.then_some(parts)
}

/// The address of a Redis server, cluster or sentinel.
pub(super) fn redis_url(text: &str) -> Result<SecretUrl, String> {
    const SCHEMES: [&str; 6] =
        ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];
    let expected = "must be a URL like redis://[:PASSWORD@]HOST[:PORT][/DATABASE], with rediss:// for TLS, \
                    redis-cluster:// or redis-sentinel:// (percent-encode special characters in the password)";
    let text = text.trim();
    split(text)
        .filter(|parts| SCHEMES.contains(&parts.scheme) && is_host(parts.hosts) && is_plain(parts.query))
        .filter(|parts| parts.path.trim_start_matches('/').chars().all(|c| c.is_ascii_digit()))
        .map(|_| SecretUrl::new(text))
        .ok_or_else(|| expected.to_owned())
}

/// A MongoDB connection string, which may name several hosts.
pub(super) fn mongodb_uri(text: &str) -> Result<SecretUrl, String> {
    let expected = "must be a URL like mongodb://[USER:PASSWORD@]HOST[:PORT][,HOST…][/?OPTIONS] or mongodb+srv://… \
                    (percent-encode special characters in the password)";
    let text = text.trim();
    split(text)
        .filter(|parts| matches!(parts.scheme, "mongodb" | "mongodb+srv"))
        .filter(|parts| parts.hosts.split(',').all(is_host) && is_plain(parts.path) && is_plain(parts.query))
        .map(|_| SecretUrl::new(text))
        .ok_or_else(|| expected.to_owned())
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic())
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn is_host(text: &str) -> bool {
    let (host_is_fine, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address.parse::<Ipv6Addr>().is_ok(), None),
        Some((address, after)) => match after.strip_prefix(':') {
            Some(port) => (address.parse::<Ipv6Addr>().is_ok(), Some(port)),
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (is_host_name(host), Some(port)),
            None => (is_host_name(text), None),
        },
    };
    host_is_fine && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Letters, digits, dots, hyphens; underscores, which container networks have in names; `%` of an escaped socket path.
pub(super) fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '%'))
}

//! The protocol over HTTP: [`serve`].

use std::{future::Future, io, sync::Arc, time::Duration};

use poem::{
    EndpointExt, Route, Server,
    endpoint::{TowerCompatExt, make_sync},
    get,
    http::uri::Authority,
    listener::TcpAcceptor,
    middleware::SetHeader,
};
use rmcp::{
    ServerHandler,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use tokio::net::TcpListener;

/// The names by which this machine calls itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// How large a request may be: a hundred times the largest that makes sense.
const MAX_REQUEST: usize = 1024 * 1024;

/// How long requests may go on after the signal to stop. Container runtimes kill after ten seconds.
const DRAIN: Duration = Duration::from_secs(8);

/// Whether a text is a host, perhaps with a port: `mcp.example.com`, `10.0.0.7:8080`, `[::1]`.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let host = |character: char| character.is_ascii_alphanumeric() || ".-_:[]".contains(character);
    !text.is_empty() && text.chars().all(host) && text.parse::<Authority>().is_ok()
}

/// Serves MCP at `/mcp`, and `GET /health`, until `stop` resolves and the running requests have ended.
///
/// A page in somebody's browser can make a name of its own point to this machine, and so read what only this machine
/// should. So a request must name one of `hosts`, or a loopback name, both as its host and, where there is one, as its
/// origin.
///
/// There are no sessions: each request stands for itself, and none is lost when the server is started anew.
///
/// # Errors
/// When the listener fails.
pub async fn serve<S>(
    listener: TcpListener,
    server: S,
    hosts: &[String],
    stop: impl Future<Output = ()>,
) -> io::Result<()>
where
    S: ServerHandler + Clone + Send + Sync + 'static,
{
    let hosts = || LOOPBACK.into_iter().chain(hosts.iter().map(String::as_str));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_REQUEST)
        .with_allowed_hosts(hosts())
        .with_allowed_origins(hosts().flat_map(origins))
        .enforce_origin_validation();
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
    // It says that this process answers, not that the database does: restarting us would not bring that back.
    let health =
        make_sync(|_| r#"{"status":"ok"}"#).with(SetHeader::new().overriding("content-type", "application/json"));
    let app = Route::new().at("/mcp", mcp.compat()).at("/health", get(health));
    Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?)
        .run_with_graceful_shutdown(app, stop, Some(DRAIN))
        .await
}

/// The origins of the pages that a host serves: on any port, unless it names one.
fn origins(host: &str) -> [String; 2] {
    let port = if host.parse::<Authority>().is_ok_and(|host| host.port().is_some()) { "" } else { ":*" };
    [format!("http://{host}{port}"), format!("https://{host}{port}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_ports() {
        for host in ["localhost", "mcp.example.com", "mcp_1", "10.0.0.7:8080", "[::1]", "[::1]:80"] {
            assert!(is_host(host), "{host}");
        }
        for other in ["", "*", "a b", "http://a", "a/b", "u@h", "a,b"] {
            assert!(!is_host(other), "{other}");
        }
        assert_eq!(origins("a.example"), ["http://a.example:*", "https://a.example:*"]);
        assert_eq!(origins("[::1]:80"), ["http://[::1]:80", "https://[::1]:80"]);
    }
}

//! What goes wrong with a server, in words for its operator: no URL, no secret, nothing a server was asked.

use std::{error::Error, io, iter::successors};

use rmcp::{
    ServiceError,
    model::ErrorData,
    service::ClientInitializeError,
    transport::streamable_http_client::{
        AuthRequiredError, HttpStatusError, InsufficientScopeError, StreamableHttpError,
    },
};
use thiserror::Error;

use crate::config::Transport;

/// Why the adapter cannot be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Two servers have one name.
    #[error("two MCP servers have the name {0}")]
    DuplicateName(String),
    /// A header cannot be sent.
    #[error("MCP server {server}: the header {header} cannot be sent: its name or its value is not valid")]
    Header {
        /// The server.
        server: String,
        /// The header's name.
        header: String,
    },
    /// The TLS library has no root certificates to work with.
    #[error("MCP servers over HTTPS cannot be reached: {0}")]
    Tls(#[source] reqwest::Error),
}

/// Why a server cannot be talked to.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error(
        "the command {0} was not found{place}",
        place = if .0.contains('/') { "" } else { " in PATH; in a container, use the image's target `tools`, which has npx and uvx" }
    )]
    CommandNotFound(String),
    #[error("the working directory {0} does not exist")]
    NoDirectory(String),
    #[error("it cannot be started: {0}")]
    Spawn(#[source] io::Error),
    #[error("it did not finish the handshake within {0} s")]
    Silent(u64),
    #[error("it ended before the handshake was done{}", exit.as_ref().map(|exit| format!(" ({exit})")).unwrap_or_default())]
    Ended { exit: Option<String> },
    #[error("the handshake failed: {0}")]
    Handshake(String),
    #[error("its tools cannot be listed: {0}")]
    Tools(String),
}

const UNEXPECTED: &str = "it answered something else than the protocol asks for";

/// A failed handshake.
pub(crate) fn handshake(error: &ClientInitializeError) -> ConnectError {
    match error {
        ClientInitializeError::ConnectionClosed(_) => ConnectError::Ended { exit: None },
        ClientInitializeError::TransportError { error, .. } => ConnectError::Handshake(transport(error.error.as_ref())),
        ClientInitializeError::JsonRpcError(error) => ConnectError::Handshake(told(error)),
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            ConnectError::Handshake("it speaks no version of the protocol that is known here".into())
        }
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => handshake(fallback),
        _ => ConnectError::Handshake(UNEXPECTED.into()),
    }
}

/// A failed request on a connection.
pub(crate) fn service(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => told(error),
        ServiceError::TransportSend(error) => transport(error.error.as_ref()),
        ServiceError::TransportClosed => "the connection was closed".into(),
        ServiceError::Timeout { .. } => "it did not answer in time".into(),
        _ => UNEXPECTED.into(),
    }
}

/// What the server itself said.
fn told(error: &ErrorData) -> String {
    format!("it answered with error {}: {}", error.code.0, error.message)
}

/// The library's own words for a call whose session ended before its answer was there. It tells them as if the server had
/// said so.
const SESSION_RENEWED: &str = "streamable HTTP session was re-initialized before the response arrived";

/// Whether the server itself refused, and did not do, what it was asked.
pub(crate) fn is_refusal(error: &ErrorData) -> bool {
    error.message != SESSION_RENEWED
}

/// An error and what it comes from, outermost first. The library does not name the HTTP client's error as a source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            Some(StreamableHttpError::Client(client)) => Some(client),
            _ => error.source(),
        }
    })
}

/// Of the many layers of a transport's error the one that tells something. The outer ones quote the URL.
fn transport(error: &(dyn Error + 'static)) -> String {
    let mut words = "the connection broke".to_owned();
    for error in causes(error) {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => "the connection was refused".into(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "the connection broke".into(),
                _ => format!("the connection failed: {error}"),
            };
        }
        if let Some(status) = status_of(error) {
            return match status {
                401 => "it answered with HTTP status 401: set its headers".into(),
                403 => "it answered with HTTP status 403: what its headers grant is not enough".into(),
                _ => format!("it answered with HTTP status {status}"),
            };
        }
        if let Some(StreamableHttpError::<reqwest::Error>::ResponseBodyTooLarge { .. }) = error.downcast_ref() {
            return "its answer is too large".into();
        }
        if let Some(
            StreamableHttpError::<reqwest::Error>::UnexpectedServerResponse(_)
            | StreamableHttpError::UnexpectedContentType(_)
            | StreamableHttpError::Deserialize(_),
        ) = error.downcast_ref()
        {
            return UNEXPECTED.into();
        }
        if let Some(error) = error.downcast_ref::<reqwest::Error>() {
            if error.is_timeout() {
                words = "it did not answer in time".into();
            } else if error.is_connect() {
                words = "it cannot be connected to".into();
            }
        }
    }
    words
}

fn status_of(error: &(dyn Error + 'static)) -> Option<u16> {
    if error.is::<AuthRequiredError>() {
        return Some(401);
    }
    if error.is::<InsufficientScopeError>() {
        return Some(403);
    }
    match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::SessionExpired) => Some(404),
        // `HTTP 401 Unauthorized: …`, and then what the server wrote.
        Some(StreamableHttpError::UnexpectedServerResponse(text)) => text.strip_prefix("HTTP ")?.get(..3)?.parse().ok(),
        _ => error.downcast_ref::<HttpStatusError>().map(|error| error.status),
    }
}

/// Whether a request could not be sent at all, so that it may be sent again.
pub(crate) fn was_not_sent(error: &ServiceError, over: &Transport) -> bool {
    let ServiceError::TransportSend(error) = error else { return false };
    let mut causes = causes(error.error.as_ref());
    match over {
        // A line that could not be written to a child's stdin: what the child has of it is no message.
        Transport::Stdio { .. } => causes
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(|error| matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected)),
        // A broken pipe says nothing here: HTTP/2 calls it so when a connection breaks while the answer is awaited.
        Transport::Http { .. } => {
            causes.any(|error| error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
        }
    }
}

/// Whether an HTTP server is there and refused a request as such.
pub(crate) fn is_bad_request(error: &(dyn Error + 'static)) -> bool {
    causes(error).filter_map(status_of).any(|status| [400, 404, 405].contains(&status))
}

#[cfg(test)]
mod tests {
    use rmcp::transport::DynamicTransportError;

    use super::*;

    #[test]
    fn a_broken_pipe_is_a_request_that_was_not_sent_to_a_child_only() {
        let broken = || {
            let error: StreamableHttpError<reqwest::Error> = io::Error::from(io::ErrorKind::BrokenPipe).into();
            let id = std::any::TypeId::of::<()>();
            ServiceError::TransportSend(DynamicTransportError::from_parts("test", id, Box::new(error)))
        };
        let http = Transport::Http { url: "http://host/mcp".into(), headers: vec![] };
        let stdio = Transport::Stdio { command: "server".into(), args: vec![], env: vec![], cwd: None };
        assert!(!was_not_sent(&broken(), &http));
        assert!(was_not_sent(&broken(), &stdio));
    }
}

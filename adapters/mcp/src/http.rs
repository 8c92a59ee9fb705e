//! Servers over streamable HTTP.

use std::{collections::HashMap, time::Duration};

use reqwest::{
    Client,
    header::{HeaderName, HeaderValue},
    redirect::Policy,
};
use rmcp::transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig};
use secrecy::{ExposeSecret, SecretString};

use crate::{config::McpConfig, error::BuildError};

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An address that answers with a redirect to itself is followed no further.
const MOST_REDIRECTS: usize = 4;

/// The HTTP client of all servers. Cheap to clone.
///
/// Redirects are followed within one origin only (frameworks send `/mcp` to `/mcp/`): elsewhere they would carry the
/// server's headers along.
///
/// # Errors
/// [`BuildError::Tls`] without root certificates.
pub(crate) fn client(config: &McpConfig) -> Result<Client, BuildError> {
    // Fails if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let same_origin = Policy::custom(|attempt| {
        let origin = attempt.previous().first().map(|url| url.origin());
        if origin != Some(attempt.url().origin()) || attempt.previous().len() > MOST_REDIRECTS {
            attempt.stop()
        } else {
            attempt.follow()
        }
    });
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(same_origin)
        .user_agent(format!("{}/{}", config.app_name.replace(|c: char| !c.is_ascii_graphic(), "-"), config.app_version))
        .build()
        .map_err(BuildError::Tls)
}

/// The headers of a server, as the client wants them.
///
/// # Errors
/// [`BuildError::Header`] for what cannot be sent.
pub(crate) fn headers(
    server: &str,
    headers: &[(String, SecretString)],
) -> Result<HashMap<HeaderName, HeaderValue>, BuildError> {
    let valid = |(name, value): &(String, SecretString)| {
        let refused = || BuildError::Header { server: server.to_owned(), header: name.clone() };
        let header = HeaderName::try_from(name.as_str()).map_err(|_| refused())?;
        let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| refused())?;
        value.set_sensitive(true);
        Ok((header, value))
    };
    headers.iter().map(valid).collect()
}

/// Results may be cut to less, but first they have to be read. What is longer than this is not.
pub(crate) const MESSAGE_MAX: usize = 64 * 1024 * 1024;

pub(crate) fn transport(
    client: Client,
    url: &SecretString,
    headers: &HashMap<HeaderName, HeaderValue>,
    max_concurrent_calls: usize,
) -> StreamableHttpClientTransport<Client> {
    let config = StreamableHttpClientTransportConfig::with_uri(url.expose_secret())
        // Listing and cancelling have to get through while all calls are running.
        .max_concurrent_requests(max_concurrent_calls + 4)
        .max_json_response_size(MESSAGE_MAX)
        .max_sse_event_size(MESSAGE_MAX)
        .custom_headers(headers.clone());
    StreamableHttpClientTransport::with_client(client, config)
}

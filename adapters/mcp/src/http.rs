//! Servers over streamable HTTP.

use std::{collections::HashMap, time::Duration};

use reqwest::{
    Client, StatusCode,
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
/// server's headers along. And only those that repeat the request: of others a GET would come out.
///
/// # Errors
/// [`BuildError::Tls`] without root certificates.
pub(crate) fn client(config: &McpConfig) -> Result<Client, BuildError> {
    // Fails if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let same_origin = Policy::custom(|attempt| {
        let origin = attempt.previous().first().map(|url| url.origin());
        let repeats = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if repeats && origin == Some(attempt.url().origin()) && attempt.previous().len() <= MOST_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(silence(config))
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

/// How long a server may send nothing at all: longer than anybody waits for it, since an attempt that was given up goes on
/// in the library until its socket is closed. The stream on which a server tells of changes is silent by nature; it is
/// opened again then.
fn silence(config: &McpConfig) -> Duration {
    let own = config.servers.iter().filter_map(|server| server.tool_timeout);
    let longest = own.fold(config.tool_timeout.max(config.handshake_timeout), Duration::max);
    longest.saturating_mul(2)
}

/// Messages are bounded as the library does it, at 16 MiB: all calls may be answered at once, each in a buffer of its own.
pub(crate) fn transport(
    client: Client,
    url: &SecretString,
    headers: &HashMap<HeaderName, HeaderValue>,
    max_concurrent_calls: usize,
) -> StreamableHttpClientTransport<Client> {
    let config = StreamableHttpClientTransportConfig::with_uri(url.expose_secret())
        // Listing and cancelling have to get through while all calls are running.
        .max_concurrent_requests(max_concurrent_calls + 4)
        .custom_headers(headers.clone());
    StreamableHttpClientTransport::with_client(client, config)
}

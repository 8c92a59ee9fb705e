//! How connections come about: directly or through a proxy, with TLS or without.

mod proxies;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chat_domain::ports::BoxError;
use futures_util::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

pub(super) use self::proxies::Proxies;
use super::KEEP_ALIVE;
use crate::config::BuildError;

/// How long connecting may take, TLS included. A host that is there answers within a round trip or two; one that drops
/// packets would otherwise use up the whole attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a connection that is not answered any more is asked again before it is given up.
const KEEP_ALIVE_RETRIES: u32 = 3;

/// Whether this URL wants TLS.
pub(super) fn is_secure(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

/// Connects to hosts with TLS, in bounded time.
#[derive(Clone)]
pub(crate) struct SecureConnector(HttpsConnector<Reach>);

impl SecureConnector {
    /// One with the system's root certificates.
    pub(super) fn new(reach: Reach) -> Result<Self, BuildError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| BuildError::Client(error.into()))?
            .with_no_client_auth();
        let secure = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        Ok(Self(secure.enable_all_versions().wrap_connector(reach)))
    }
}

impl Service<Uri> for SecureConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async { timeout(CONNECT_TIMEOUT, connecting).await.map_err(std::io::Error::from)? })
    }
}

/// Opens the way to a host; TLS is not its concern.
#[derive(Clone)]
pub(crate) struct Reach {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
}

impl Reach {
    pub(super) fn new(proxies: Arc<Proxies>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        Self { tcp, proxies }
    }

    /// Connects to the host of a URL without TLS, or to the proxy that has to be told of it with every request.
    pub(super) async fn open(&self, to: &Uri) -> Result<TcpStream, BoxError> {
        let proxy = self.proxies.of(to)?;
        let to = proxy.map_or_else(|| to.clone(), |proxy| proxy.uri().clone());
        let connected = timeout(CONNECT_TIMEOUT, self.tcp.clone().call(to)).await.map_err(std::io::Error::from)?;
        Ok(connected?.into_inner())
    }

    /// Connects to the host of a secure URL, by a tunnel if that is the way.
    async fn open_for_tls(self, to: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let mut tcp = self.tcp;
        let Some(proxy) = self.proxies.of(&to)? else { return Ok(tcp.call(to).await?) };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Ok(tunnel.call(to).await?)
    }
}

impl Service<Uri> for Reach {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().open_for_tls(to))
    }
}

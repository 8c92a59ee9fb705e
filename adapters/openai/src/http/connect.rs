//! How connections come about: directly or through a proxy, with TLS or without.

mod proxies;
mod stream;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chat_domain::ports::BoxError;
use futures_util::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{HttpConnector, proxy::Tunnel};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use tower_service::Service;

pub(super) use self::proxies::Proxies;
use self::stream::Stream;
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

/// Connects to hosts, with or without TLS, in bounded time.
#[derive(Clone)]
pub(super) enum Connector {
    Plain(Reach),
    Secure(HttpsConnector<Reach>),
}

impl Connector {
    /// One for URLs of one kind. That of secure ones has the system's root certificates.
    pub(super) fn new(proxies: Arc<Proxies>, secure: bool) -> Result<Self, BuildError> {
        let reach = Reach::new(proxies);
        if !secure {
            return Ok(Self::Plain(reach));
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| BuildError::Client(error.into()))?
            .with_no_client_auth();
        let secure = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        Ok(Self::Secure(secure.enable_all_versions().wrap_connector(reach)))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut connector = self.clone();
        Box::pin(async move {
            let connecting = async {
                match &mut connector {
                    Self::Plain(reach) => reach.call(to).await.map(MaybeHttpsStream::Http),
                    Self::Secure(tls) => tls.call(to).await,
                }
            };
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            connected.map_err(std::io::Error::from)?
        })
    }
}

/// Opens the way to a host; TLS is not its concern.
#[derive(Clone)]
pub(super) struct Reach {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
}

impl Reach {
    fn new(proxies: Arc<Proxies>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        Self { tcp, proxies }
    }

    async fn open(mut self, to: Uri) -> Result<Stream, BoxError> {
        let Some(proxy) = self.proxies.of(&to)? else {
            return Ok(Stream::direct(self.tcp.call(to).await?));
        };
        if !is_secure(&to) {
            return Ok(Stream::by_proxy(self.tcp.call(proxy.uri().clone()).await?));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Ok(Stream::direct(tunnel.call(to).await?))
    }
}

impl Service<Uri> for Reach {
    type Response = Stream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Stream, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().open(to))
    }
}

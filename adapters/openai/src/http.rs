//! The HTTP client. Nothing outside this module knows which library it is.

use std::{
    error::Error as _,
    fmt::Write,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use chat_domain::ports::llm::LlmErrorKind;
use futures_util::Stream;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyDataStream;
use reqwest::{Client, Proxy, Request, Url, redirect};

use crate::config::BuildError;

/// How long connecting may take, TLS included. A host that is there answers within a round trip or two; one that drops
/// packets would otherwise use up the whole attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept: shorter than what common load balancers allow, so that it is us who close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// How often a quiet connection is checked. Without it, one that a firewall has forgotten would cost a whole attempt.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The connections that backends share. Cheap to clone.
///
/// Pooled and kept alive; HTTP/2 where the endpoint offers it; redirects are not followed, since one would carry the key
/// elsewhere. The first backend with an `https` URL loads the system's root certificates; without one they are not
/// needed, neither at start nor in the image. (Nor can an `https` proxy be checked then: `http` backends want an `http`
/// one.)
#[derive(Clone)]
pub struct HttpClient {
    proxies: Proxies,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Clone)]
enum Proxies {
    OfEnvironment,
    None,
    All(Box<Proxy>),
}

/// One client for each kind of URL, made when first needed.
#[derive(Default)]
struct Clients {
    plain: Option<Client>,
    secure: Option<Client>,
}

impl HttpClient {
    /// Goes through the proxies that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    pub fn new() -> Self {
        Self::with(Proxies::OfEnvironment)
    }

    /// Goes through no proxy, whatever the environment says.
    pub fn direct() -> Self {
        Self::with(Proxies::None)
    }

    /// Goes through this proxy, whatever the environment says.
    ///
    /// # Errors
    /// [`BuildError::Proxy`] if it is no URL.
    pub fn from_proxy(url: &str) -> Result<Self, BuildError> {
        let proxy = Proxy::all(url).map_err(|_| BuildError::Proxy)?;
        Ok(Self::with(Proxies::All(Box::new(proxy))))
    }

    fn with(proxies: Proxies) -> Self {
        Self { proxies, clients: Arc::default() }
    }

    /// Where `path` below `base` is asked.
    pub(crate) fn endpoint(&self, base: &str, path: &[&str]) -> Result<Endpoint, BuildError> {
        let mut url = Url::parse(base.trim()).map_err(|_| BuildError::BaseUrl)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BuildError::BaseUrl),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BuildError::CredentialsInUrl);
        }
        url.path_segments_mut().map_err(|()| BuildError::BaseUrl)?.pop_if_empty().extend(path);
        url.set_fragment(None);
        Ok(Endpoint { client: self.client(secure)?, url })
    }

    fn client(&self, secure: bool) -> Result<Client, BuildError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = if secure { &mut clients.secure } else { &mut clients.plain };
        if let Some(client) = slot {
            return Ok(client.clone());
        }
        let client = self.build(secure)?;
        Ok(slot.insert(client).clone())
    }

    fn build(&self, secure: bool) -> Result<Client, BuildError> {
        // Fails if there is a provider already, which is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = Client::builder()
            .user_agent(concat!("chat-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_while_idle(true);
        match &self.proxies {
            Proxies::OfEnvironment => {}
            Proxies::None => builder = builder.no_proxy(),
            Proxies::All(proxy) => builder = builder.no_proxy().proxy(Proxy::clone(proxy)),
        }
        if !secure {
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| BuildError::Client(Box::new(error.without_url())))
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// A URL that can be asked.
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
}

impl Endpoint {
    /// Posts a body; resolves with the head of the answer. Dropping it, or what it gives, ends the exchange.
    pub(crate) async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Response, TransportError> {
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        let (head, body) = http::Response::from(self.client.execute(request).await?).into_parts();
        Ok(Response { status: head.status, headers: head.headers, body: Body(BodyDataStream::new(body)) })
    }
}

/// The head of an answer, and its body to come.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// A body as it comes in, decompressed.
pub(crate) struct Body(BodyDataStream<reqwest::Body>);

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(next.map(|chunk| chunk.map_err(TransportError::from)))
    }
}

/// An exchange that broke off.
#[derive(Debug)]
pub(crate) struct TransportError {
    pub(crate) kind: LlmErrorKind,
    /// What happened, all causes in one line, without URLs.
    pub(crate) cause: String,
}

impl From<reqwest::Error> for TransportError {
    fn from(error: reqwest::Error) -> Self {
        // A connection that timed out once it was there has been lost; only where none came about the time is gone.
        let unreached = error.is_connect() && error.is_timeout();
        let kind = if unreached { LlmErrorKind::Timeout } else { LlmErrorKind::Unavailable };
        let error = error.without_url();
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            // Writing to a string cannot fail.
            let _ = write!(cause, ": {error}");
            source = error.source();
        }
        Self { kind, cause }
    }
}

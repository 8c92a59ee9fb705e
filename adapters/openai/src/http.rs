//! The HTTP client. Nothing outside this module knows which library it is.
//!
//! A turn's cost is mostly the cost of its calls, so all that can be is done once for each endpoint: its URL is parsed
//! and its headers are made when a backend is, and a call only takes a connection and writes.

mod connect;
mod error;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, PROXY_AUTHORIZATION, USER_AGENT},
};
use http_body_util::{BodyDataStream, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use url::Url;

use self::connect::{Connector, Proxies, is_secure};
pub(crate) use self::error::TransportError;
use crate::config::BuildError;

/// How long an unused connection is kept: shorter than what common load balancers allow, so that it is us who close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// How often a quiet connection is checked. Without it, one that a firewall has forgotten would cost a whole attempt.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

type Pool = Client<Connector, Full<Bytes>>;

/// The connections that backends share. Cheap to clone.
///
/// Pooled and kept alive; HTTP/2 where the endpoint offers it; redirects are not followed, since one would carry the key
/// elsewhere; answers are not compressed, since what is saved in bytes would be paid in time. A request for which a kept
/// connection turns out to be closed before anything was written goes to another one. The first backend with an `https`
/// URL loads the system's root certificates; without one they are not needed, neither at start nor in the image.
#[derive(Clone)]
pub struct HttpClient {
    proxies: Arc<Proxies>,
    pools: Arc<Mutex<Pools>>,
}

/// One pool for each kind of URL, made when first needed.
#[derive(Default)]
struct Pools {
    plain: Option<Pool>,
    secure: Option<Pool>,
}

impl HttpClient {
    /// Goes through the proxies that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in
    /// capitals or not; none of them where `REQUEST_METHOD` says that this is a CGI program).
    pub fn new() -> Self {
        Self::with(Proxies::of_environment())
    }

    /// Goes through no proxy, whatever the environment says.
    pub fn direct() -> Self {
        Self::with(Proxies::none())
    }

    /// Goes through this proxy, whatever the environment says.
    ///
    /// # Errors
    /// [`BuildError::Proxy`] if it is no URL, [`BuildError::ProxyScheme`] if it is none with `http://`.
    pub fn from_proxy(url: &str) -> Result<Self, BuildError> {
        Ok(Self::with(Proxies::one(url)?))
    }

    fn with(proxies: Proxies) -> Self {
        Self { proxies: Arc::new(proxies), pools: Arc::default() }
    }

    /// Where `path` below `base` is asked.
    pub(crate) fn endpoint(&self, base: &str, path: &[&str]) -> Result<Endpoint, BuildError> {
        let mut url = Url::parse(base.trim()).map_err(|_| BuildError::BaseUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BuildError::BaseUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BuildError::CredentialsInUrl);
        }
        url.path_segments_mut().map_err(|()| BuildError::BaseUrl)?.pop_if_empty().extend(path);
        url.set_fragment(None);
        let uri: Uri = url.as_str().parse().map_err(|_| BuildError::BaseUrl)?;
        let headers = self.headers(&uri)?;
        Ok(Endpoint { pool: self.pool(is_secure(&uri))?, uri, headers })
    }

    /// The headers of every request to `uri`.
    fn headers(&self, uri: &Uri) -> Result<HeaderMap, BuildError> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("chat-agent/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let proxy = self.proxies.of(uri)?;
        // Over TLS both are up to the connection: HTTP/2 has no such header, and a tunnel's proxy has been paid already.
        if !is_secure(uri) {
            let host = uri.authority().ok_or(BuildError::BaseUrl)?;
            headers.insert(HOST, HeaderValue::from_str(host.as_str()).map_err(|_| BuildError::BaseUrl)?);
            if let Some(credentials) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
                headers.insert(PROXY_AUTHORIZATION, credentials.clone());
            }
        }
        Ok(headers)
    }

    fn pool(&self, secure: bool) -> Result<Pool, BuildError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = if secure { &mut pools.secure } else { &mut pools.plain };
        if let Some(pool) = slot {
            return Ok(pool.clone());
        }
        let connector = Connector::new(self.proxies.clone(), secure)?;
        let pool = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_while_idle(true)
            .build(connector);
        Ok(slot.insert(pool).clone())
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// A URL that can be asked.
pub(crate) struct Endpoint {
    pool: Pool,
    uri: Uri,
    headers: HeaderMap,
}

impl Endpoint {
    /// All headers of a request that is to have these.
    pub(crate) fn headers(&self, own: HeaderMap) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.extend(own);
        headers
    }

    /// Posts a body with headers that [`Endpoint::headers`] has made; resolves with the head of the answer. Dropping it,
    /// or what it gives, ends the exchange.
    pub(crate) async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Response, TransportError> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        let (head, body) = self.pool.request(request).await?.into_parts();
        Ok(Response { status: head.status, headers: head.headers, body: Body(BodyDataStream::new(body)) })
    }
}

/// The head of an answer, and its body to come.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Response {
    /// Whether the body is compressed, which nobody has asked for.
    pub(crate) fn is_encoded(&self) -> bool {
        self.headers
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    }
}

/// A body as it comes in.
pub(crate) struct Body(BodyDataStream<Incoming>);

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(next.map(|chunk| chunk.map_err(TransportError::from)))
    }
}

//! The HTTP client. Nothing outside this module knows which library it is.
//!
//! A turn's cost is mostly the cost of its calls, so all that can be is done once for each endpoint: its URL is parsed
//! and its headers are made when a backend is, and a call only takes a connection and writes.

mod connect;
mod error;
mod plain;

use std::{
    collections::HashMap,
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
    uri::Authority,
};
use http_body_util::{BodyDataStream, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use url::Url;

use self::connect::{Proxies, Reach, SecureConnector, is_secure};
pub(crate) use self::error::TransportError;
use crate::config::BuildError;

/// How long an unused connection is kept: shorter than what common load balancers allow, so that it is us who close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// How often a quiet connection is checked. Without it, one that a firewall has forgotten would cost a whole attempt.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

type SecurePool = Client<SecureConnector, Full<Bytes>>;

/// The connections that backends share. Cheap to clone.
///
/// Pooled and kept alive; HTTP/2 where an endpoint with TLS offers it; redirects are not followed, since one would carry
/// the key elsewhere; answers are not compressed, since what is saved in bytes would be paid in time. A request for which
/// a kept connection turns out to be closed before anything was written goes to another one. The first backend with an
/// `https` URL loads the system's root certificates; without one they are not needed, neither at start nor in the image.
#[derive(Clone)]
pub struct HttpClient {
    proxies: Arc<Proxies>,
    pools: Arc<Mutex<Pools>>,
}

/// Made when first needed.
#[derive(Default)]
struct Pools {
    /// One for each host.
    plain: HashMap<Authority, Arc<plain::Pool>>,
    /// One for all.
    secure: Option<SecurePool>,
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

    /// Where `path` below `base` is asked, with these headers.
    pub(crate) fn endpoint(&self, base: &str, path: &[&str], headers: HeaderMap) -> Result<Endpoint, BuildError> {
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
        let mut all = HeaderMap::new();
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("chat-agent/", env!("CARGO_PKG_VERSION"))));
        all.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        all.extend(headers);
        if is_secure(&uri) {
            // HTTP/2 has no `Host`, and a tunnel's proxy has been paid already: both are up to the connection.
            self.proxies.of(&uri)?;
            return Ok(Endpoint::Secure { pool: self.secure_pool()?.into(), uri, headers: all });
        }
        let host = uri.authority().ok_or(BuildError::BaseUrl)?.clone();
        all.insert(HOST, HeaderValue::from_str(host.as_str()).map_err(|_| BuildError::BaseUrl)?);
        let proxy = self.proxies.of(&uri)?;
        if let Some(credentials) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
            all.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let head = plain::request_head(&uri, proxy.is_some(), &all);
        Ok(Endpoint::Plain { pool: self.plain_pool(host, uri), head })
    }

    fn plain_pool(&self, host: Authority, uri: Uri) -> Arc<plain::Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.plain.entry(host);
        pool.or_insert_with(|| Arc::new(plain::Pool::new(Reach::new(self.proxies.clone()), uri))).clone()
    }

    fn secure_pool(&self) -> Result<SecurePool, BuildError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = &pools.secure {
            return Ok(pool.clone());
        }
        let pool = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_while_idle(true)
            .build(SecureConnector::new(Reach::new(self.proxies.clone()))?);
        Ok(pools.secure.insert(pool).clone())
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// A URL that can be asked, and the headers it is asked with.
pub(crate) enum Endpoint {
    Plain { pool: Arc<plain::Pool>, head: Box<[u8]> },
    Secure { pool: Box<SecurePool>, uri: Uri, headers: HeaderMap },
}

impl Endpoint {
    /// Posts a body, with these headers besides; resolves with the head of the answer. Dropping it, or what it gives, ends
    /// the exchange.
    pub(crate) async fn post(&self, more: &HeaderMap, body: Vec<u8>) -> Result<Response, TransportError> {
        match self {
            Self::Plain { pool, head } => {
                let (head, body) = plain::post(pool, head, more, &body).await?;
                Ok(Response { status: head.status, headers: head.headers, body: Body::Plain(body) })
            }
            Self::Secure { pool, uri, headers } => {
                let mut request = Request::new(Full::from(body));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = uri.clone();
                *request.headers_mut() = headers.clone();
                request.headers_mut().extend(more.clone());
                let (head, body) = pool.request(request).await?.into_parts();
                let body = Body::Secure(BodyDataStream::new(body));
                Ok(Response { status: head.status, headers: head.headers, body })
            }
        }
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
pub(crate) enum Body {
    Plain(plain::Body),
    Secure(BodyDataStream<Incoming>),
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Plain(body) => Pin::new(body).poll_next(cx),
            Self::Secure(body) => {
                let next = ready!(Pin::new(body).poll_next(cx));
                Poll::Ready(next.map(|piece| piece.map_err(TransportError::from)))
            }
        }
    }
}

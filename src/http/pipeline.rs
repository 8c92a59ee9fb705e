//! Every request's way in and out: identity, limits, keys, body, handler, the one form of errors.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use chat_domain::{admission::Verdict, session::Caller};
use futures_util::{FutureExt, TryStream, TryStreamExt};
use hyper::body::Incoming;
use poem::{
    Addr, Body, Endpoint, EndpointExt, IntoResponse, Request, Response, Route,
    endpoint::BoxEndpoint,
    http::{HeaderMap, Method, StatusCode, header, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tracing::Instrument;

use super::{
    Context, cors,
    errors::{ApiError, whole_seconds},
    hash_key, meta,
    openapi::{self, Paths},
    request::{RequestId, RequestRecord, X_REQUEST_ID},
    same_secret, sessions,
};

/// The whole service as one function from request to response. Cloning gives the same service.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    routes: BoxEndpoint<'static, Response>,
    /// Which path takes which methods: the spec's word.
    paths: Paths,
    document: String,
}

impl Service {
    /// The service over this context.
    pub fn new(context: Context) -> Self {
        let context = Arc::new(context);
        let api = openapi::service(&context);
        let spec = openapi::document(api.spec());
        let paths = Paths::of(&spec);
        let docs = api.swagger_ui_html();
        let routes = meta::routes(Route::new().nest("/", api), &spec, docs);
        Self(Arc::new(Inner { context, routes: routes.boxed(), paths, document: spec }))
    }

    /// The API's OpenAPI document.
    pub fn document(&self) -> &str {
        &self.0.document
    }

    /// Answers a request that came over HTTP from `peer`.
    pub async fn call(&self, request: hyper::Request<Incoming>, local: SocketAddr, peer: SocketAddr) -> Response {
        let addresses = (LocalAddr(Addr::SocketAddr(local)), RemoteAddr(Addr::SocketAddr(peer)));
        let request = Request::from((request, addresses.0, addresses.1, Scheme::HTTP));
        self.answer(request, peer).await
    }

    async fn answer(&self, request: Request, peer: SocketAddr) -> Response {
        let Inner { context, .. } = &*self.0;
        let id = RequestId::take_or_make(request.headers().get(X_REQUEST_ID));
        let client_ip = context.client_ip(peer.ip(), request.headers());
        let (method, path) = (request.method().clone(), request.uri().path());
        let counted = context.metrics_enabled && is_chat(&method, path);
        let metrics = counted.then(|| context.metrics.clone());
        let record = Arc::new(RequestRecord::new(id.clone(), client_ip, method, path, metrics));
        let origin = request.headers().get(header::ORIGIN).cloned();

        let span = tracing::info_span!("request", request_id = id.as_str());
        let handled = AssertUnwindSafe(self.handle(request, &record)).catch_unwind().instrument(span.clone());
        let result = handled.await.unwrap_or_else(|panic| span.in_scope(|| Err(panicked(&*panic))));
        let mut response = result.unwrap_or_else(|error| error.to_response(id.as_str()));

        record.set_status(response.status().as_u16());
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, id.to_header());
        context.cors.decorate(origin.as_ref(), headers);
        // The record is dropped here and the request thereby over, unless a stream holds it.
        span.in_scope(|| drop(record));
        response
    }

    async fn handle(&self, mut request: Request, record: &Arc<RequestRecord>) -> Result<Response, ApiError> {
        let Inner { context, routes, paths, .. } = &*self.0;
        let path = request.uri().path();
        if request.method() == Method::OPTIONS {
            let Some(allow) = paths.allow(path) else { return Err(ApiError::not_found()) };
            let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
            return Ok(cors::options(&allow, is_preflight));
        }
        if is_below(path, "/sessions") {
            admit(context, &request, record).await?;
        } else if is_below(path, "/admin") {
            check_admin(context, &request, record).await?;
        } else if path == meta::READY && context.admin_token.is_some() && request.headers().contains_key(X_ADMIN_TOKEN)
        {
            // There the token only shows more, but a wrong one is a guess all the same.
            match check_admin(context, &request, record).await {
                Err(error) if error.status == StatusCode::TOO_MANY_REQUESTS => return Err(error),
                _ => {}
            }
        }
        let path = path.to_owned();
        let body = read_body(context, &mut request).await?;
        let caller = Caller::Client(record.key().filter(|_| context.api_keys.are_required()));
        if request.method() == Method::POST
            && let Some(session) = sessions::messages_path(&path)
        {
            return sessions::answer_directly(context, record, caller, request.headers(), session, &body).await;
        }
        request.set_body(Body::from(body));
        request.extensions_mut().insert(record.clone());
        request.extensions_mut().insert(caller);
        let allow = || paths.allow(&path).unwrap_or_default();
        routes.call(request).await.map_err(|error| ApiError::from_poem(error, allow))
    }
}

/// The header that carries the operator's token.
pub(super) const X_ADMIN_TOKEN: &str = "x-admin-token";

/// Whether a path is this one or lies below it.
fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Chat traffic is what is counted: sessions made and messages posted.
fn is_chat(method: &Method, path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/sessions") else { return false };
    let is_message =
        || rest.strip_prefix('/').and_then(|rest| rest.strip_suffix("/messages")).is_some_and(|id| !id.contains('/'));
    method == Method::POST && (rest.is_empty() || is_message())
}

/// Limits and keys. The IP is limited before a key is looked at: what a wrong key is told comes after the limiter's word.
async fn admit(context: &Context, request: &Request, record: &RequestRecord) -> Result<(), ApiError> {
    let shown = shown_key(request.headers()).map(|key| hash_key(key.as_bytes()));
    let required = context.api_keys.are_required();
    let key = shown.filter(|key| !required || context.api_keys.contains(key));
    if let Some(key) = key {
        record.set_key(key);
    }
    match context.admission.decide(record.client_ip, key).await {
        Verdict::Pass => {}
        Verdict::PassUnchecked(error) => {
            context.metrics.limiter_error();
            tracing::warn!(error = %error, "the rate limiter does not answer: the request passes unchecked");
        }
        Verdict::Refuse { retry_after } => {
            context.metrics.rate_limited();
            return Err(ApiError::rate_limited(retry_after));
        }
        Verdict::RefuseUnchecked(error) => {
            context.metrics.limiter_error();
            tracing::warn!(error = %error, "the rate limiter does not answer: the request is refused");
            return Err(ApiError::storage_unavailable());
        }
    }
    match (required, shown, key) {
        (false, _, _) | (true, _, Some(_)) => Ok(()),
        (true, None, _) => Err(unauthorized("missing_api_key", "Send your key as `X-API-Key`", "X-API-Key")),
        (true, Some(_), None) => Err(unauthorized("invalid_api_key", "This key is not one of ours", "X-API-Key")),
    }
}

/// The key a client shows, in either of the two headers that mean the same.
fn shown_key(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    let bearer = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    };
    own.or_else(bearer).map(str::trim).filter(|key| !key.is_empty())
}

async fn check_admin(context: &Context, request: &Request, record: &RequestRecord) -> Result<(), ApiError> {
    let Some(token) = &context.admin_token else {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "admin_disabled",
            "The admin API is off: set ADMIN_TOKEN to turn it on",
        ));
    };
    let shown = request.headers().get(X_ADMIN_TOKEN).map(|value| value.as_bytes()).filter(|value| !value.is_empty());
    if shown.is_some_and(|shown| same_secret(shown, token)) {
        return Ok(());
    }
    if let Verdict::Refuse { retry_after } = context.admin_admission.decide(record.client_ip, None).await {
        return Err(ApiError::rate_limited(retry_after));
    }
    Err(match shown {
        None => unauthorized("missing_admin_token", "Send the admin token as `X-Admin-Token`", "X-Admin-Token"),
        Some(_) => unauthorized("invalid_admin_token", "This is not the admin token", "X-Admin-Token"),
    })
}

fn unauthorized(code: &'static str, message: &str, scheme: &'static str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, message)
        .header(header::WWW_AUTHENTICATE, poem::http::HeaderValue::from_static(scheme))
}

/// Reads the body, if there is one: bounded in size and time, before anybody works on the request.
async fn read_body(context: &Context, request: &mut Request) -> Result<Bytes, ApiError> {
    let maximum = context.max_body_bytes;
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared == Some(0)
        || (declared.is_none()
            && !request.headers().contains_key(header::TRANSFER_ENCODING)
            && request.version() < poem::http::Version::HTTP_2)
    {
        return Ok(Bytes::new());
    }
    let mut chunks = request.take_body().into_bytes_stream();
    if declared.is_some_and(|length| length > maximum as u64) {
        // Who asks first has not sent anything yet, and is told not to.
        if !request.headers().contains_key(header::EXPECT) {
            discard(chunks).await;
        }
        return Err(ApiError::payload_too_large(maximum));
    }
    let reading = read_up_to(maximum, &mut chunks);
    let bytes = tokio::time::timeout(context.body_timeout, reading).await.map_err(|_| {
        let seconds = whole_seconds(context.body_timeout);
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            format!("The body did not arrive within {seconds} s"),
        )
        .header(header::CONNECTION, poem::http::HeaderValue::from_static("close"))
    })?;
    match bytes {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => {
            discard(chunks).await;
            Err(ApiError::payload_too_large(maximum))
        }
        Err(_) => Err(ApiError::invalid("body", "Input ended before it was complete")),
    }
}

/// A body of at most so many bytes; none if it is larger.
async fn read_up_to(maximum: usize, chunks: &mut (impl TryStream<Ok = Bytes> + Unpin)) -> Result<Option<Bytes>, ()> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.try_next().await.map_err(|_| ())? {
        if bytes.len() + chunk.len() > maximum {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes.freeze()))
}

/// How much of a body that is too large is read all the same, and for how long: a client that still sends when the
/// connection is closed sees it broken, and not the answer that says why.
const DISCARDED: (usize, Duration) = (32 * 1024 * 1024, Duration::from_secs(3));

async fn discard(mut chunks: impl TryStream<Ok = Bytes> + Unpin) {
    let (mut left, patience) = DISCARDED;
    let reading = async {
        while let Ok(Some(chunk)) = chunks.try_next().await
            && left > 0
        {
            left = left.saturating_sub(chunk.len());
        }
    };
    let _ = tokio::time::timeout(patience, reading).await;
}

/// What a client is told of a mistake of ours; the log is told more.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> ApiError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no message"), "a request panicked");
    ApiError::internal()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.to_response("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_traffic_is_what_is_counted() {
        for path in ["/sessions", "/sessions/1/messages"] {
            assert!(is_chat(&Method::POST, path), "{path}");
        }
        for path in [
            "/",
            "/sessions/",
            "/sessions/1/messages/",
            "/sessionsx",
            "/sessions/1",
            "/sessions/1/2/messages",
            "/sessions/1/messages/2",
            "/admin/sessions",
        ] {
            assert!(!is_chat(&Method::POST, path), "{path}");
        }
        assert!(!is_chat(&Method::GET, "/sessions/1/messages"));
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        let key = |pairs: &[(&'static str, &'static str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            shown_key(&headers.collect()).map(str::to_owned)
        };
        assert_eq!(key(&[("x-api-key", "k")]).as_deref(), Some("k"));
        assert_eq!(key(&[("authorization", "bearer k")]).as_deref(), Some("k"));
        assert_eq!(key(&[("authorization", "Bearer k"), ("x-api-key", "own")]).as_deref(), Some("own"));
        for none in
            [("authorization", "Basic k"), ("authorization", "k"), ("x-api-key", ""), ("authorization", "Bearer ")]
        {
            assert_eq!(key(&[none]), None, "{none:?}");
        }
    }
}

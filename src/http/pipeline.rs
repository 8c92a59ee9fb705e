//! Every request's way in and out: identity, limits, keys, body, handler, the one form of errors.

mod body;
mod gates;

pub use self::gates::Guesses;

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use chat_domain::session::Caller;
use futures_util::FutureExt;
use hyper::body::Incoming;
use poem::{
    Addr, Endpoint, EndpointExt, IntoResponse, Request, Response, Route,
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method, StatusCode, header, request::Parts, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};

use super::{
    Context, cors,
    errors::ApiError,
    meta,
    openapi::{self, Paths},
    pages,
    request::{RequestId, RequestRecord, X_REQUEST_ID},
    sessions,
};
use crate::telemetry::{InRequest, RequestScope};

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
        let routes = meta::routes(pages::routes(Route::new().nest("/", api)), &spec, docs);
        Self(Arc::new(Inner { context, routes: routes.boxed(), paths, document: spec }))
    }

    /// The API's OpenAPI document.
    pub fn document(&self) -> &str {
        &self.0.document
    }

    /// Answers a request that came over HTTP from `peer`.
    pub async fn call(&self, request: hyper::Request<Incoming>, local: SocketAddr, peer: SocketAddr) -> Response {
        let Inner { context, .. } = &*self.0;
        let (head, body) = request.into_parts();
        let id = RequestId::take_or_make(head.headers.get(&X_REQUEST_ID));
        let client_ip = context.client_ip(peer.ip(), &head.headers);
        let (method, path) = (head.method.clone(), head.uri.path());
        let counted = context.metrics_enabled && is_chat(&method, path);
        let metrics = counted.then(|| context.metrics.clone());
        let span = context.tracing.request(&head, || self.0.paths.route(path));
        let record = Arc::new(RequestRecord::new(id.clone(), client_ip, method, path, metrics, span.clone()));
        let origin = head.headers.get(header::ORIGIN).cloned();

        let addresses = (LocalAddr(Addr::SocketAddr(local)), RemoteAddr(Addr::SocketAddr(peer)));
        let handled = AssertUnwindSafe(self.handle(head, body, addresses, &record)).catch_unwind();
        let handled = InRequest::new(handled, RequestScope::new(id.to_header(), span));
        let result = handled.await.unwrap_or_else(|_panic| Err(ApiError::internal()));
        let mut response = result.unwrap_or_else(|error| error.to_response(id.as_str()));

        record.set_status(response.status().as_u16());
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID.clone(), id.to_header());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Conversations, keys' doings, numbers of this moment: what does not say that it may be kept is not to be.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        context.cors.decorate(origin.as_ref(), headers);
        // The record is dropped here and the request thereby over, unless a stream holds it.
        response
    }

    async fn handle(
        &self,
        head: Parts,
        body: Incoming,
        addresses: (LocalAddr, RemoteAddr),
        record: &Arc<RequestRecord>,
    ) -> Result<Response, ApiError> {
        let Inner { context, routes, paths, .. } = &*self.0;
        let (path, headers) = (head.uri.path(), &head.headers);
        if head.method == Method::OPTIONS {
            let Some(allow) = paths.allow(path) else { return Err(ApiError::not_found()) };
            return Ok(cors::options(&allow, headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)));
        }
        let (is_chat, is_admin) = (is_below(path, "/sessions"), is_below(path, "/admin") && path != pages::ADMIN);
        if (is_chat || is_admin) && !context.cors.admit(headers) {
            return Err(ApiError::origin_not_allowed());
        }
        // Who shows the operator's token may remove any session, and needs no client's key for it.
        let is_operator = head.method == Method::DELETE && is_chat && gates::shows_admin_token(context, headers);
        if is_operator {
            gates::check_admin(context, headers, record).await?;
        } else if is_chat {
            gates::admit(context, headers, record).await?;
        } else if is_admin {
            gates::check_admin(context, headers, record).await?;
        } else if path == meta::READY && context.admin_token.is_some() && headers.contains_key(X_ADMIN_TOKEN) {
            // There the token only shows more, but a wrong one is a guess all the same.
            match gates::check_admin(context, headers, record).await {
                Err(error) if error.status == StatusCode::TOO_MANY_REQUESTS => return Err(error),
                _ => {}
            }
        }
        let client = Caller::Client(record.key().filter(|_| context.api_keys.are_required()));
        let caller = if is_operator { Caller::Operator } else { client };
        if head.method == Method::POST
            && let Some(session) = sessions::messages_path(path)
        {
            let body = body::read(context, headers, body).await?;
            return sessions::answer_directly(context, record, caller, headers, session, &body).await;
        }
        // Nobody's body is kept for an answer that does not look at it.
        let is_read = head.method == Method::POST && paths.allow(path).is_some_and(|allow| allow.contains("POST"));
        let body = if is_read {
            body::read(context, headers, body).await?
        } else {
            body::skip(context, headers, body).await?;
            Bytes::new()
        };
        let path = path.to_owned();
        let (local, remote) = addresses;
        let mut request = Request::from_parts((head, local, remote, Scheme::HTTP).into(), body.into());
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
}

//! Who may call from a browser. Headers go onto every answer, errors and refusals included, and nothing is refused here:
//! an origin that is not allowed gets an answer that its browser hides.

use std::collections::HashSet;

use poem::{
    Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

/// The origins whose scripts may read answers (`CORS_ALLOW_ORIGINS`).
#[derive(Debug, Clone, Default)]
pub enum AllowedOrigins {
    /// Every one.
    #[default]
    Any,
    /// These; none if it is empty.
    Only(HashSet<HeaderValue>),
}

/// What a page may read of an answer besides the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("X-Request-ID, Retry-After, X-Total-Count");
/// What a page may send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Type, Accept, Authorization, X-API-Key, X-Admin-Token, X-Request-ID, Last-Event-ID",
);
/// A browser may remember the answer to a preflight for an hour.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

impl AllowedOrigins {
    /// Adds the headers for an answer to a request of this origin.
    pub fn decorate(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if let AllowedOrigins::Only(_) = self {
            // Also where there is none: a cache must not give that answer to one.
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = origin else { return };
        let allowed = match self {
            AllowedOrigins::Any => HeaderValue::from_static("*"),
            AllowedOrigins::Only(origins) => {
                if !origins.contains(origin) {
                    return;
                }
                origin.clone()
            }
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The answer to `OPTIONS`: what the path takes, to a preflight in the words a browser wants.
pub(super) fn options(allow: &str, is_preflight: bool) -> Response {
    let allow = HeaderValue::from_str(allow).unwrap_or(HeaderValue::from_static("GET"));
    let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
    let headers = response.headers_mut();
    if is_preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    headers.insert(header::ALLOW, allow);
    response
}

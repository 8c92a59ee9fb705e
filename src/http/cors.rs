//! Who may call from a browser. Headers go onto every answer, errors and refusals included. Where origins are listed, pages
//! of others are refused what is not for everybody: their browser would hide the answer, but what they ask would be done.

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
    /// Whether a request may be answered that comes from a page, as its `Origin` tells: from a listed one, or from one of
    /// the host that is asked. Of the latter only host and port count, since the scheme is the proxy's business. Without
    /// `Origin` it is no page of somebody else.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let AllowedOrigins::Only(origins) = self else { return true };
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        headers.get_all(header::ORIGIN).iter().all(|origin| origins.contains(origin) || is_own(origin.as_bytes(), host))
    }

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

/// Whether an origin is the host that was asked. A browser leaves a scheme's own port out of both; a proxy may add it.
fn is_own(origin: &[u8], host: Option<&[u8]>) -> bool {
    let (Ok(origin), Some(Ok(host))) = (str::from_utf8(origin), host.map(str::from_utf8)) else { return false };
    let (theirs, port) = match origin.split_once("://") {
        Some(("https", theirs)) => (theirs, ":443"),
        Some(("http", theirs)) => (theirs, ":80"),
        _ => return false,
    };
    !theirs.is_empty() && theirs.eq_ignore_ascii_case(host.strip_suffix(port).unwrap_or(host))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_are_not_admitted_where_origins_are_listed() {
        let listed = AllowedOrigins::Only([HeaderValue::from_static("https://shop.example.com")].into());
        for (origins, host, admitted) in [
            (&[][..], "chat.example.com", true),
            (&["https://shop.example.com"], "chat.example.com", true),
            (&["https://chat.example.com"], "chat.example.com", true),
            (&["https://chat.example.com"], "Chat.Example.com", true),
            (&["https://chat.example.com"], "chat.example.com:443", true),
            (&["http://127.0.0.1:8000"], "127.0.0.1:8000", true),
            (&["http://[::1]:8000"], "[::1]:8000", true),
            (&["https://chat.example.com"], "chat.example.com:80", false),
            (&["https://chat.example.com:8443"], "chat.example.com", false),
            (&["http://localhost:3000"], "localhost:8000", false),
            (&["https://evil.example.com"], "chat.example.com", false),
            (&["https://chat.example.com.evil.org"], "chat.example.com", false),
            (&["https://evil.example.com", "https://shop.example.com"], "chat.example.com", false),
            (&["null"], "chat.example.com", false),
            (&["null"], "null", false),
            (&["https://"], "", false),
            (&[""], "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            for origin in origins {
                headers.append(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(listed.admit(&headers), admitted, "{origins:?} asks {host}");
            assert!(AllowedOrigins::Any.admit(&headers), "{origins:?} asks {host}");
        }
    }
}

//! Every failure as a client sees it: one body, one exhaustive way from a [`ChatError`] to a status.

use std::{fmt, time::Duration};

use chat_domain::{
    chat::error::ChatError,
    ports::{llm::LlmErrorKind, tools::ForceError},
};
use poem::{
    Response,
    error::{MethodNotAllowedError, NotFoundError, ResponseError},
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use serde::Serialize;
use serde_json::{Value, json};

/// A failure on its way to a client.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    rate_limited: Option<Duration>,
}

/// How many things that are wrong with a request are told.
const MAX_ERRORS: usize = 20;

/// How much of the name of what is wrong is told, in bytes.
const MAX_PATH: usize = 100;

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: `content`, `options.model`; `body` for the whole.
    pub path: String,
    /// What is wrong and what would be right; never the value.
    pub reason: String,
}

impl ApiError {
    /// A failure with this code and message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, headers: Vec::new(), rate_limited: None }
    }

    /// With details.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With `Retry-After`, in whole seconds, at least 1.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        let value = HeaderValue::from(whole_seconds(pause));
        self.header(header::RETRY_AFTER, value)
    }

    /// 422 with all that is wrong.
    ///
    /// Not more than a person reads of it: an answer must not outgrow the request that is at fault.
    pub fn validation(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_ERRORS);
        for error in &mut errors {
            error.path.truncate(error.path.floor_char_boundary(MAX_PATH));
        }
        let reasons: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.path, error.reason)).collect();
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_error",
            format!("Request validation failed: {}", reasons.join("; ")),
        )
        .details(json!({ "errors": errors }))
    }

    /// 422 with one thing wrong.
    pub fn invalid(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::validation(vec![FieldError { path: path.into(), reason: reason.into() }])
    }

    /// 429: one too many, until this time has passed.
    pub fn rate_limited(retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests");
        Self { rate_limited: Some(retry_after), ..error.retry_after(retry_after) }
    }

    /// 500. What happened is the log's to know.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side")
    }

    /// 403 for a page whose origin is not one of those that the operator has listed.
    pub fn origin_not_allowed() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "Pages of this origin may not ask here; an operator can list it in CORS_ALLOW_ORIGINS",
        )
    }

    /// 404 for a path that leads nowhere.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path")
    }

    /// 405 with what would be allowed.
    pub fn method_not_allowed(allow: &str) -> Self {
        let error = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("This path does not take this method; it takes {allow}"),
        );
        match HeaderValue::from_str(allow) {
            Ok(value) => error.header(header::ALLOW, value),
            Err(_) => error,
        }
    }

    /// 413 for a body above the limit.
    pub fn payload_too_large(maximum: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", format!("The body exceeds {maximum} bytes"))
            .details(json!({ "maximum": maximum }))
    }

    /// 503 when what keeps sessions or history is away.
    pub fn storage_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_unavailable",
            "Storage is not answering; nothing that was confirmed is lost. Try again shortly",
        )
    }

    /// Logs why, with all causes: the one place where that is done. Clients are not told.
    #[must_use]
    pub fn because(self, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let chain: Vec<String> = causes.map(ToString::to_string).collect();
        tracing::warn!(code = self.code, error = chain.join(": "), "request failed");
        self
    }

    /// The body, as it goes into a response or an `error` event.
    pub fn body<'a>(&'a self, request_id: &'a str) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Inner<'a>,
            request_id: &'a str,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            details: &'a Option<Value>,
        }
        Body { error: Inner { code: self.code, message: &self.message, details: &self.details }, request_id }
    }

    fn to_json(&self, request_id: &str) -> String {
        match self.rate_limited {
            // The one body that is different: the Python service's clients know it so.
            Some(pause) => {
                json!({ "error": self.code, "retry_after": (pause.as_secs_f64() * 1000.0).ceil() / 1000.0 }).to_string()
            }
            None => serde_json::to_string(&self.body(request_id)).unwrap_or_default(),
        }
    }

    /// The whole response.
    pub fn to_response(&self, request_id: &str) -> Response {
        let mut response =
            Response::builder().status(self.status).content_type("application/json").body(self.to_json(request_id));
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }

    /// Whatever a handler, an extractor or the router failed with. `allow` tells the methods a path takes.
    pub fn from_poem(error: poem::Error, allow: impl FnOnce() -> String) -> Self {
        if let Some(error) = error.downcast_ref::<ApiError>() {
            return error.clone();
        }
        if error.is::<NotFoundError>() {
            return Self::not_found();
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::method_not_allowed(&allow());
        }
        // The reasons that these two carry quote the value. The first one's name is not the parameter's; of those in our
        // paths only a session's id can be wrong here.
        if error.is::<poem_openapi::error::ParsePathError>() {
            return Self::invalid("session_id", "Input should be a valid UUID");
        }
        if let Some(error) = error.downcast_ref::<poem_openapi::error::ParseParamError>() {
            return Self::invalid(error.name, expected_of(error.name));
        }
        // The router reads a path before it knows where it leads.
        if error.is::<poem::error::ParsePathError>() {
            let leads_nowhere = allow().is_empty();
            return if leads_nowhere {
                Self::not_found()
            } else {
                Self::invalid("path", "Input should be percent-encoded UTF-8")
            };
        }
        if error.is::<poem_openapi::error::ContentTypeError>() {
            return Self::unsupported_media_type();
        }
        tracing::error!(error = %error, "a request failed in a way nobody thought of");
        Self::internal()
    }

    /// 415: this API speaks JSON.
    pub fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be JSON: send it with `Content-Type: application/json`",
        )
    }

    /// 415: bodies are not unpacked.
    pub fn unsupported_content_encoding() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must not be compressed: send it without `Content-Encoding`",
        )
        .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
    }
}

/// What a query parameter of this name should have been.
fn expected_of(name: &str) -> &'static str {
    match name {
        "limit" | "offset" => "Input should be a valid integer",
        _ => "Input should be a valid value",
    }
}

/// Whole seconds, rounded up, at least 1: what `Retry-After` can say.
pub fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0)).max(1)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let api = match &error {
            ChatError::MemoryLimit(limit) => memory_limit(limit.requested.into(), limit.maximum),
            ChatError::SessionNotFound => {
                Self::new(StatusCode::NOT_FOUND, "session_not_found", "There is no such session")
            }
            ChatError::SessionBusy { retry_after } => Self::new(
                StatusCode::CONFLICT,
                "session_busy",
                "Other messages of this session are still being answered; send them one after the other",
            )
            .retry_after(*retry_after),
            ChatError::Capacity => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "capacity",
                "As many sessions are open as this service keeps; delete some, or try again later",
            ),
            ChatError::UnknownTool(force) => unknown_tool(force),
            ChatError::ToolDown { tool, server } => Self::new(
                StatusCode::BAD_GATEWAY,
                "tool_error",
                format!("The tool {tool:?} cannot be called: its server {server:?} is down"),
            ),
            ChatError::ToolsUnavailable { server } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "tools_unavailable",
                format!("The tool server {server:?} is required and down"),
            ),
            ChatError::Unconfigured { remedy } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "provider_unconfigured", remedy.to_string())
            }
            ChatError::Llm(llm) => {
                let message = match llm.kind {
                    LlmErrorKind::Auth => "The model provider refused our credentials",
                    LlmErrorKind::RateLimited => "The model provider is receiving too many requests",
                    LlmErrorKind::Timeout => "The model provider did not answer in time",
                    LlmErrorKind::InvalidResponse => "The model provider gave an unusable answer",
                    LlmErrorKind::Rejected => "The model provider rejected the request; check `options`",
                    LlmErrorKind::NotFound | LlmErrorKind::Busy | LlmErrorKind::Unavailable => {
                        "The model provider is unavailable"
                    }
                };
                let api = Self::new(StatusCode::BAD_GATEWAY, "provider_error", message)
                    .details(json!({ "kind": llm.kind.as_str() }));
                match (llm.kind, llm.retry_after) {
                    (LlmErrorKind::RateLimited, Some(pause)) => api.retry_after(pause),
                    _ => api,
                }
            }
            ChatError::Storage(_) => Self::storage_unavailable(),
            ChatError::TurnTimeout { limit } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "turn_timeout",
                format!("The answer took longer than {} s; nothing was remembered", limit.as_secs_f64()),
            ),
        };
        if api.status.is_server_error() { api.because(&error) } else { api }
    }
}

/// 400 for a memory limit above the maximum.
pub fn memory_limit(requested: u64, maximum: u32) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_memory_limit",
        format!("memory_limit must not be more than {maximum}"),
    )
    .details(json!({ "requested": requested, "maximum": maximum }))
}

fn unknown_tool(error: &ForceError) -> ApiError {
    let details = match error {
        ForceError::Unknown { known } => json!({ "known": known }),
        ForceError::Ambiguous { candidates } => json!({ "candidates": candidates }),
        ForceError::ServerDown { server } => json!({ "server": server }),
    };
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_tool", format!("options.tool_name: {error}"))
        .details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_what_clients_know() {
        let error = ApiError::invalid("content", "Field required");
        let expected = r#"{"error":{"code":"validation_error","message":"Request validation failed: content: Field required","details":{"errors":[{"path":"content","reason":"Field required"}]}},"request_id":"r1"}"#;
        assert_eq!(error.to_json("r1"), expected);
        let without = r#"{"error":{"code":"not_found","message":"There is nothing at this path"},"request_id":"r1"}"#;
        assert_eq!(ApiError::not_found().to_json("r1"), without);
    }

    #[test]
    fn a_refusal_has_the_body_the_seed_promises() {
        let error = ApiError::rate_limited(Duration::from_secs(2));
        assert_eq!(error.to_json("r1"), r#"{"error":"rate_limited","retry_after":2.0}"#);
    }

    #[test]
    fn an_answer_does_not_outgrow_its_request() {
        let wrong = |path: &str| FieldError { path: path.to_owned(), reason: "Unknown option".to_owned() };
        let error = ApiError::validation(vec![wrong(&"é".repeat(5000)); 5000]);
        assert!(error.to_json("r1").len() < 10_000);
        assert!(error.to_json("r1").contains(&format!("{}: Unknown option", "é".repeat(50))));
    }

    #[test]
    fn retry_after_is_whole_seconds_and_at_least_one() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2500, 3)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}

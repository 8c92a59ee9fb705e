//! Failures, and answers that make no sense.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};

use super::{Cut, Reply, Shape, Step};

impl Reply {
    /// A failure with an error body as OpenRouter writes it.
    ///
    /// # Panics
    /// When the status is none.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::error(status, "the scripted upstream refuses")
    }

    /// A failure with a message of one's own, such as one that quotes a key.
    ///
    /// # Panics
    /// When the status is none.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({"error": {"code": status, "message": message}}))
    }

    /// 429, with or without `Retry-After`.
    #[must_use]
    pub fn rate_limited(retry_after: Option<&str>) -> Self {
        let reply = Self::status(429);
        match retry_after {
            Some(value) => reply.header(RETRY_AFTER.as_str(), value),
            None => reply,
        }
    }

    /// 200, and an error for a body; in a stream, an error chunk before any text.
    #[must_use]
    pub fn error_in_ok(code: u16, message: &str) -> Self {
        let body = json!({"error": {"code": code, "message": message}});
        Self::json(200, &body).or_streamed(Self::events().event(&body))
    }

    /// 200, and no choices.
    #[must_use]
    pub fn no_choices() -> Self {
        let body = json!({"id": "gen-0", "object": "chat.completion", "choices": []});
        Self::json(200, &body).or_streamed(Self::events().event(&body).done())
    }

    /// 200, and JSON that breaks off.
    #[must_use]
    pub fn malformed() -> Self {
        let broken = "{\"id\": \"gen-0\", \"choices\": [{\"message\"";
        Self::body(200, "application/json", broken).or_streamed(Self::events().data(broken).done())
    }

    /// 200, and JSON whose content is a number and whose choices are an object.
    #[must_use]
    pub fn wrong_types() -> Self {
        let plain = json!({"id": 1, "choices": {"message": {"content": 12}}});
        let streamed = json!({"id": 1, "choices": [{"delta": {"content": 12}}]});
        Self::json(200, &plain).or_streamed(Self::events().event(&streamed).done())
    }

    /// A completion of that many bytes: more than a client should be willing to read.
    #[must_use]
    pub fn huge(bytes: usize) -> Self {
        const PIECE: usize = 64 * 1024;
        Self::stream((0..bytes.div_ceil(PIECE)).map(|_| "x".repeat(PIECE)))
    }

    /// The connection ends before anything is answered.
    #[must_use]
    pub fn no_answer(cut: Cut) -> Self {
        Self::text("").led_by(Step::Cut(cut))
    }

    /// The connection stays open, and nothing is ever answered.
    #[must_use]
    pub fn never() -> Self {
        Self::text("").led_by(Step::Hang)
    }

    /// A JSON body.
    ///
    /// # Panics
    /// When the status is none.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::body(status, "application/json", body.to_string())
    }

    /// Any body.
    ///
    /// # Panics
    /// When the status or the content type is none.
    #[must_use]
    pub fn body(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::of(Shape::Body(body.into())).with_status(status).header(CONTENT_TYPE.as_str(), content_type)
    }
}

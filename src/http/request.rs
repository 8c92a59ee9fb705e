//! What the service knows of a request from its first byte to its last: [`RequestRecord`].

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use chat_domain::{
    chat::TurnOutcome,
    message::FinishedCall,
    session::{KeyHash, SessionId},
};
use poem::http::{HeaderName, HeaderValue, Method};
use uuid::Uuid;

use super::metrics::Metrics;
use crate::telemetry::{self, RequestSpan, Value};

/// The status logged for a request whose client went away before its answer: no client sees it. The number is nginx's.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How much of a path is logged, in bytes: all of ours are shorter, and anybody can send longer ones.
const MAX_LOGGED_PATH: usize = 256;

/// A request, shared by all that works on it. When the last of them lets go, the request is over: it is counted and
/// logged, once, whatever became of it.
pub(super) struct RequestRecord {
    /// What identifies it in logs and answers.
    pub id: RequestId,
    /// Whose it is.
    pub client_ip: IpAddr,
    method: Method,
    path: Box<str>,
    began: Instant,
    /// Whom to tell; only chat traffic is counted.
    metrics: Option<Arc<Metrics>>,
    /// Its span in its trace.
    pub span: RequestSpan,
    known: Mutex<Known>,
}

/// What is learnt on the way.
#[derive(Default)]
struct Known {
    status: Option<u16>,
    key: Option<KeyHash>,
    session: Option<SessionId>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    tools: Vec<Arc<str>>,
}

impl RequestRecord {
    /// A request that has just begun.
    pub(super) fn new(
        id: RequestId,
        client_ip: IpAddr,
        method: Method,
        path: &str,
        metrics: Option<Arc<Metrics>>,
        span: RequestSpan,
    ) -> Self {
        if let Some(metrics) = &metrics {
            metrics.request(&method);
        }
        Self { id, client_ip, method, path: path.into(), began: Instant::now(), metrics, span, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status it is answered with, or would have been.
    pub(super) fn set_status(&self, status: u16) {
        self.known().status = Some(status);
    }

    /// Its client went away before the answer was complete: no client sees the status that had been decided.
    pub(super) fn abandon(&self) {
        self.known().status = None;
    }

    /// The key it showed, which is a client's.
    pub(super) fn set_key(&self, key: KeyHash) {
        self.known().key = Some(key);
    }

    /// The key it showed, if that is a client's.
    pub(super) fn key(&self) -> Option<KeyHash> {
        self.known().key
    }

    /// The session it speaks in.
    pub(super) fn set_session(&self, session: SessionId) {
        self.known().session = Some(session);
    }

    /// What its turn gave.
    pub(super) fn set_turn(&self, outcome: &TurnOutcome) {
        let mut known = self.known();
        known.prompt_tokens = outcome.usage.as_ref().map(|usage| usage.prompt_tokens());
        known.completion_tokens = outcome.usage.as_ref().map(|usage| usage.completion_tokens());
        // A tool that no server has is the model's own word, and none for the log.
        let calls = outcome.message.rounds().iter().flat_map(|round| &round.calls);
        let name = |call: &FinishedCall| if call.server.is_empty() { "unknown".into() } else { call.tool.clone() };
        known.tools = calls.map(name).collect();
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let known = self.known();
        if let (Some(metrics), Some(status)) = (&self.metrics, known.status) {
            metrics.response(status, took);
        }
        self.span.end(self.id.as_str(), known.status);
        let trace = self.span.trace_id();
        let tools = (!known.tools.is_empty()).then(|| known.tools.join(","));
        // Texts, where formatting would cost several times as much.
        let mut session = [0; uuid::fmt::Hyphenated::LENGTH];
        let session = known.session.map(|id| &*id.0.hyphenated().encode_lower(&mut session));
        let path = &self.path[..self.path.floor_char_boundary(MAX_LOGGED_PATH)];
        let key = known.key.map(|key| key.short());
        telemetry::request_completed(&[
            ("event", Some(Value::Plain("request_completed"))),
            ("method", Some(Value::Plain(self.method.as_str()))),
            ("path", Some(Value::Text(path))),
            ("status_code", Some(Value::Count(known.status.unwrap_or(CLIENT_CLOSED_REQUEST).into()))),
            ("duration_ms", Some(Value::Number(took.as_micros() as f64 / 1000.0))),
            ("client_ip", Some(Value::Address(self.client_ip))),
            ("request_id", Some(Value::Text(self.id.as_str()))),
            ("api_key", key.as_deref().map(Value::Plain)),
            ("session_id", session.map(Value::Plain)),
            ("prompt_tokens", known.prompt_tokens.map(Value::Count)),
            ("completion_tokens", known.completion_tokens.map(Value::Count)),
            ("tools", tools.as_deref().map(Value::Text)),
            ("trace_id", trace.as_deref().map(Value::Plain)),
        ]);
    }
}

/// A request's identity: the client's own if it is fit for a header and a log, else a new UUID.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

/// The header that carries it, both ways.
pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl RequestId {
    /// The longest that a client may choose.
    const MAX_LENGTH: usize = 128;

    /// The client's id if it can be used, else a new one.
    pub(super) fn take_or_make(theirs: Option<&HeaderValue>) -> Self {
        let fits = |value: &&HeaderValue| {
            (1..=Self::MAX_LENGTH).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        match theirs.filter(fits) {
            Some(value) => Self(value.clone()),
            None => Self::made(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a request's id is no part of the domain and keeps nobody out of anything"
    )]
    fn made() -> Self {
        let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown")))
    }

    /// As text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As a header's value.
    pub(super) fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_taken_if_it_is_fit() {
        let longest = "x".repeat(128);
        for fit in ["a", "7b9c-1", "!~", longest.as_str()] {
            let header = HeaderValue::from_str(fit).expect("a header");
            assert_eq!(RequestId::take_or_make(Some(&header)).as_str(), fit);
        }
        let too_long = "x".repeat(129);
        for unfit in ["", "a b", "é", "a\tb", too_long.as_str()] {
            let header = HeaderValue::from_bytes(unfit.as_bytes()).expect("a header");
            let made = RequestId::take_or_make(Some(&header));
            assert!(Uuid::parse_str(made.as_str()).is_ok(), "{unfit:?} became {made:?}");
        }
    }
}

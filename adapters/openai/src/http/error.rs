//! What can happen to an exchange.

use std::{error::Error, fmt::Write, io};

use chat_domain::ports::llm::LlmErrorKind;
use hyper_util::client::legacy;

/// An exchange that broke off.
#[derive(Debug)]
pub(crate) struct TransportError {
    pub(crate) kind: LlmErrorKind,
    /// What happened, all causes in one line, without URLs.
    pub(crate) cause: String,
}

impl TransportError {
    fn new(kind: LlmErrorKind, error: &(dyn Error + 'static)) -> Self {
        let mut cause = error.to_string();
        for error in causes(error) {
            // Writing to a string cannot fail.
            let _ = write!(cause, ": {error}");
        }
        Self { kind, cause }
    }

    /// There is no way to the host. Only where it took too long is the time gone.
    pub(super) fn unreached(error: &(dyn Error + 'static)) -> Self {
        let late = is_timeout(error) || causes(error).any(is_timeout);
        Self::new(if late { LlmErrorKind::Timeout } else { LlmErrorKind::Unavailable }, error)
    }

    /// A connection broke.
    pub(super) fn lost(error: &io::Error) -> Self {
        Self::new(LlmErrorKind::Unavailable, error)
    }

    /// A connection was closed before all was said.
    pub(super) fn cut_off() -> Self {
        Self { kind: LlmErrorKind::Unavailable, cause: "the connection was closed within the answer".to_owned() }
    }

    /// What came is no HTTP; the answer itself is not quoted.
    pub(super) fn malformed(what: &str) -> Self {
        Self { kind: LlmErrorKind::Unavailable, cause: format!("the answer is no HTTP: {what}") }
    }
}

/// Before there was the head of an answer.
impl From<legacy::Error> for TransportError {
    fn from(error: legacy::Error) -> Self {
        // A connection that timed out once it was there has been lost; only where none came about the time is gone.
        let unreached = error.is_connect() && causes(&error).any(is_timeout);
        Self::new(if unreached { LlmErrorKind::Timeout } else { LlmErrorKind::Unavailable }, &error)
    }
}

/// In the middle of an answer.
impl From<hyper::Error> for TransportError {
    fn from(error: hyper::Error) -> Self {
        Self::new(LlmErrorKind::Unavailable, &error)
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
}
